"""Arithmetic of two operands, with PyTorch's type promotion and broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from specc.ir.types import result_type
from specc.ops.kernels import NARROW, widened
from specc.ops.op import (
    Code, DType, OnnxBuilder, Op, OpError, Ref, TensorType, TorchWriter, example, op, param,
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


def _floor_divided(g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
    """`floor(a / b)`, exact where the rounded quotient would step over an integer."""
    if not dtype.is_floating:
        # (a - a % b) / b has no remainder, so it does not matter that ONNX truncates.
        rest = widened(g, "Mod", a, b, type=out, dtype=dtype)
        return widened(g, "Div", widened(g, "Sub", a, rest, type=out, dtype=dtype), b,
                       type=out, dtype=dtype)  # fmt: skip
    a, b = g.cast(a, dtype), g.cast(b, dtype)
    rest = g.op("Mod", a, b, fmod=1, type=out)
    whole = g.op("Round", g.op("Div", g.op("Sub", a, rest, type=out), b, type=out))
    below = g.cast(_signs_differ(g, rest, b, out), dtype)
    # x // 0 is x / 0: the signed infinity, not the NaN of the remainder.
    by_zero = g.op("Equal", b, g.const(0, dtype), type=b.type.with_dtype(DType.bool))
    return g.op(
        "Where", by_zero, g.op("Div", a, b, type=out), g.op("Sub", whole, below), type=out
    )


def _signs_differ(g: OnnxBuilder, a: Ref, b: Ref, out: TensorType) -> Ref:
    """Whether one is above and the other below zero; a product could underflow."""
    signs = g.op("Mul", g.op("Sign", a), g.op("Sign", b), type=out)
    return g.op("Less", signs, g.const(0, out.dtype), type=out.with_dtype(DType.bool))


def _truncated(g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
    quotient = widened(g, "Div", a, b, type=out, dtype=dtype)
    return trunc(g, quotient) if dtype.is_floating else quotient


def trunc(g: OnnxBuilder, x: Ref) -> Ref:
    """Rounding towards zero, for which ONNX has no operator."""
    return g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x)))


_ROUNDED: dict[str, Callable[..., Ref]] = {"floor": _floor_divided, "trunc": _truncated}


@op("div")
class Div(Binary):
    """`input / other`; integers give `float32` unless the result is rounded.

    Shape: broadcast.
    """

    rounding_mode: Literal["floor", "trunc"] | None = param(
        default=None, doc="`floor`: round down; `trunc`: round towards zero"
    )
    symbol = "/"

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        out = super().infer(input, other)
        dtype = result_type(input, other)
        require_dtype(not self.rounding_mode or dtype is not DType.bool, self.name, dtype)
        return out

    def result(self, dtype: DType) -> DType:
        return dtype if self.rounding_mode else floating(dtype)

    operand = result

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str | Code:
        if not self.rounding_mode:
            return super().torch(py, input, other)
        return py.call("torch.div", input, other, rounding_mode=self.rounding_mode)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        if self.rounding_mode:
            return _ROUNDED[self.rounding_mode](g, a, b, dtype, out)
        return g.op("Div", g.cast(a, dtype), g.cast(b, dtype), type=out)

    examples = (
        example("N 4", "N 4"),
        example("N 4", other=3),
        example("N 4", input=1),
        example("int64: N T", other=4),
        example("bool: N T", "bool: N T"),
        example("N 4", "N 4", rounding_mode="floor"),
        example("N 4", other=0.1, rounding_mode="trunc"),
        example("int64<20: N T", other=-3, rounding_mode="floor"),
        example("int32<20: N T", other=-3, rounding_mode="trunc"),
    )


@op("floor_divide")
class FloorDivide(Binary):
    """`floor(input / other)`, as Python's `//`.

    Shape: broadcast.
    """

    symbol, takes_bool = "//", False

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return _floor_divided(g, a, b, dtype, out)

    examples = (
        example("int64<20: N T", other=3),
        example("N 4", other=-0.1),
        example("N 4", "N 4"),
        example("N 4", input=-7),
        example("int8: N 4", other=-3),
    )


@op("remainder")
class Remainder(Binary):
    """`input - floor(input / other) * other`: the sign is that of `other`, as for Python's `%`.

    Shape: broadcast.
    """

    symbol, takes_bool = "%", False

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        if not dtype.is_floating:
            return widened(g, "Mod", a, b, type=out, dtype=dtype)
        a, b = g.cast(a, dtype), g.cast(b, dtype)
        rest = g.op("Mod", a, b, fmod=1, type=out)
        other = _signs_differ(g, rest, b, out)
        return g.op("Where", other, g.op("Add", rest, b, type=out), rest, type=out)

    examples = (
        example("int64<20: N T", other=-3),
        example("N 4", other=0.7),
        example("N 4", "4"),
        example("N 4", input=-2),
        example("int16: N 4", other=-3),
    )


@op("fmod")
class Fmod(Binary):
    """The remainder of a division that rounds towards zero: the sign is that of `input`.

    Shape: broadcast.
    """

    takes_bool = False
    scalars = ("other",)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return widened(g, "Mod", a, b, type=out, dtype=dtype, fmod=1)

    examples = (
        example("int64<20: N T", other=-3),
        example("N 4", other=0.7),
        example("N 4", "N 1"),
    )
