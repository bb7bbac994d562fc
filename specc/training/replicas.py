"""Where the weights are: whole on every rank, whose gradients are averaged.

A checkpoint is a folder of safetensors and JSON. What this class offers is also what
`specc.training.shards` does for weights that no rank holds whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from specc.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from specc.training.ranks import Ranks
from specc.training.tree import all_finite

State = dict[str, Any]


class Replicas:
    """A model that every rank has whole; with several ranks, DistributedDataParallel."""

    sharded = False

    def __init__(self, module: nn.Module, ranks: Ranks) -> None:
        self.module, self.ranks = module, ranks
        self.trained: nn.Module = module
        """What training calls."""

    def join(self, used: Callable[[], list[Tensor]]) -> None:
        """Meet the other ranks; `used` finds the weights that the loss depends on."""
        if self.ranks.alone:
            return
        learned = sum(p.requires_grad for p in self.module.parameters())
        unused = len(used()) < learned
        self.trained = DistributedDataParallel(self.module, find_unused_parameters=unused)

    def call(self, *inputs: Tensor) -> Any:
        """The model's outputs, in training."""
        return self.trained(*inputs)

    def summing(self, last: bool) -> AbstractContextManager[object]:
        """What to compute gradients in; ranks exchange them with the last batch of a step."""
        if isinstance(self.trained, DistributedDataParallel) and not last:
            return self.trained.no_sync()
        return nullcontext()

    def settle(self) -> None:
        """Let every rank have the first one's statistics, which each finds by its own rows."""
        self.ranks.copy_from_first(self.module.buffers())

    @property
    def is_finite(self) -> bool:
        """Whether every weight is, on every rank."""
        return all(self.ranks.gathered(all_finite(self.module.state_dict())))

    def whole(self) -> Mapping[str, Tensor]:
        """All weights, on the first rank at least."""
        return self.module.state_dict()

    def put(self, weights: Mapping[str, Tensor] | None) -> None:
        """Take the weights that the first rank gives; raises `TrainError` L608."""
        with self.ranks.agreed():
            if weights is not None:
                load_weights(self.module, weights)
        self.ranks.copy_from_first(self.module.state_dict().values())

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path, state: State) -> None:
        """Write a checkpoint of the weights and `state`."""
        with self.ranks.agreed():
            if self.ranks.is_first:
                save_checkpoint(folder, self.module.state_dict(), state)

    def load(
        self, folder: Path, optimizer: torch.optim.Optimizer, current: Callable[[], State]
    ) -> State | None:
        """Take the weights of a checkpoint and give its state, None where there is none.

        `current` gives the state as it is now. Raises `TrainError` L608.
        """
        del optimizer, current
        found: tuple[dict[str, Tensor], State] | None = None
        with self.ranks.agreed():
            if self.ranks.is_first:
                found = load_checkpoint(folder)
        found = self.ranks.from_first(found)
        if found is None:
            return None
        weights, state = found
        with self.ranks.agreed():
            load_weights(self.module, weights)
        return state
