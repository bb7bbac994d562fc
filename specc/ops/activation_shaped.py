"""Nonlinearities with parameters that set their slope, their range or their form."""

from __future__ import annotations

import math
from typing import Literal

from specc.ops.activation import OfNumbers, Unary, as_function, clipped, softplus
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    OpError,
    Raw,
    Ref,
    TensorType,
    TorchWriter,
    Weights,
    example,
    op,
    param,
    weight,
)  # fmt: skip
from specc.ops.shapes import axis


@op("GELU")
class GELU(Unary):
    """`x * Phi(x)` with the normal distribution's `Phi` (https://arxiv.org/abs/1606.08415).

    Shape: unchanged.
    """

    approximate: Literal["none", "tanh"] = param(
        default="none", doc="`tanh`: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x³)))`"
    )

    function = "F.gelu"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if g.opset >= 20:
            return g.op("Gelu", input, approximate="tanh" if self.approximate == "tanh" else None)
        kind = input.type.dtype
        one, half = g.const(1.0, kind), g.const(0.5, kind)
        if self.approximate == "none":
            bent = g.op("Erf", g.op("Div", input, g.const(math.sqrt(2), kind)))
            # Runtimes with a fused kernel look for just this order of the nodes.
            return g.op("Mul", g.op("Mul", input, g.op("Add", bent, one)), half)
        square = g.op("Mul", input, input)
        factor = g.op("Add", g.op("Mul", square, g.const(0.044715, kind)), one)
        inner = g.op("Mul", g.op("Mul", input, factor), g.const(math.sqrt(2 / math.pi), kind))
        share = g.op("Mul", g.op("Add", g.op("Tanh", inner), one), half)
        return g.op("Mul", input, share)

    examples = (
        example("N 8"),
        example("N 3 5", approximate="tanh"),
        example("-9<=float32<9: N 3 5", approximate="none"),
    )


@op("ELU")
class ELU(Unary):
    """`x` above zero, `alpha * (exp(x) - 1)` below.

    Shape: unchanged.
    """

    alpha: float = param(default=1.0, doc="how far it goes below zero")

    function = "F.elu"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Elu", input, alpha=self.alpha)

    examples = (example("N 8"), example("N 3 5", alpha=0.5))


@op("CELU")
class CELU(Unary):
    """`x` above zero, `alpha * (exp(x / alpha) - 1)` below.

    Shape: unchanged.
    """

    alpha: float = param(default=1.0, gt=0, doc="how far it goes below zero")

    function = "F.celu"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if input.type.dtype is DType.float32:
            return g.op("Celu", input, alpha=self.alpha)
        scale = g.const(self.alpha, input.type.dtype)
        return g.op("Mul", g.op("Elu", g.op("Div", input, scale), alpha=1.0), scale)

    examples = (example("N 8"), example("N 3 5", alpha=0.5))


@op("LeakyReLU")
class LeakyReLU(Unary):
    """`x` above zero, `negative_slope * x` below.

    Shape: unchanged.
    """

    negative_slope: float = param(default=0.01, doc="the slope below zero")

    function = "F.leaky_relu"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("LeakyRelu", input, alpha=self.negative_slope)

    examples = (example("N 8"), example("N 3 5", negative_slope=0.2))


@op("RReLU")
class RReLU(Unary):
    """Leaky ReLU whose slope is drawn between `lower` and `upper` in training.

    In eval mode the slope is the middle of the two.

    Shape: unchanged.
    """

    lower: float = param(default=1 / 8, doc="the least slope")
    upper: float = param(default=1 / 3, doc="the greatest slope")

    def infer(self, input: TensorType) -> TensorType:
        if self.lower > self.upper:
            raise OpError("S103", f"`lower` {self.lower} is above `upper`", param="lower")
        return super().infer(input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.apply(
            "nn.RReLU", "F.rrelu", input, lower=self.lower, upper=self.upper,
            training=Raw("self.training"),
        )  # fmt: skip

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("LeakyRelu", input, alpha=(self.lower + self.upper) / 2)

    examples = (example("N 8"), example("N 3 5", lower=0.1, upper=0.2))


@op("PReLU")
class PReLU(Unary):
    """Leaky ReLU with learned slopes: one, or one per channel (https://arxiv.org/abs/1502.01852).

    Shape: unchanged; with several slopes `(N, C, *)` with `C` of `num_parameters`.
    """

    num_parameters: int = param(default=1, ge=1, doc="1, or the number of channels")
    init: float = param(default=0.25, doc="the slopes at the start")

    def infer(self, input: TensorType) -> TensorType:
        count = self.num_parameters
        if count != 1 and (input.rank < 2 or input.shape[1] != count):
            raise OpError(
                "T401", f"`PReLU` with {count} slopes needs {count} channels, got {input}",
                param="num_parameters",
            )  # fmt: skip
        return super().infer(input)

    def weights(self, input: TensorType) -> Weights:
        yield weight("weight", (self.num_parameters,), input.dtype)

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer("nn.PReLU", num_parameters=self.num_parameters, init=self.init)
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        slope = g.weight("weight")
        if self.num_parameters > 1 and input.rank > 2:
            slope = g.reshape(slope, (self.num_parameters, *(1,) * (input.rank - 2)))
        elif not input.rank:
            slope = g.reshape(slope, ())
        return g.op("PRelu", input, slope)

    examples = (
        example("N 8"), example("N 3 T", num_parameters=3), example("N 8", num_parameters=8),
        example("N T"), example("N 3 H W", num_parameters=3, init=0.1),
    )  # fmt: skip


@op("Hardtanh")
class Hardtanh(OfNumbers):
    """`x` kept between `min_val` and `max_val`.

    Shape: unchanged.
    """

    min_val: float = param(default=-1.0, doc="the least value")
    max_val: float = param(default=1.0, doc="the greatest value")

    function = "F.hardtanh"

    def infer(self, input: TensorType) -> TensorType:
        if self.min_val >= self.max_val:
            raise OpError("S103", "`min_val` must be below `max_val`", param="min_val")
        return super().infer(input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return clipped(g, input, self.min_val, self.max_val)

    examples = (
        example("N 8"),
        example("-9<=float32<9: N 3 5", min_val=0, max_val=6),
        example("int64: N", max_val=2),
    )


@op("Hardshrink")
class Hardshrink(Unary):
    """Zero between `-lambd` and `lambd`, `x` outside.

    Shape: unchanged.
    """

    lambd: float = param(default=0.5, ge=0, doc="up to where values are zero")

    function = "F.hardshrink"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        kind = input.type.dtype
        # ONNX's Shrink makes zero of NaN.
        small = g.op(
            "LessOrEqual", g.op("Abs", input), g.const(self.lambd, kind),
            type=input.type.with_dtype(DType.bool),
        )  # fmt: skip
        return g.op("Where", small, g.const(0.0, kind), input, type=input.type)

    examples = (example("N 8"), example("N 3 5", lambd=1.0))


@op("Softshrink")
class Softshrink(Unary):
    """`x` moved towards zero by `lambd`, and zero where it would cross it.

    Shape: unchanged.
    """

    lambd: float = param(default=0.5, ge=0, doc="by how much values shrink")

    function = "F.softshrink"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Sub", input, clipped(g, input, -self.lambd, self.lambd))

    examples = (example("N 8"), example("N 3 5", lambd=1.0))


@op("Softplus")
class Softplus(Unary):
    """`log(1 + exp(beta x)) / beta`; simply `x` where `beta x` is above `threshold`.

    Shape: unchanged.
    """

    beta: float = param(default=1.0, gt=0, doc="how sharply it bends")
    threshold: float = param(default=20.0, doc="from where on it is the identity")

    function = "F.softplus"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        kind = input.type.dtype
        scaled = input if self.beta == 1 else g.op("Mul", input, g.const(self.beta, kind))
        bent = softplus(g, scaled)
        if self.beta != 1:
            bent = g.op("Div", bent, g.const(self.beta, kind))
        if self.beta == 1 and self.threshold >= 20 and kind is not DType.float64:
            # exp(-20) is below the resolution there, so the two branches are equal.
            return bent
        linear = g.op(
            "Greater", scaled, g.const(self.threshold, kind), type=input.type.with_dtype(DType.bool)
        )
        return g.op("Where", linear, input, bent, type=input.type)

    examples = (
        example("-30<=float32<30: N 8"),
        example("N 3 5", beta=2.0),
        example("N T", beta=0.5, threshold=0.4),
    )


@op("Threshold")
class Threshold(OfNumbers):
    """`x` above `threshold`, `value` elsewhere.

    Shape: unchanged.
    """

    threshold: float = param(doc="up to where `value` stands")
    value: float = param(doc="what stands there")

    function = "F.threshold"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        kind = input.type.dtype
        flags = input.type.with_dtype(DType.bool)
        low = g.op("LessOrEqual", input, g.const(self.threshold, kind), type=flags)
        return g.op("Where", low, g.const(self.value, kind), input, type=input.type)

    examples = (
        example("N 8", threshold=0.1, value=20.0), example("N T", threshold=-0.5, value=0),
    )  # fmt: skip


@op("GLU")
class GLU(Unary):
    """Gated linear unit: the first half times the sigmoid of the second.

    Shape: unchanged but for the axis `dim`, which is halved.
    """

    dim: int = param(default=-1, doc="the axis that is halved")

    function = "F.glu"

    def infer(self, input: TensorType) -> TensorType:
        at = axis(input, self.dim)
        size = input.shape[at]
        if size % 2 != 0:
            odd = f"{size} is odd" if isinstance(size, int) else f"`{size}` may be odd"
            raise OpError(
                "T411", f"`{self.name}` halves axis {at}, but {odd}", param="dim",
                hint=None if isinstance(size, int) else "state its `multiple_of` under `dims`",
            )  # fmt: skip
        super().infer(input)
        return input.with_shape(*input.shape[:at], size // 2, *input.shape[at + 1 :])

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        half = self.infer(input.type)
        parts = 2 if g.opset >= 18 else None
        a, b = g.ops("Split", input, types=(half, half), axis=self.dim, num_outputs=parts)
        return g.op("Mul", a, g.op("Sigmoid", b))

    examples = (example("N 8"), example("N 6 T", dim=1), example("N T 8", dim=2))


for _module, _function in {
    GELU: "gelu", ELU: "elu", CELU: "celu", LeakyReLU: "leaky_relu", Hardtanh: "hardtanh",
    Hardshrink: "hardshrink", Softshrink: "softshrink", Softplus: "softplus",
    Threshold: "threshold", GLU: "glu",
}.items():  # fmt: skip
    as_function(_module, _function)
