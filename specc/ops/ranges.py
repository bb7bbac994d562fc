"""New tensors: numbers counted up, and ones along a diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from specc.ir.dims import Dim, bounds, ceil_div
from specc.ops.create import DTypeName
from specc.ops.fill import Created, filled
from specc.ops.index import STATE_MIN, onnx_position
from specc.ops.op import (
    DType,
    OnnxBuilder,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip

LISTED = 4096
"""Up to this many elements, a tensor of known values is stored in the file."""


@op("arange")
class Arange(Created):
    """Numbers counted up from `start` to below `end`.

    Shape: `(ceil((end - start) / step),)`. Symbolic sizes may be counted in whole steps.
    """

    start: int | float | Dim = param(default=0, doc="the first number; the end if it stands alone")
    end: int | float | Dim | None = param(default=None, doc="where to stop; not included")
    step: int | float | Dim = param(default=1, doc="the difference between two numbers")
    dtype: DTypeName | None = param(default=None, doc="element type; default: `int64` or `float32`")

    check = "rounding"

    def _range(self) -> tuple[Any, Any, Any]:
        first, last = (0, self.start) if self.end is None else (self.start, self.end)
        return first, last, self.step

    def default(self) -> DType:
        return DType.float32 if any(isinstance(v, float) for v in self._range()) else DType.int64

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return 0

    def _length(self) -> Size:
        first, last, step = self._range()
        length: Size
        if step == 0:
            raise OpError("T405", "the step is zero", param="step")
        values = (first, last, step)
        if any(isinstance(v, float) for v in values):
            if any(isinstance(v, Dim) for v in values):
                raise OpError("T403", "symbolic sizes are counted in whole steps", param="step")
            return math.ceil(float(last - first) / float(step))
        backward = (bounds(step)[1] or 0) < 0
        length = ceil_div(first - last, -step) if backward else ceil_div(last - first, step)
        return length

    def infer(self) -> TensorType:
        length = self._length()
        low = bounds(length)[0]
        if low is None or low < 0:
            first, last, step = self._range()
            raise OpError(
                "T405", f"from {first} to {last} in steps of {step} there may be no way",
                param="end" if self.end is not None else "start",
                hint=STATE_MIN if isinstance(length, Dim) else None,
            )  # fmt: skip
        out = self.made(length)
        if self.default().is_floating and not out.dtype.is_floating:
            raise OpError("T404", f"fractions do not fit into {out.dtype}", param="dtype")
        return out

    def torch(self, py: TorchWriter) -> str:
        first, last, step = self._range()
        values = [first, last] if first != 0 or step != 1 else [last]
        return self.source(py, "torch.arange", *values, *([step] if step != 1 else []))

    def onnx(self, g: OnnxBuilder) -> Ref:
        out = self.infer()
        first, last, step = self._range()
        if isinstance(first, int | float) and isinstance(step, int | float):
            size = out.shape[0]
            if isinstance(size, int) and (size <= LISTED or out.dtype.is_floating):
                return g.const([first + i * step for i in range(size)], out.dtype)
        limits = [onnx_position(g, value) for value in (first, last, step)]
        counted = g.op("Range", *limits, type=TensorType(DType.int64, out.shape))
        return g.cast(counted, out.dtype)

    examples = (
        example(end=5),
        example(start=4),
        example(start=2, end=11, step=3),
        example(start=5, end=0, step=-2),
        example(start=0, end=1.0, step=0.1),
        example(end=7, dtype="float32"),
        example(end=5000, dtype="int32"),
    )


@op("linspace")
class Linspace(Created):
    """Evenly spaced numbers from `start` to `end`, both included.

    Shape: `(steps,)`, which must be static.
    """

    start: int | float = param(doc="the first number")
    end: int | float = param(doc="the last number")
    steps: int = param(ge=0, doc="how many numbers")
    dtype: DTypeName | None = param(default=None, doc="element type; default: `float32`")

    check = "rounding"

    def infer(self) -> TensorType:
        out = self.made(self.steps)
        if not out.dtype.is_floating:
            raise OpError("T404", f"fractions do not fit into {out.dtype}", param="dtype")
        return out

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return 0

    def torch(self, py: TorchWriter) -> str:
        return self.source(py, "torch.linspace", self.start, self.end, self.steps)

    def onnx(self, g: OnnxBuilder) -> Ref:
        gap = (self.end - self.start) / max(self.steps - 1, 1)
        values = [self.start + i * gap for i in range(self.steps)]
        # The last is not worked out, so that it is what was asked for.
        listed = [*values[:-1], self.end] if self.steps > 1 else values
        return g.const(listed, self.infer().dtype)

    examples = (
        example(start=0, end=1, steps=7),
        example(start=3.5, end=-2.0, steps=10),
        example(start=1, end=2, steps=1),
    )


@op("eye")
class Eye(Created):
    """Ones along the main diagonal, zeros elsewhere.

    Shape: `(n, m)`.
    """

    n: int | Dim = param(ge=0, doc="number of rows")
    m: int | Dim | None = param(default=None, ge=0, doc="number of columns; default: as rows")
    dtype: DTypeName | None = param(default=None, doc="element type; default: `float32`")

    def infer(self) -> TensorType:
        return self.made(self.n, self.n if self.m is None else self.m)

    def torch(self, py: TorchWriter) -> str:
        return self.source(py, "torch.eye", self.n, *([] if self.m is None else [self.m]))

    def onnx(self, g: OnnxBuilder) -> Ref:
        out = self.infer()
        rows, columns = out.shape
        if isinstance(rows, int) and isinstance(columns, int) and rows * columns <= LISTED:
            lines = [[int(i == j) for j in range(columns)] for i in range(rows)]
            return g.const(lines, out.dtype)
        wide = out.with_dtype(DType.float32)
        return g.cast(g.op("EyeLike", filled(g, 0.0, wide), type=wide), out.dtype)

    examples = (
        example(n=3),
        example(n=2, m=4, dtype="bool"),
        example(n=70),
        example(n=70, m=3, dtype="int64"),
    )
