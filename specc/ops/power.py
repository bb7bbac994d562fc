"""Powers, extremes and roots of two operands."""

from __future__ import annotations

import math
from typing import ClassVar

from specc.ops.arithmetic import Binary, floating, require_dtype
from specc.ops.kernels import widened
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
)  # fmt: skip
from specc.ops.pointwise import log1p


@op("pow")
class Pow(Binary):
    """`input ** exponent`; of integers, exact up to 2**53 in ONNX.

    Shape: broadcast.
    """

    symbol, takes_bool = "**", False
    scalars = ("input", "exponent")

    def infer(self, input: TensorType, exponent: TensorType) -> TensorType:
        return super().infer(input, exponent)

    def torch(self, py: TorchWriter, input: Code, exponent: Code) -> str | Code:
        return py.binary("**", input, exponent)

    def onnx(self, g: OnnxBuilder, input: Ref, exponent: Ref) -> Ref:
        return super().onnx(g, input, exponent)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return widened(g, "Pow", a, b, type=out, dtype=dtype)

    examples = (
        example("N 4", exponent=2),
        example("N 4", exponent=3.0),
        example("int64: N T", exponent=2),
        example("int64: N T", exponent=1.5),
        example("int64: N T", input=2),
        example("N 4", input=0.5),
        example("int64: N T", "int64: T"),
        example("bool: N T", exponent=2),
        example("int8: N T", "uint8: N T"),
    )


class Extreme(Binary):
    """Base of `maximum` and `minimum`."""

    node: ClassVar[str]
    bound: ClassVar[str]

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        out = super().infer(input, other)
        number = input.weak or other.weak  # which makes it a `clamp`
        require_dtype(not number or out.dtype is not DType.bool, self.name, out.dtype)
        return out

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str | Code:
        tensor, number = (other, input) if input.type.weak else (input, other)
        if number.type.weak:  # torch.maximum takes no number
            return f"{tensor.atom}.clamp({self.bound}={number})"
        return py.call(f"torch.{self.name}", input, other)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return widened(g, self.node, a, b, type=out, dtype=dtype)


@op("maximum")
class Maximum(Extreme):
    """The larger of two values at each place.

    Shape: broadcast.
    """

    check = "exact"
    node, bound = "Max", "min"
    examples = (
        example("N 4", "N 4"),
        example("N 4", other=0),
        example("int64: N T", "N 1"),
        example("int64: N T", input=1.5),
        example("bool: N 4", "bool: N 4"),
        example("int8: N 4", "uint8: 4"),
    )


@op("minimum")
class Minimum(Extreme):
    """The smaller of two values at each place.

    Shape: broadcast.
    """

    check = "exact"
    node, bound = "Min", "max"
    examples = (
        example("N 4", "N 4"),
        example("N 4", other=0.5),
        example("int16: N T", other=2),
        example("bool: N 4", "bool: 4"),
    )


class FloatingBinary(Binary):
    """Base of the functions of two tensors that are computed in floating point."""

    scalars = ()

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        out = super().infer(input, other)
        require_dtype(out.dtype.is_floating, self.name, out.dtype, "floating-point")
        return out


@op("atan2")
class Atan2(FloatingBinary):
    """The angle of the point `(other, input)` from the positive axis, within -pi to pi.

    Shape: broadcast.
    """

    def result(self, dtype: DType) -> DType:
        return floating(dtype)

    operand = result

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        y, x = g.cast(a, dtype), g.cast(b, dtype)
        zero, truth = g.const(0, dtype), DType.bool
        slope = g.op("Div", g.op("Abs", y), g.op("Abs", x), type=out)
        flat = g.op("Equal", y, zero, type=y.type.with_dtype(truth))  # 0/0 has the angle 0
        angle = g.op("Atan", g.op("Where", flat, zero, slope, type=out))
        left = g.op("Less", x, zero, type=x.type.with_dtype(truth))
        turned = g.op("Sub", g.const(math.pi, dtype), angle, type=out)
        angle = g.op("Where", left, turned, angle, type=out)
        below = g.op("Less", y, zero, type=y.type.with_dtype(truth))
        return g.op("Where", below, g.op("Neg", angle), angle, type=out)

    examples = (
        example("N T 4", "T 4"),
        example("int64: N T", "N T"),
        example("-3<=int64<3: N T", "-3<=int64<3: N T"),
    )


@op("hypot")
class Hypot(FloatingBinary):
    """`sqrt(input**2 + other**2)`.

    Shape: broadcast. Takes floating-point numbers.
    """

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        a, b = g.cast(a, dtype), g.cast(b, dtype)
        return g.op("Sqrt", g.op("Add", g.op("Mul", a, a), g.op("Mul", b, b), type=out))

    examples = (example("N 4", "N 4"), example("N T 4", "T 1"))


@op("logaddexp")
class Logaddexp(FloatingBinary):
    """`log(exp(input) + exp(other))` without overflow.

    Shape: broadcast. Takes floating-point numbers.
    """

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        a, b = g.cast(a, dtype), g.cast(b, dtype)
        # Equal infinities differ by 0, not by NaN.
        same = g.op("Equal", a, b, type=out.with_dtype(DType.bool))
        gap = g.op("Abs", g.op("Sub", a, b, type=out))
        gap = g.op("Where", same, g.const(0, dtype), gap, type=out)
        rest = log1p(g, g.op("Exp", g.op("Neg", gap)))
        return g.op("Add", g.op("Max", a, b, type=out), rest)

    examples = (example("N 4", "N 4"), example("N T 4", "T 1"))
