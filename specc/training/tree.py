"""State dictionaries as tensors by name and plain JSON, and back: no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def flatten(tree: Any, tensors: dict[str, Tensor], prefix: str) -> Any:
    """JSON for a tree of dicts, lists and scalars; its tensors are put into `tensors`.

    Raises `TypeError` for anything else.
    """
    if isinstance(tree, Tensor):
        tensors[prefix] = tree.detach()
        return {"tensor": prefix}
    if isinstance(tree, Mapping):
        items = [[_key(k), flatten(v, tensors, f"{prefix}.{k}")] for k, v in tree.items()]
        return {"dict": items}
    if isinstance(tree, list | tuple):
        items = [flatten(v, tensors, f"{prefix}.{i}") for i, v in enumerate(tree)]
        return {"list": items} if isinstance(tree, list) else {"tuple": items}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"can't store a value of type {type(tree).__name__} at {prefix}")


def _key(key: object) -> str | int:
    if not isinstance(key, str | int):
        raise TypeError(f"can't store a key of type {type(key).__name__}")
    return key


def unflatten(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `flatten` took apart."""
    if not isinstance(plain, dict):
        return plain
    ((kind, value),) = plain.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {k: unflatten(v, tensors) for k, v in value}
    items = [unflatten(item, tensors) for item in value]
    return items if kind == "list" else tuple(items)


def named_tensors(plain: Any) -> set[str]:
    """The names of the tensors in a tree that `flatten` took apart."""
    if not isinstance(plain, dict):
        return set()
    ((kind, value),) = plain.items()
    if kind == "tensor":
        return {value}
    items = [item for _, item in value] if kind == "dict" else value
    return {name for item in items for name in named_tensors(item)}


def own_copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU; those that share memory (tied weights) are told apart."""
    seen: set[int] = set()
    copies = {}
    for name, tensor in state.items():
        plain = tensor.detach().to("cpu").contiguous()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        copies[name] = plain
    return copies


def all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether no floating-point value is NaN or infinite."""
    flags = [t.isfinite().all() for t in tensors.values() if t.is_floating_point()]
    return bool(torch.stack(flags).all()) if flags else True


def local(tensor: Tensor) -> Tensor:
    """This rank's piece of a tensor in shards, in the same memory; a whole tensor itself."""
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local else tensor
