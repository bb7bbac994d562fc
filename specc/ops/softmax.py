"""Softmax and its relatives: values along one axis become a distribution."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.activation import Unary, as_function
from specc.ops.op import (
    Code,
    OnnxBuilder,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import axis, require_rank


class AlongAxis(Unary):
    """Base of the operators that normalize along one axis."""

    dim: int = param(doc="the axis that sums to one")

    def infer(self, input: TensorType) -> TensorType:
        # PyTorch takes a number for a vector of one.
        axis(input if input.rank else input.with_shape(1), self.dim)
        return super().infer(input)

    def along(self, g: OnnxBuilder, op_type: str, x: Ref) -> Ref:
        """The node; ONNX has no form of it without an axis."""
        if x.rank:
            return g.op(op_type, x, axis=self.dim)
        vector = g.op("Unsqueeze", x, g.const([0]), type=x.type.with_shape(1))
        return g.op("Squeeze", g.op(op_type, vector, axis=0), g.const([0]), type=x.type)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        # Maximum, difference, exponential, sum and quotient.
        return 5 * outputs[0].numel

    examples = (
        example("N 8", dim=-1), example("N 3 5", dim=1), example("N T 4", dim=-3),
        example("", dim=0),
    )  # fmt: skip


@op("Softmax")
class Softmax(AlongAxis):
    """`exp(x_i) / sum_j exp(x_j)` along one axis.

    Shape: unchanged.
    """

    function = "F.softmax"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return self.along(g, "Softmax", input)


@op("LogSoftmax")
class LogSoftmax(AlongAxis):
    """`x_i - log(sum_j exp(x_j))` along one axis.

    Shape: unchanged.
    """

    function = "F.log_softmax"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return self.along(g, "LogSoftmax", input)


@op("Softmin")
class Softmin(AlongAxis):
    """`exp(-x_i) / sum_j exp(-x_j)` along one axis.

    Shape: unchanged.
    """

    function = "F.softmin"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return self.along(g, "Softmax", g.op("Neg", input))


@op("Softmax2d")
class Softmax2d(Unary):
    """Softmax over the channels at each place of an image.

    Shape: `(N, C, H, W)` or `(C, H, W)`, unchanged.
    """

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, 3, 4, name="Softmax2d")
        return super().infer(input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{py.layer('nn.Softmax2d')}({input})"

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return 5 * outputs[0].numel

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Softmax", input, axis=-3)

    examples = (example("N 3 H W"), example("3 H W"))


for _module, _function in {
    Softmax: "softmax", LogSoftmax: "log_softmax", Softmin: "softmin",
}.items():  # fmt: skip
    as_function(_module, _function)
