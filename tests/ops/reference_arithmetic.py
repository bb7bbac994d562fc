"""References for arithmetic whose operands may be numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.ops.reference import custom


def _named(function: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """Tensors fill the arguments, in order, for which no number is given."""

    def filled(*tensors: torch.Tensor, **params: Any) -> Any:
        rest = iter(tensors)
        operands = [params.pop(name) if name in params else next(rest, None) for name in names]
        return function(*operands, **params)

    return filled


def _extreme(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def of_numbers(a: Any, b: Any) -> torch.Tensor:
        dtype = torch.result_type(a, b)
        return function(*(torch.as_tensor(x).to(dtype) for x in (a, b)))

    return of_numbers


def _clamped(x: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
    """The definition, `min(max(x, low), high)`."""
    x = x if low is None else _extreme(torch.maximum)(x, low)
    return x if high is None else _extreme(torch.minimum)(x, high)


for _name in ("add", "sub", "mul", "div", "floor_divide", "remainder", "eq", "ne", "lt", "le", "gt", "ge"):
    custom(_name)(_named(getattr(torch, _name), "input", "other"))
for _name, _symbol in {"floor_divide": "//", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    custom(_name)(_named(eval(f"lambda a, b: a {_symbol} b"), "input", "other"))
custom("pow")(_named(torch.pow, "input", "exponent"))
custom("maximum")(_named(_extreme(torch.maximum), "input", "other"))
custom("minimum")(_named(_extreme(torch.minimum), "input", "other"))

custom("clamp")(_named(_clamped, "input", "min", "max"))
custom("lerp")(_named(torch.lerp, "input", "end", "weight"))


@custom("to")
def _to(x: torch.Tensor, *, dtype: str) -> torch.Tensor:
    return x.to(getattr(torch, dtype))


@custom("where")
def _where(condition: torch.Tensor, *tensors: torch.Tensor, **numbers: Any) -> torch.Tensor:
    return _named(torch.where, "condition", "input", "other")(condition, *tensors, **numbers)


for _name in ("float", "double", "half", "long", "int", "bool"):
    custom(_name)(getattr(torch.Tensor, _name))
custom("vector_norm")(torch.linalg.vector_norm)
