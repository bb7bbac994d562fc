"""New tensors, filled with one number."""

from __future__ import annotations

from typing import Any, ClassVar

from specc.ir.dims import Dim
from specc.ops.create import DTypeName, stored
from specc.ops.expand import onnx_expand
from specc.ops.op import (
    Code,
    DType,
    Exactness,
    OnnxBuilder,
    Op,
    Raw,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip

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


class Created(Op):
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


class _Filled(Created):
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
class Full(Created):
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
