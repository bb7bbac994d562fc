"""Arithmetic of two operands, with PyTorch's type promotion and broadcasting."""

from __future__ import annotations

from typing import ClassVar

from specc.ir.types import result_type
from specc.ops.kernels import NARROW, widened
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import broadcast


def require_tensor(name: str, *operands: TensorType) -> None:
    """Raise `OpError` where all operands are plain numbers."""
    if all(kind.weak for kind in operands):
        raise OpError(
            "T404", f"`{name}` needs a tensor, got {'numbers' * (len(operands) > 1) or 'a number'}",
            hint="`full` makes a tensor of a number",
        )  # fmt: skip


def require_dtype(allowed: bool, name: str, dtype: DType, needed: str = "") -> None:
    """Raise `OpError` unless the operator takes the element type."""
    if not allowed:
        wants = f"needs {needed} values, got {dtype}" if needed else f"does not take {dtype} values"
        raise OpError("T404", f"`{name}` {wants}", hint="convert with `to`")


def floating(dtype: DType) -> DType:
    """What PyTorch turns integers and booleans into where an operator needs fractions."""
    return dtype if dtype.is_floating else DType.float32


class Binary(Op):
    """Base of the elementwise operators of two operands."""

    takes_bool: ClassVar[bool] = True
    takes_floating: ClassVar[bool] = True
    scalars: ClassVar[tuple[str, ...]] = ("input", "other")
    symbol: ClassVar[str] = ""
    """Python's operator; where there is none, a function of torch is called."""

    def result(self, dtype: DType) -> DType:
        """The result's element type, from that of the promoted operands."""
        return dtype

    def operand(self, dtype: DType) -> DType:
        """The element type to compute in, from that of the promoted operands."""
        return dtype

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        require_tensor(self.name, input, other)
        dtype = result_type(input, other)
        require_dtype(self.takes_bool or dtype is not DType.bool, self.name, dtype)
        require_dtype(
            self.takes_floating or not dtype.is_floating, self.name, dtype, "integer or bool"
        )
        return TensorType(self.result(dtype), broadcast(input.shape, other.shape))

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str | Code:
        if self.symbol:
            return py.binary(self.symbol, input, other)
        return py.call(f"torch.{self.name}", input, other)

    def onnx(self, g: OnnxBuilder, input: Ref, other: Ref) -> Ref:
        out = self.infer(input.type, other.type)
        return self.lower(g, input, other, self.operand(result_type(input.type, other.type)), out)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        """The nodes, computed on operands of `dtype`."""
        raise NotImplementedError


class _Sum(Binary):
    """Addition and subtraction, which PyTorch lets scale the second operand."""

    alpha: int | float = param(default=1, doc="factor of `other`")
    node: ClassVar[str]

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        out = super().infer(input, other)
        if isinstance(self.alpha, float) and not out.dtype.is_floating:
            raise OpError("T404", f"`alpha` must be an integer for {out.dtype}", param="alpha")
        return out

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str | Code:
        if self.alpha == 1:
            return super().torch(py, input, other)
        return py.call(f"torch.{self.name}", input, other, alpha=self.alpha)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        if self.alpha != 1:
            factor = g.const(self.alpha, DType.int32 if dtype in NARROW else dtype)
            scaled = b.type.with_dtype(dtype)
            b = widened(g, "Mul", b, factor._replace(type=factor.type._replace(weak=True)),
                        type=scaled, dtype=dtype)  # fmt: skip
        return widened(g, self.node, a, b, type=out, dtype=dtype)


@op("add")
class Add(_Sum):
    """`input + alpha * other`; for `bool`, logical or.

    Shape: broadcast.
    """

    symbol, node = "+", "Add"
    examples = (
        example("N 4", "N 4"),
        example("N T 1", "T 4", alpha=2),
        example("N 4", other=0.5),
        example("int64: N T", "N T"),
        example("int64<9: N T", other=1.5),
        example("int32: N T", "int64: T", alpha=-3),
        example("bool: N 4", "bool: N 4"),
        example("uint8: N 4", "int8: N 4"),
        example("N 4", input=2, alpha=0.25),
    )


@op("sub")
class Sub(_Sum):
    """`input - alpha * other`.

    Shape: broadcast.
    """

    symbol, node = "-", "Sub"

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        for operand in (input, other):
            require_dtype(operand.dtype is not DType.bool, self.name, operand.dtype)
        return super().infer(input, other)

    examples = (
        example("N 4", "N 4"),
        example("N 4", input=1),
        example("N 4", other=1, alpha=3),
        example("int8: N T", "uint8: N 1"),
        example("int64: N T", "N T"),
    )


@op("mul")
class Mul(Binary):
    """`input * other`; for `bool`, logical and.

    Shape: broadcast.
    """

    symbol = "*"

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return widened(g, "Mul", a, b, type=out, dtype=dtype)

    examples = (
        example("N 4", "4"),
        example("N 4", other=0.5),
        example("N 4", other=-2),
        example("int64: N T", "bool: N T"),
        example("bool: N 4", "bool: N 4"),
        example("float16: N 4", "int16: N 4"),
    )
