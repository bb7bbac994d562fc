"""Functions of one number, applied to each element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from specc.ops.arithmetic import floating, require_dtype, require_tensor
from specc.ops.division import trunc
from specc.ops.kernels import widened
from specc.ops.op import (
    Code,
    DType,
    Exactness,
    Example,
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

Lowering = str | Callable[[OnnxBuilder, Ref], Ref]
_FORMS: dict[str, Lowering] = {}
"""How each function of the table is written in ONNX."""


class Pointwise(Op):
    """Base of the functions that turn integers and booleans into floating-point numbers."""

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input.with_dtype(floating(input.dtype))

    def torch(self, py: TorchWriter, input: Code) -> str | Code:
        return py.call(f"torch.{self.name}", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return _lowered(g, _FORMS[self.name], g.cast(input, floating(input.type.dtype)))


def _lowered(g: OnnxBuilder, lowering: Lowering, x: Ref) -> Ref:
    return g.op(lowering, x) if isinstance(lowering, str) else lowering(g, x)


class Rounding(Op):
    """Base of the functions that round to integers, which integers pass unchanged."""

    check: ClassVar[Exactness] = "discrete"

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        require_dtype(input.dtype is not DType.bool, self.name, input.dtype)
        return input

    def torch(self, py: TorchWriter, input: Code) -> str | Code:
        return py.call(f"torch.{self.name}", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if not input.type.dtype.is_floating:
            return input
        return _lowered(g, _FORMS[self.name], input)


class Keeping(Rounding):
    """Base of the functions that keep integers integers."""

    check: ClassVar[Exactness] = "exact"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        node = _FORMS[self.name]
        assert isinstance(node, str)
        return widened(g, node, input, type=self.infer(input.type), dtype=input.type.dtype)


class Property(Op):
    """Base of the questions about a floating-point number; integers are all finite."""

    check: ClassVar[Exactness] = "exact"

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input.with_dtype(DType.bool)

    def torch(self, py: TorchWriter, input: Code) -> str | Code:
        return py.call(f"torch.{self.name}", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        x = g.cast(input, floating(input.type.dtype))
        return _asked(g, _FORMS[self.name], x)


def _asked(g: OnnxBuilder, lowering: Lowering, x: Ref) -> Ref:
    if isinstance(lowering, str):
        return g.op(lowering, x, type=x.type.with_dtype(DType.bool))
    return lowering(g, x)


# -- forms of functions that ONNX lacks -----------------------------------------------------


def number(g: OnnxBuilder, value: float, like: Ref) -> Ref:
    """A constant of the same element type."""
    return g.const(value, like.type.dtype)


def expm1(g: OnnxBuilder, x: Ref) -> Ref:
    """`exp(x) - 1 = tanh(x/2) (exp(x) + 1)`, which does not cancel near zero."""
    half = g.op("Tanh", g.op("Mul", x, number(g, 0.5, x)))
    return g.op("Mul", half, g.op("Add", g.op("Exp", x), number(g, 1.0, x)))


def log1p(g: OnnxBuilder, x: Ref) -> Ref:
    """`log(1 + x)`, with the rounding error of `u = 1 + x` put back: `log(u) + (x - (u-1))/u`."""
    u = g.op("Add", x, number(g, 1.0, x))
    rounded = g.op("Sub", u, number(g, 1.0, x))
    log = g.op("Log", u)
    lost = g.op("Div", g.op("Sub", x, rounded), u)
    # Where nothing was lost, x may be -1 or infinite, and 0/0 or inf - inf would follow.
    exact = g.op("Equal", rounded, x, type=x.type.with_dtype(DType.bool))
    return g.op("Where", exact, log, g.op("Add", log, lost), type=x.type)


def _scaled_log(base: float) -> Callable[[OnnxBuilder, Ref], Ref]:
    return lambda g, x: g.op("Mul", g.op("Log", x), number(g, 1 / math.log(base), x))


def _rsqrt(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Reciprocal", g.op("Sqrt", x))


def _erfc(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Sub", number(g, 1.0, x), g.op("Erf", x))


def _is_finite(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Less", g.op("Abs", x), number(g, math.inf, x), type=x.type.with_dtype(DType.bool))


# -- the table ------------------------------------------------------------------------------


def _register(
    base: type[Op], name: str, lowering: Lowering, doc: str, *examples: Example
) -> None:  # fmt: skip
    words = {"__doc__": f"{doc}\n\nShape: unchanged.", "__module__": __name__}
    _FORMS[name] = lowering
    op(name)(type(name, (base,), {**words, "examples": examples}))


def _function(name: str, lowering: Lowering, doc: str, domain: str = "float32") -> None:
    _register(Pointwise, name, lowering, doc, example(f"{domain}: N 4"), example("bool: N T"))


_function("exp", "Exp", "`e ** x`.")
_function("expm1", expm1, "`e ** x - 1`, precise near zero.")
_function("log", "Log", "Natural logarithm.", "0<=float32<9")
_function("log1p", log1p, "`log(1 + x)`, precise near zero.", "0<=float32<2")
_function("log2", _scaled_log(2), "Logarithm to base 2.", "0<=float32<9")
_function("log10", _scaled_log(10), "Logarithm to base 10.", "0<=float32<9")
_function("sqrt", "Sqrt", "Square root.", "0<=float32<9")
_function("rsqrt", _rsqrt, "`1 / sqrt(x)`.", "0<=float32<9")
_function("reciprocal", "Reciprocal", "`1 / x`.")
_function("sin", "Sin", "Sine.")
_function("cos", "Cos", "Cosine.")
_function("tan", "Tan", "Tangent.")
_function("asin", "Asin", "Inverse sine.", "0<=float32<1")
_function("acos", "Acos", "Inverse cosine.", "0<=float32<1")
_function("atan", "Atan", "Inverse tangent.")
_function("sinh", "Sinh", "Hyperbolic sine.")
_function("cosh", "Cosh", "Hyperbolic cosine.")
_function("asinh", "Asinh", "Inverse hyperbolic sine.")
_function("acosh", "Acosh", "Inverse hyperbolic cosine.", "1<=float32<9")
_function("atanh", "Atanh", "Inverse hyperbolic tangent.", "0<=float32<1")
_function("erf", "Erf", "Error function, `2/sqrt(pi) * integral of exp(-t**2) from 0 to x`.")
_function("erfc", _erfc, "`1 - erf(x)`; ONNX computes it as that, to an absolute 1e-7.")

_PARTS = (example("N 4"), example("int64: N T"))
_register(Rounding, "floor", "Floor", "The next integer below.", *_PARTS)
_register(Rounding, "ceil", "Ceil", "The next integer above.", *_PARTS)
_register(Rounding, "trunc", trunc, "The next integer towards zero.", *_PARTS)

_register(Keeping, "abs", "Abs", "Absolute value.", *_PARTS, example("int8: N 4"))

_register(Property, "isnan", "IsNaN", "Whether a value is not a number.", *_PARTS)
_register(Property, "isinf", "IsInf", "Whether a value is infinite.", *_PARTS)
_register(
    Property,
    "isfinite",
    _is_finite,
    "Whether a value is neither infinite nor NaN.",
    *_PARTS,
)


@op("neg")
class Neg(Keeping):
    """`-input`.

    Shape: unchanged.
    """

    def torch(self, py: TorchWriter, input: Code) -> Code:
        return Code(f"-{input.within(2)}", input.type, 2)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return widened(g, "Neg", input, type=input.type, dtype=input.type.dtype)

    examples = (example("N 4"), example("int64: N T"), example("uint8: N T"))


@op("sign")
class Sign(Keeping):
    """-1, 0 or 1: the sign of each value; of NaN, 0 in PyTorch and NaN in ONNX.

    Shape: unchanged.
    """

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if input.type.dtype is DType.bool:
            return input
        return widened(g, "Sign", input, type=input.type, dtype=input.type.dtype)

    examples = (example("N 4"), example("int64: N T"), example("bool: N T"))


@op("square")
class Square(Op):
    """`input ** 2`.

    Shape: unchanged.
    """

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input.with_dtype(DType.int64) if input.dtype is DType.bool else input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.square", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        return widened(g, "Mul", input, input, type=out, dtype=out.dtype)

    examples = (example("N 4"), example("int64: N T"), example("bool: N T"), example("int8: N T"))


@op("frac")
class Frac(Op):
    """The part after the point, `x - trunc(x)`.

    Shape: unchanged. Takes floating-point numbers.
    """

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        require_dtype(input.dtype.is_floating, self.name, input.dtype, "floating-point")
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.frac", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Sub", input, trunc(g, input))

    examples = (example("N 4"), example("N T 3"))


@op("round")
class Round(Rounding):
    """The nearest number with `decimals` digits after the point; halves go to the even one.

    Shape: unchanged.
    """

    decimals: int = param(default=0, doc="digits after the point; negative: before it")

    def infer(self, input: TensorType) -> TensorType:
        if self.decimals and not input.dtype.is_floating:
            raise OpError("T404", f"`decimals` needs floating-point values, got {input.dtype}",
                          param="decimals")  # fmt: skip
        return super().infer(input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.round", input, **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if not input.type.dtype.is_floating:
            return input
        if not self.decimals:
            return g.op("Round", input)
        shift = number(g, float(10 ** abs(self.decimals)), input)
        there, back = ("Mul", "Div") if self.decimals > 0 else ("Div", "Mul")
        return g.op(back, g.op("Round", g.op(there, input, shift)), shift)

    examples = (
        example("N 4"),
        example("N 4", decimals=2),
        example("N 4", decimals=-1),
        example("int64: N T"),
    )
