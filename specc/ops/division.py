"""Division and its remainders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from specc.ir.types import result_type
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
    param,
)  # fmt: skip


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
    return g.op("Where", by_zero, g.op("Div", a, b, type=out), g.op("Sub", whole, below), type=out)


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
