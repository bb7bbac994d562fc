"""References for arithmetic whose operands may be numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

from tests.ops.reference import TORCH_ONNX_CANNOT, custom


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


def _method(name: str) -> Callable[..., torch.Tensor]:
    return lambda x, **params: getattr(x, name)(**params)


for _name in ("add", "sub", "mul", "div", "remainder", "fmod"):
    custom(_name)(_named(getattr(torch, _name), "input", "other"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    custom(_name)(_named(getattr(operator, _name), "input", "other"))
custom("floor_divide")(_named(operator.floordiv, "input", "other"))
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
    custom(_name)(_method(_name))
custom("vector_norm")(lambda x, **params: torch.linalg.vector_norm(x, **params))


def _excused(reason: str, *cases: str) -> None:
    TORCH_ONNX_CANNOT.update(dict.fromkeys(cases, reason))


_excused(
    "the TorchScript exporter has no form of it",
    "acosh", "addcdiv", "asinh", "atanh", "bitwise_not-1", "bitwise_not-2", "cosh",
    "count_nonzero", "cumprod", "erfc", "expm1", "frac", "hypot", "kthvalue", "logaddexp", "sinh",
    "trunc",
)  # fmt: skip
_excused(
    "the TorchScript exporter has no stable sort",
    "argsort-2", "argsort-3", "sort-2", "sort-3",
)  # fmt: skip
_excused(
    "the TorchScript exporter writes integers where ONNX has no such form",
    "acos-1", "add-6", "all-2", "all-3", "all-4", "amax-4", "amax-5", "amin-4", "amin-5",
    "asin-1", "atan-1", "atan2-2", "ceil-1", "clamp-4", "cos-1", "cumsum-2", "erf-1", "exp-1",
    "floor-1", "ge-3", "isfinite-1", "isnan-1", "le-3", "log-1", "log10-1", "log1p-1", "log2-1",
    "maximum-4", "maximum-5", "minimum-2", "minimum-3", "neg-2", "pow-8", "reciprocal-1",
    "rsqrt-1", "sign-2", "sin-1", "sqrt-1", "square-2", "tan-1", "where-5",
)  # fmt: skip
_excused(
    "the TorchScript exporter does not promote integers", "addcmul-2", "clamp-5", "logsumexp-2",
    "maximum-3",
)  # fmt: skip
_excused(
    "the TorchScript exporter rounds the quotient of `floor_divide` towards zero",
    "floor_divide-1", "floor_divide-2", "floor_divide-3", "floor_divide-4",
)  # fmt: skip
_excused("the TorchScript exporter sees fractions below 1 as false", "any-3")
_excused("the TorchScript exporter gives `bool` for `uint8`", "any-4")
_excused("the TorchScript exporter leaves out the input of which only the dtype counts", "type_as")
