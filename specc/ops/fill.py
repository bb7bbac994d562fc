"""New tensors: filled with a number, counted up, or ones along a diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from specc.ir.dims import Dim, bounds, ceil_div
from specc.ops.create import DTypeName, stored
from specc.ops.expand import onnx_expand
from specc.ops.index import STATE_MIN, onnx_position
from specc.ops.op import (
    Code, DType, Exactness, OnnxBuilder, Op, OpError, Raw, Ref, Size, TensorType, TorchWriter,
    example, op, param,
)  # fmt: skip

LISTED = 4096
"""Up to this many elements, a tensor of known values is stored in the file."""

_DTYPE = "element type; default: that of the values"


def natural(value: Any) -> DType:
    """The element type that PyTorch gives to a tensor of this number."""
    if isinstance(value, bool):
        return DType.bool
    return DType.float32 if isinstance(value, float) else DType.int64


def source_of(dtype: str) -> Raw:
    """An element type as Python."""
    # Not `torch.float32`: where the whole model runs in float64, this must too.
    return Raw("torch.get_default_dtype()" if dtype == "float32" else f"torch.{dtype}")


class _Created(Op):
    """Base of the operators without an input."""

    check: ClassVar[Exactness] = "exact"
    dtype: str | None

    def default(self) -> DType:
        """The element type unless `dtype` says otherwise."""
        return DType.float32

    def made(self, *shape: Size) -> TensorType:
        return TensorType(DType(self.dtype) if self.dtype else self.default(), shape)

    def source(self, py: TorchWriter, function: str, *arguments: Any) -> str:
        named = self.dtype and self.dtype != self.default().value
        keywords = {"dtype": source_of(self.dtype)} if self.dtype and named else {}
        return py.call(function, *arguments, **keywords, device=Raw(py.device()))


def filled(g: OnnxBuilder, value: Any, out: TensorType) -> Ref:
    """A tensor of one number."""
    return onnx_expand(g, g.const(stored(value, out.dtype, "fill_value"), out.dtype), out)


class _Filled(_Created):
    """Base of the operators that fill a shape with one number."""

    size: tuple[int | Dim, ...]
    value: Any = 0

    def infer(self) -> TensorType:
        return self.made(*self.size)

    def torch(self, py: TorchWriter) -> str:
        sizes = Raw(", ".join(map(py.size, self.size)) or "()")
        return self.source(py, f"torch.{self.name}", sizes)

    def onnx(self, g: OnnxBuilder) -> Ref:
        return filled(g, self.value, self.infer())


@op("zeros")
class Zeros(_Filled):
    """A tensor of zeros.

    Shape: `size`.
    """

    size: tuple[int | Dim, ...] = param(ge=0, doc="its sizes")
    dtype: DTypeName | None = param(default=None, doc="element type; default: `float32`")

    examples = (
        example(size=(2, 3)),
        example(size=(), dtype="int64"),
        example(size=(2, 1), dtype="bool"),
    )


@op("ones")
class Ones(_Filled):
    """A tensor of ones.

    Shape: `size`.
    """

    size: tuple[int | Dim, ...] = param(ge=0, doc="its sizes")
    dtype: DTypeName | None = param(default=None, doc="element type; default: `float32`")

    value = 1
    examples = (example(size=(2, 3)), example(size=(4,), dtype="int32"))


@op("full")
class Full(_Created):
    """A tensor of one number.

    Shape: `size`.
    """

    size: tuple[int | Dim, ...] = param(ge=0, doc="its sizes")
    fill_value: int | float | bool = param(doc="the number")
    dtype: DTypeName | None = param(default=None, doc=_DTYPE)

    def default(self) -> DType:
        return natural(self.fill_value)

    def infer(self) -> TensorType:
        out = self.made(*self.size)
        stored(self.fill_value, out.dtype, "fill_value")
        return out

    def torch(self, py: TorchWriter) -> str:
        sizes = ", ".join(map(py.size, self.size)) + "," * (len(self.size) == 1)
        return self.source(py, "torch.full", Raw(f"({sizes})"), self.fill_value)

    def onnx(self, g: OnnxBuilder) -> Ref:
        return filled(g, self.fill_value, self.infer())

    examples = (
        example(size=(2, 3), fill_value=0.5),
        example(size=(4,), fill_value=7),
        example(size=(4,), fill_value=True),
        example(size=(2, 2), fill_value=2, dtype="float32"),
        example(size=(1,), fill_value=float("-inf")),
    )


class _Like(Op):
    """Base of the operators that fill the shape of another tensor."""

    check = "exact"
    dtype: str | None

    def number(self) -> Any:
        return 0

    def infer(self, input: TensorType) -> TensorType:
        out = TensorType(DType(self.dtype) if self.dtype else input.dtype, input.shape)
        stored(self.number(), out.dtype, "fill_value")
        return out

    def torch(self, py: TorchWriter, input: Code) -> str:
        keywords = {"dtype": source_of(self.dtype)} if self.dtype else {}
        positional = [self.number()] if "fill_value" in self.params else []
        return py.call(f"torch.{self.name}", input, *positional, **keywords)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return filled(g, self.number(), self.infer(input.type))

    examples = (example("N T"), example("int64: N 3"), example("N T", dtype="bool"))


@op("zeros_like")
class ZerosLike(_Like):
    """Zeros in the shape of another tensor.

    Shape: that of the input.
    """

    dtype: DTypeName | None = param(default=None, doc="element type; default: the input's")


@op("ones_like")
class OnesLike(_Like):
    """Ones in the shape of another tensor.

    Shape: that of the input.
    """

    dtype: DTypeName | None = param(default=None, doc="element type; default: the input's")

    def number(self) -> Any:
        return 1


@op("full_like")
class FullLike(_Like):
    """One number in the shape of another tensor.

    Shape: that of the input.
    """

    fill_value: int | float | bool = param(doc="the number")
    dtype: DTypeName | None = param(default=None, doc="element type; default: the input's")

    def number(self) -> Any:
        return self.fill_value

    examples = (
        example("N T", fill_value=0.5),
        example("int64: N 3", fill_value=0.5),
        example("N T", fill_value=3, dtype="int32"),
    )


@op("arange")
class Arange(_Created):
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
class Linspace(_Created):
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
class Eye(_Created):
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
