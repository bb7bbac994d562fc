"""What an operator gives for its inputs, with the rules that hold for all operators alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from specc.ir.dims import Size
from specc.ir.graph import Weight
from specc.ir.types import DType, OpError, TensorType
from specc.ops import Op, as_outputs
from specc.passes.undersized import smallest
from specc.spec.schema import MAX_SIZE

Named = tuple[tuple[str, TensorType], ...]


def inferred(bound: Op, types: Sequence[TensorType | None]) -> tuple[Named, tuple[Weight, ...]]:
    """The results and weights of a bound operator; raises `OpError` where it refuses."""
    _check_numbers(bound)
    outputs = as_outputs(bound.infer(*types))
    weights = tuple(bound.weights(*types))
    _check_weights(bound, types, weights)
    for kind in (*(kind for _, kind in outputs), *(w.type for w in weights)):
        for size in kind.shape:
            _check_size(bound, size)
    return outputs, weights


def _check_numbers(bound: Op) -> None:
    """Refuse counts that no tensor can have before an operator works with them."""
    for name, param in bound.params.items():
        if param.ge is None and param.gt is None:
            continue
        number = next((n for n in _numbers(bound.__dict__[name]) if n > MAX_SIZE), None)
        if number is not None:
            message = f"`{name}` of `{bound.name}` must be at most {MAX_SIZE}, got {number}"
            raise OpError("S104", message, param=name)


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int):
        yield value


def _check_weights(
    bound: Op, types: Iterable[TensorType | None], weights: Sequence[Weight]
) -> None:
    """Weights are float32, and PyTorch works with tensors of one dtype only."""
    learned = {w.type.dtype for w in weights if w.name != "num_batches_tracked"}
    if bound.name == "Buffer" or not learned:
        return
    given = {t.dtype for t in types if t and t.dtype.is_floating and not t.weak}
    wanted = (learned | given) - {DType.float32}
    if wanted:
        got = min(map(str, wanted))
        raise OpError(
            "T404", f"the weights of `{bound.name}` are float32, its input is {got}",
            hint='convert the input with `{ "op": "to", "dtype": "float32" }` before',
        )  # fmt: skip


def _check_size(bound: Op, size: Size) -> None:
    if isinstance(size, int):
        if size > MAX_SIZE:
            raise OpError("T405", f"`{bound.name}` would give an axis of {size}, too large")
        return
    # PyTorch's functions give empty tensors, as Python's slices do; its layers refuse to.
    fault = smallest(size, 1 if bound.name[0].isupper() else 0)
    if fault:
        raise OpError("T405", f"`{bound.name}` would give an axis of {fault.told}", hint=fault.hint)
