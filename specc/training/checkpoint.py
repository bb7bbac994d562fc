"""Checkpoints: weights as safetensors, everything else as safetensors and JSON, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from specc.runtime.atomic import existing_folder, new_folder, write_bytes
from specc.training.problems import TrainError
from specc.training.tree import flatten, own_copies, unflatten

T = TypeVar("T")
Tensors = Mapping[str, Tensor]
WEIGHTS, TENSORS, STATE = "weights.safetensors", "state.safetensors", "state.json"


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights under their names in the model."""
    write_bytes(path, safetensors.torch.save(own_copies(weights), {"format": "pt"}))


def save_checkpoint(folder: Path, weights: Tensors, state: Mapping[str, Any]) -> None:
    """Write a checkpoint that takes the place of the one in `folder`."""
    tensors: dict[str, Tensor] = {}
    plain = flatten(state, tensors, "state")
    with new_folder(folder) as new:
        write_checkpoint(new, weights, tensors, plain)


def write_checkpoint(folder: Path, weights: Tensors, tensors: Tensors, plain: Any) -> None:
    """Write the files of a checkpoint: weights, the other tensors, and the rest as JSON."""
    safetensors.torch.save_file(own_copies(weights), folder / WEIGHTS, {"format": "pt"})
    safetensors.torch.save_file(own_copies(tensors), folder / TENSORS)
    (folder / STATE).write_text(json.dumps(plain), encoding="utf-8")


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], Any] | None:
    """Weights and state of the newest complete checkpoint, or None where there is none.

    Raises `TrainError` L608 for a damaged one.
    """
    found = existing_folder(folder)
    if found is None:
        return None
    if any(found.glob("shard-*")):
        raise TrainError("L608", "the checkpoint is in shards", hint="go on with `--shard`")
    weights, tensors, plain = read_checkpoint(found)
    return weights, whole_or_damaged(found, lambda: unflatten(plain, tensors))


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
    """What `write_checkpoint` wrote; raises `TrainError` L608 for what is damaged."""
    return whole_or_damaged(folder, lambda: (
        safetensors.torch.load_file(folder / WEIGHTS),
        safetensors.torch.load_file(folder / TENSORS),
        json.loads((folder / STATE).read_text("utf-8")),
    ))  # fmt: skip


def whole_or_damaged(folder: Path, read: Callable[[], T]) -> T:
    """What `read` finds in a checkpoint; raises `TrainError` L608 if that fails."""
    try:
        return read()
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise TrainError("L608", f"the checkpoint `{folder}` is damaged: {error}") from error


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights into a model of the same names and shapes; raises `TrainError` L608."""
    own = module.state_dict()
    for name in own.keys() | weights.keys():
        if name not in weights or name not in own:
            side = "checkpoint" if name in own else "model"
            raise TrainError("L608", f"the {side} has no weight `{name}`")
        if own[name].shape != weights[name].shape:
            shapes = f"{tuple(weights[name].shape)}, the model {tuple(own[name].shape)}"
            raise TrainError("L608", f"the checkpoint's weight `{name}` has shape {shapes}")
    module.load_state_dict(dict(weights))


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The generators that dropout and its like draw from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the generators to where `random_state` found them."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
