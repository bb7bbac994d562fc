"""Affine maps."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    Weights,
    example,
    op,
    param,
    weight,
)  # fmt: skip
from specc.ops.shapes import product


@op("Linear")
class Linear(Op):
    """Affine map of the last axis, `y = x @ W.T + b`.

    Shape: `(*, in) -> (*, out_features)`; `in` must be static.
    """

    out_features: int = param(ge=1, doc="size of the last output axis")
    bias: bool = param(default=True, doc="add a learned bias")

    inferred = ("in_features",)

    def infer(self, input: TensorType) -> TensorType:
        input.static(-1)
        return input.with_shape(*input.shape[:-1], self.out_features)

    def weights(self, input: TensorType) -> Weights:
        yield weight("weight", (self.out_features, input.static(-1)), input.dtype)
        if self.bias:
            yield weight("bias", (self.out_features,), input.dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        (x,) = inputs
        assert x
        return (2 * x.static(-1) + self.bias) * product(outputs[0].shape)

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer(
            "nn.Linear", in_features=input.type.static(-1), out_features=self.out_features,
            bias=self.bias,
        )  # fmt: skip
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        kernel, bias = g.weight("weight"), g.weight("bias") if self.bias else None
        if input.rank == 2:
            return g.op("Gemm", input, kernel, bias, transB=1, type=out)
        # Gemm is 2-D only; MatMul broadcasts over the leading axes.
        product = g.op("MatMul", input, g.transposed(kernel), type=out)
        return g.op("Add", product, bias) if bias else product

    examples = (
        example("N 16", out_features=4),
        example("N T 16", out_features=4, bias=False),
        example("N T 16", out_features=1),
        example("16", out_features=4),
    )


@op("Identity")
class Identity(Op):
    """Hands its input on unchanged."""

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.apply("nn.Identity", "", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return input

    examples = (example("N 4"),)
