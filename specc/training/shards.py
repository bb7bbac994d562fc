"""Weights in shards, for models that no device holds whole: PyTorch's FSDP2.

Each rank keeps its part of every weight, of its gradient and of the optimizer's state, and
writes it into a file of its own through torch.distributed.checkpoint, as safetensors. Any
number of ranks can read them again.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from specc.runtime.atomic import existing_folder, new_folder
from specc.training.checkpoint import read_checkpoint, whole_or_damaged, write_checkpoint
from specc.training.problems import TrainError
from specc.training.ranks import Ranks
from specc.training.replicas import Replicas, State
from specc.training.tree import all_finite, flatten, local, named_tensors, unflatten

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
FROM_FIRST = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
STATE = ":state"
"""Before the names of the optimizer's tensors and the like; no weight's name has a colon."""
LEAST_WEIGHTS = 1 << 20
"""Layers with fewer are not worth an exchange of their own."""


class Shards(Replicas):
    """A model whose weights are spread over the ranks."""

    sharded = True

    def __init__(self, module: nn.Module, ranks: Ranks, mesh: DeviceMesh) -> None:
        super().__init__(module, ranks)
        for part in parts(module):
            fully_shard(part, mesh=mesh)

    def join(self, used: Callable[[], list[Tensor]]) -> None:
        """Nothing to do: the parts meet when they are called."""

    def summing(self, last: bool) -> AbstractContextManager[object]:
        assert isinstance(self.module, FSDPModule)
        self.module.set_requires_gradient_sync(last)
        return nullcontext()

    def settle(self) -> None:
        super().settle()
        # Weights that are still gathered from a forward pass may be older than the shards.
        for part in self.module.modules():
            if isinstance(part, FSDPModule):
                part.reshard()

    @property
    def is_finite(self) -> bool:
        own = {name: local(tensor) for name, tensor in self.module.state_dict().items()}
        return all(self.ranks.gathered(all_finite(own)))

    def whole(self) -> Mapping[str, Tensor]:
        weights: Mapping[str, Any] = get_model_state_dict(self.module, options=WHOLE)
        return weights

    def put(self, weights: Mapping[str, Tensor] | None) -> None:
        set_model_state_dict(self.module, dict(weights or {}), options=FROM_FIRST)

    def save(self, folder: Path, state: State) -> None:
        plain, whole, pieces = self._sorted(state)
        with self._new(folder) as new:
            writer = HuggingFaceStorageWriter(str(new), save_distributed=True)
            save(pieces, storage_writer=writer)
            with self.ranks.agreed():
                if self.ranks.is_first:
                    rest = {k: v for k, v in whole.items() if k.startswith(STATE)}
                    weights = {k: v for k, v in whole.items() if k not in rest}
                    write_checkpoint(new, weights, rest, plain)
        self.ranks.gathered(None)

    def load(
        self, folder: Path, optimizer: torch.optim.Optimizer, current: Callable[[], State]
    ) -> State | None:
        found: Any = None
        with self.ranks.agreed():
            if self.ranks.is_first and (place := existing_folder(folder)) is not None:
                found = (place, *read_checkpoint(place))
        found = self.ranks.from_first(found)
        if found is None:
            return None
        place, weights, rest, plain = found
        _fill(optimizer)
        _, own, pieces = self._sorted(current())
        # Before the first step, and for weights that no loss depends on, there is no state.
        kept = named_tensors(plain)
        pieces = {k: t for k, t in pieces.items() if k in kept or not k.startswith(STATE)}
        with self.ranks.agreed():
            self._check(weights, own, list(place.glob("shard-*")))
            for name, tensor in weights.items():
                own[name].copy_(tensor)
            _read(place, pieces)
        state: State = whole_or_damaged(place, lambda: unflatten(plain, {**rest, **pieces}))
        return state

    def _check(
        self, weights: Mapping[str, Tensor], own: Mapping[str, Tensor], files: list[Path]
    ) -> None:
        if not files:
            raise TrainError("L608", "the checkpoint is not of a run with shards")
        for name in weights:
            if name not in own or own[name].shape != weights[name].shape:
                raise TrainError("L608", f"the checkpoint's `{name}` doesn't fit the model")

    def _sorted(self, state: State) -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
        """The state as JSON, and with the weights its tensors: those of one piece, the others."""
        tensors: dict[str, Tensor] = dict(self.module.state_dict())
        for name in self._aliases():
            tensors.pop(name, None)
        plain = flatten(state, tensors, STATE)
        pieces = {name: t for name, t in tensors.items() if is_piece(t)}
        return plain, {k: t for k, t in tensors.items() if k not in pieces}, pieces

    def _aliases(self) -> list[str]:
        """Further names of weights that serve several layers."""
        first = {name for name, _ in self.module.named_parameters()}
        every = self.module.named_parameters(remove_duplicate=False)
        return [name for name, _ in every if name not in first]

    @contextmanager
    def _new(self, folder: Path) -> Iterator[Path]:
        """A folder that all ranks fill, and the first one makes and puts in place."""
        if not self.ranks.is_first:
            yield self.ranks.from_first(folder)
            return
        with new_folder(folder) as new:
            yield self.ranks.from_first(new)


def _read(folder: Path, pieces: dict[str, Tensor]) -> None:
    """Fill this rank's pieces; raises `TrainError` L608."""
    try:
        # It warns that ranks don't talk, which is meant.
        with warnings.catch_warnings(action="ignore"):
            load(pieces, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[-1]
        raise TrainError("L608", f"the checkpoint `{folder}` can't be read: {reason}") from error


def is_piece(tensor: Tensor) -> bool:
    """Whether each rank holds a part of it."""
    return isinstance(tensor, DTensor)


def _fill(optimizer: torch.optim.Optimizer) -> None:
    """Make the optimizer's state, which comes with the first step, so that pieces can be read."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for weight in weights:
        weight.grad = None


def parts(module: nn.Module) -> list[nn.Module]:
    """What is gathered at one time: each large layer or block, and last the model with the rest."""
    owners = Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))

    def large(layer: nn.Module) -> bool:
        weights = list(layer.parameters())
        # A weight that serves two layers is needed in both, so it stays with the model.
        own = all(owners[id(p)] == 1 for p in weights)
        return own and sum(p.numel() for p in weights) >= LEAST_WEIGHTS

    def found(layer: nn.Module) -> Iterator[nn.Module]:
        for child in layer.children():
            if isinstance(child, nn.ModuleList | nn.Sequential):
                yield from found(child)
            elif large(child):
                yield child

    return [*found(module), module]
