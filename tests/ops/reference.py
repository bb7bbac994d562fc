"""PyTorch's own module or function for an operator, built without our generated source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

INFERRED: dict[str, Callable[[torch.Tensor, Mapping[str, Any]], Any]] = {
    "in_features": lambda x, _: x.shape[-1],
    "in_channels": lambda x, _: x.shape[1],
    "num_features": lambda x, _: x.shape[1],
    "num_channels": lambda x, _: x.shape[1],
    "normalized_shape": lambda x, p: tuple(x.shape[-p.get("dims", 1) :]),
    "embed_dim": lambda x, _: x.shape[-1],
    "input_size": lambda x, _: x.shape[-1],
    "in1_features": lambda x, _: x.shape[-1],
}

WITHOUT: dict[str, set[str]] = {"LayerNorm": {"dims"}, "RMSNorm": {"dims"}}
"""Parameters of ours that PyTorch's constructor does not have."""

EVALUATOR_IS_WRONG: dict[str, str] = {}
"""Operators, or single cases (`name-0`), that the ONNX reference evaluator computes wrongly, with
the reason."""

TORCH_ONNX_CANNOT: dict[str, str] = {}
"""Operators, or single cases (`name-0`), that `torch.onnx` cannot export, with the reason."""

CUSTOM: dict[str, Callable[..., Any]] = {}
"""References for operators that are neither a class of `torch.nn` nor a function of torch."""


def custom(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `f(*inputs, **params)` as the reference of an operator."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        CUSTOM[name] = function
        return function

    return register


@custom("Normalization")
def _normalization(x: torch.Tensor, *, state: Mapping[str, torch.Tensor], **_: Any) -> torch.Tensor:
    shape = (-1,) + (1,) * (x.ndim - 2)
    return (x - state["mean"].reshape(shape)) / state["std"].reshape(shape)


def reference(
    name: str,
    inferred: Sequence[str],
    params: Mapping[str, Any],
    inputs: Sequence[torch.Tensor],
    state: Mapping[str, torch.Tensor],
) -> Any:
    """What PyTorch itself computes in eval mode with these weights."""
    if name in CUSTOM:
        import inspect

        takes_state = "state" in inspect.signature(CUSTOM[name]).parameters
        return CUSTOM[name](*inputs, **params, **({"state": state} if takes_state else {}))
    if name[0].isupper():
        cls = getattr(nn, name)
        made = {key: INFERRED[key](inputs[0], params) for key in inferred}
        kept = {k: v for k, v in params.items() if k not in WITHOUT.get(name, set())}
        module = cls(**made, **kept).eval()
        module.load_state_dict(state)
        return module(*inputs)
    for home in (torch, F, torch.Tensor):
        if hasattr(home, name):
            return getattr(home, name)(*inputs, **params)
    raise LookupError(f"there is no reference for {name}")


from tests.ops import (  # noqa: E402, F401 - it registers references
    reference_activation,
    reference_arithmetic,
    reference_attention,
    reference_conv,
    reference_dropout,
    reference_loss,
    reference_norm,
    reference_shape,
)
