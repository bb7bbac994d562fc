"""Which old element each new one copies, to the last bit of PyTorch's float32 arithmetic.

PyTorch multiplies by old size over new size, ONNX's Resize divides by new over old. Where a
position falls on a border of two elements the quotients may round to either side of it: from 14
to 2 elements, the second copy is element 7 in PyTorch and 6 in ONNX Runtime. Such an axis is
gathered at PyTorch's own positions.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from specc.ops.op import DType, OnnxBuilder, Ref, Size, TensorType

_SAFE = 41
"""Below this odd factor, rounding `1 / factor` to float32 never moves a multiple of it down."""


def _single(value: float) -> float:
    """The nearest float32."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _in_torch(size: int, count: int, factor: float | None, offset: float) -> list[int]:
    step = _single(1 / factor) if factor else _single(size / count)
    return [min(math.floor(_single((i + offset) * step)), size - 1) for i in range(count)]


def _in_onnx(size: int, count: int, factor: float | None, offset: float) -> list[int]:
    scale = _single(factor or count / size)
    found = (_single(_single((i + offset) / scale) - offset) + offset for i in range(count))
    return [max(min(math.floor(at), size - 1), 0) for at in found]


def _power_of_two(value: Size) -> bool:
    return isinstance(value, int) and value > 0 and value & (value - 1) == 0


def resize_agrees(size: Size, count: Size, factor: float | None, offset: float) -> bool:
    """Whether Resize copies the same elements; `offset` is 0.5 in mode `nearest-exact`."""
    if isinstance(size, int) and isinstance(count, int):
        arguments = size, count, factor, offset
        return _in_torch(*arguments) == _in_onnx(*arguments)
    if factor:
        top = Fraction(factor).numerator
        return top // (top & -top) < _SAFE
    more = count // size
    if count == size * more:
        return isinstance(more, int) and more < _SAFE
    return size == count * (size // count) and _power_of_two(size // count)


def gathered(
    g: OnnxBuilder, x: Ref, axis: int, count: Size, factor: float | None, offset: float
) -> Ref:
    """The value with one axis resized by copying."""
    size = x.type.shape[axis]
    out = x.type.with_shape(*x.type.shape[:axis], count, *x.type.shape[axis + 1 :])
    if isinstance(size, int) and isinstance(count, int):
        index = g.const(_in_torch(size, count, factor, offset))
    else:
        index = _computed(g, size, count, factor, offset)
    return g.op("Gather", x, index, axis=axis, type=out)


def _computed(g: OnnxBuilder, size: Size, count: Size, factor: float | None, offset: float) -> Ref:
    single = DType.float32
    number = TensorType(DType.int64, ())
    limit = g.op("Squeeze", g.dims([count]), type=number)
    steps = g.op("Range", g.const(0), limit, g.const(1), type=TensorType(DType.int64, (count,)))
    at = g.cast(steps, single)
    if offset:
        at = g.op("Add", at, g.const(offset, single))
    step = (
        g.const(_single(1 / factor), single)
        if factor
        else g.op("Div", g.cast(g.dims([size]), single), g.cast(g.dims([count]), single))
    )
    index = g.cast(g.op("Floor", g.op("Mul", at, step)), DType.int64)
    return g.op("Min", index, g.dims([size - 1]))
