"""Normalization over the last axes of each position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
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
from specc.ops.spatial import reduced

EPSILON = {
    DType.float16: 2.0**-10, DType.bfloat16: 2.0**-7, DType.float32: 2.0**-23,
    DType.float64: 2.0**-52,
}  # fmt: skip
"""The distance from 1 to the next number, `torch.finfo(dtype).eps`."""


class LastAxes(Op):
    """Base of the normalizations over the last axes."""

    dims: int = param(default=1, ge=1, doc="how many of the last axes are normalized")

    inferred: ClassVar[tuple[str, ...]] = ("normalized_shape",)
    per_element: ClassVar[int] = 8
    """Operations per element: statistics, normalization, scale and shift."""

    def shape(self, input: TensorType) -> tuple[int, ...]:
        """The sizes of the normalized axes."""
        if self.dims > input.rank:
            raise OpError("T402", f"there are no {self.dims} axes in {input}", param="dims")
        return tuple(input.static(axis) for axis in range(-self.dims, 0))

    def written_shape(self, input: TensorType) -> int | tuple[int, ...]:
        """The sizes as PyTorch's argument: a number for one axis."""
        shape = self.shape(input)
        return shape[0] if len(shape) == 1 else shape

    def infer(self, input: TensorType) -> TensorType:
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")
        self.shape(input)
        return input

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return self.per_element * outputs[0].numel

    def ones(self, g: OnnxBuilder, input: Ref) -> Ref:
        """A scale that changes nothing, which ONNX's operators cannot do without."""
        ones: object = 1.0
        for size in reversed(self.shape(input.type)):
            ones = [ones] * size
        return g.const(ones, input.type.dtype)


class LayerNormBase(LastAxes):
    """What the layer and the function have in common."""

    eps: float = param(default=1e-5, ge=0, doc="added to the variance")

    def normalized(self, g: OnnxBuilder, input: Ref, scale: Ref, shift: Ref | None) -> Ref:
        """The node of ONNX."""
        return g.op("LayerNormalization", input, scale, shift, axis=-self.dims, epsilon=self.eps)


@op("LayerNorm")
class LayerNorm(LayerNormBase):
    """Normalization over the last axes (https://arxiv.org/abs/1607.06450).

    Shape: unchanged; the normalized axes must be static.
    """

    elementwise_affine: bool = param(default=True, doc="learn a scale (and a shift)")
    bias: bool = param(default=True, doc="learn a shift where `elementwise_affine` is true")

    def weights(self, input: TensorType) -> Weights:
        if self.elementwise_affine:
            yield weight("weight", self.shape(input), input.dtype)
            if self.bias:
                yield weight("bias", self.shape(input), input.dtype)

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer(
            "nn.LayerNorm", normalized_shape=self.written_shape(input.type),
            **self.given("eps", "elementwise_affine", "bias"),
        )  # fmt: skip
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if not self.elementwise_affine:
            return self.normalized(g, input, self.ones(g, input), None)
        shift = g.weight("bias") if self.bias else None
        return self.normalized(g, input, g.weight("weight"), shift)

    examples = (
        example("N T 16"),
        example("N 4 6", dims=2, eps=1e-6),
        example("N 16", bias=False),
        example("N 16", elementwise_affine=False),
    )


@op("layer_norm")
class LayerNormFunction(LayerNormBase):
    """Normalization over the last axes, with nothing learned.

    Shape: unchanged; the normalized axes must be static.
    """

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("F.layer_norm", input, self.shape(input.type), **self.given("eps"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return self.normalized(g, input, self.ones(g, input), None)

    examples = (example("N T 16"), example("N 4 6", dims=2, eps=1e-6))


class RMSNormBase(LastAxes):
    """What the layer and the function have in common."""

    eps: float | None = param(
        default=None, ge=0, doc="added to the mean square; `null`: the resolution of the dtype"
    )

    per_element = 5

    def normalized(self, g: OnnxBuilder, input: Ref, scale: Ref | None) -> Ref:
        """`x / sqrt(mean(x²) + eps) * scale`; half precision is computed in single."""
        kind = input.type.dtype
        eps = EPSILON[kind] if self.eps is None else self.eps
        # The node's epsilon is a float32.
        if g.opset >= 23 and kind is not DType.float64:
            scale = scale or self.ones(g, input)
            return g.op("RMSNormalization", input, scale, axis=-self.dims, epsilon=eps)
        wide = DType.float64 if kind is DType.float64 else DType.float32
        x = g.cast(input, wide)
        mean = reduced(g, "ReduceMean", g.op("Mul", x, x), *range(-self.dims, 0))
        size = g.op("Sqrt", g.op("Add", mean, g.const(eps, wide)))
        made = g.op("Div", x, size)
        if scale:
            made = g.op("Mul", made, g.cast(scale, wide))
        return g.cast(made, kind)


@op("RMSNorm")
class RMSNorm(RMSNormBase):
    """Division by the root mean square of the last axes (https://arxiv.org/abs/1910.07467).

    Shape: unchanged; the normalized axes must be static.
    """

    elementwise_affine: bool = param(default=True, doc="learn a scale")

    def weights(self, input: TensorType) -> Weights:
        if self.elementwise_affine:
            yield weight("weight", self.shape(input), input.dtype)

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer(
            "nn.RMSNorm", normalized_shape=self.written_shape(input.type),
            **self.given("eps", "elementwise_affine"),
        )  # fmt: skip
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        scale = g.weight("weight") if self.elementwise_affine else None
        return self.normalized(g, input, scale)

    examples = (
        example("N T 16", eps=1e-6),
        example("N 4 6", dims=2),
        example("N 16", eps=0.1, elementwise_affine=False),
    )


@op("rms_norm")
class RMSNormFunction(RMSNormBase):
    """Division by the root mean square of the last axes, with nothing learned.

    Shape: unchanged; the normalized axes must be static.
    """

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("F.rms_norm", input, self.shape(input.type), **self.given("eps"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return self.normalized(g, input, None)

    examples = (example("N T 16"), example("N 4 6", dims=2, eps=1e-3))
