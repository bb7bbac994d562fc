"""Element types of results, against PyTorch itself, for every pair of operands."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch

from specc.ir.types import DType, TensorType, result_type
from specc.ops import REGISTRY, OpError, as_outputs

NUMBERS = {DType.bool: True, DType.int64: 2, DType.float32: 2.5}
TORCH = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "fmod": torch.fmod,
    "pow": operator.pow, "eq": operator.eq, "ne": operator.ne, "lt": operator.lt,
    "le": operator.le, "gt": operator.gt, "ge": operator.ge, "bitwise_and": operator.and_,
    "bitwise_or": operator.or_, "bitwise_xor": operator.xor, "logical_and": torch.logical_and,
    "logical_or": torch.logical_or, "logical_xor": torch.logical_xor, "maximum": torch.maximum,
    "minimum": torch.minimum, "atan2": torch.atan2, "hypot": torch.hypot,
    "logaddexp": torch.logaddexp,
}  # fmt: skip
UNARY = [
    name
    for name, cls in REGISTRY.items()
    if cls.__module__ == "specc.ops.pointwise"
    or name in ("logical_not", "bitwise_not", "nan_to_num")
]
REDUCTIONS = [
    name
    for name, cls in REGISTRY.items()
    if cls.__module__.rsplit(".")[-1] in ("reduce", "moments", "cumulative", "sort", "extremes")
]
REQUIRED = {"topk": {"k": 1}, "kthvalue": {"k": 1}, "cumsum": {"dim": 0}, "cumprod": {"dim": 0}}


class Operand(NamedTuple):
    """A tensor (or a number), and what is known of it at compile time."""

    value: Any
    type: TensorType


def _operands() -> Iterator[Operand]:
    for shape, dtype in product([(3,), ()], DType):
        ones = torch.ones(shape, dtype=getattr(torch, dtype.value))
        yield Operand(ones, TensorType(dtype, shape))
    for dtype, number in NUMBERS.items():
        yield Operand(number, TensorType(dtype, (), weak=True))


PAIRS = [(a, b) for a, b in product(_operands(), repeat=2) if not (a.type.weak and b.type.weak)]


def test_result_type_is_pytorchs() -> None:
    for a, b in PAIRS:
        assert f"torch.{result_type(a.type, b.type)}" == str(torch.result_type(a.value, b.value))


def test_result_type_of_three() -> None:
    operands = [o for o in _operands() if o.type.dtype in (*NUMBERS, DType.float16, DType.uint8)]
    condition = torch.ones(3, dtype=torch.bool)
    for a, b in product(operands, repeat=2):
        expected = torch.where(condition, a.value, b.value).dtype
        found = REGISTRY["where"]().infer(TensorType(DType.bool, (3,)), a.type, b.type)
        assert isinstance(found, TensorType)
        assert f"torch.{found.dtype}" == str(expected)


def _theirs(function: Callable[..., Any], *operands: Any) -> str:
    try:
        return str(function(*operands).dtype)
    except (RuntimeError, TypeError, NotImplementedError):
        return "refused"


def _ours(name: str, *types: TensorType) -> str:
    try:
        found = REGISTRY[name]().infer(*types)
    except OpError as fault:
        assert fault.code == "T404"
        return "refused"
    assert isinstance(found, TensorType)
    return f"torch.{found.dtype}"


@pytest.mark.parametrize("name", TORCH)
def test_binary_results_and_refusals_are_pytorchs(name: str) -> None:
    numbers = REGISTRY[name].scalars
    for a, b in PAIRS:
        if (a.type.weak and "input" not in numbers) or (b.type.weak and not numbers):
            continue
        if (a.type.weak or b.type.weak) and name in ("maximum", "minimum"):
            continue  # torch.maximum takes no number; ours is a clamp
        if name == "pow" and a.type.dtype is b.type.dtype is DType.bool:
            continue  # PyTorch takes `mask ** True` alone
        assert _ours(name, a.type, b.type) == _theirs(TORCH[name], a.value, b.value), (a, b)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", DType)
def test_unary_results_and_refusals_are_pytorchs(name: str, dtype: DType) -> None:
    x = torch.ones(3, dtype=getattr(torch, dtype.value))
    assert _ours(name, TensorType(dtype, (3,))) == _theirs(getattr(torch, name), x)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", DType)
def test_reductions_are_pytorchs(name: str, dtype: DType) -> None:
    function = getattr(torch, name, torch.linalg.vector_norm)
    x = torch.ones(3, dtype=getattr(torch, dtype.value))
    required = {"dim": 0} if name == "logsumexp" else REQUIRED.get(name, {})
    dims: list[dict[str, Any]] = [{}, {"dim": 0}] if "dim" in REGISTRY[name].params else [{}]
    for dim in dims:
        params = {**required, **dim}
        try:
            result = function(x, **params)
        except (RuntimeError, TypeError, NotImplementedError):
            with pytest.raises(OpError, match="values"):
                REGISTRY[name](**params).infer(TensorType(dtype, (3,)))
            continue
        tensors = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        found = as_outputs(REGISTRY[name](**params).infer(TensorType(dtype, (3,))))
        assert [(f"torch.{kind.dtype}", kind.shape) for _, kind in found] == [
            (str(t.dtype), tuple(t.shape)) for t in tensors
        ]
