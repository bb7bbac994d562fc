"""Regularization that acts in training only."""

from __future__ import annotations

from specc.ops.op import Code, OnnxBuilder, Op, Raw, Ref, TensorType, TorchWriter, example, op, param


@op("Dropout")
class Dropout(Op):
    """Zeroes elements with probability `p` in training and scales the rest by `1 / (1 - p)`.

    Shape: unchanged. In eval mode it does nothing.
    """

    p: float = param(default=0.5, ge=0, le=1, doc="probability of an element to be zeroed")

    check = "exact"
    training_only = True

    def infer(self, input: TensorType) -> TensorType:
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.apply("nn.Dropout", "F.dropout", input, p=self.p, training=Raw("self.training"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return input

    examples = (example("N 8", p=0.2), example("N T 8"))
