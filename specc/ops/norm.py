"""Normalization layers."""

from __future__ import annotations

from typing import ClassVar, Literal

from specc.ops.op import (
    Code, DType, OnnxBuilder, Op, OpError, Ref, TensorType, TorchWriter, Weights, example, op,
    param, weight,
)  # fmt: skip
from specc.ops.shapes import require_rank


class BatchNorm(Op):
    """Base of the batch normalizations, which differ in the ranks that they take."""

    eps: float = param(default=1e-5, ge=0, doc="added to the variance")
    momentum: float | None = param(
        default=0.1, doc="weight of a new batch in the running statistics; `null`: plain average"
    )
    affine: bool = param(default=True, doc="learn a scale and a shift per channel")
    track_running_stats: bool = param(default=True, doc="keep running statistics for eval mode")

    inferred = ("num_features",)
    ranks: ClassVar[tuple[int, ...]]

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, *self.ranks, name=self.name)
        input.static(1, "it counts the channels")
        return input

    def weights(self, input: TensorType) -> Weights:
        shape = (input.static(1),)
        if self.affine:
            yield weight("weight", shape, input.dtype)
            yield weight("bias", shape, input.dtype)
        if self.track_running_stats:
            yield weight("running_mean", shape, input.dtype, buffer=True)
            yield weight("running_var", shape, input.dtype, buffer=True)
            yield weight("num_batches_tracked", (), DType.int64, buffer=True)

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer(f"nn.{self.name}", num_features=input.type.static(1), **self.given())
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if not self.track_running_stats:
            raise OpError(
                "T407", f"`{self.name}` without running statistics depends on the whole batch "
                "and has no ONNX form", param="track_running_stats",
            )  # fmt: skip
        channels = input.type.static(1)
        scale = g.weight("weight") if self.affine else g.const([1.0] * channels, input.type.dtype)
        shift = g.weight("bias") if self.affine else g.const([0.0] * channels, input.type.dtype)
        return g.op(
            "BatchNormalization", input, scale, shift, g.weight("running_mean"),
            g.weight("running_var"), epsilon=self.eps,
        )  # fmt: skip


@op("BatchNorm1d")
class BatchNorm1d(BatchNorm):
    """Batch normalization per channel (https://arxiv.org/abs/1502.03167).

    Shape: `(N, C)` or `(N, C, L)`, unchanged; `C` must be static.
    """

    ranks = (2, 3)
    examples = (example("N 8"), example("N 8 L", eps=1e-3, affine=False))


@op("BatchNorm2d")
class BatchNorm2d(BatchNorm):
    """Batch normalization per channel of images (https://arxiv.org/abs/1502.03167).

    Shape: `(N, C, H, W)`, unchanged; `C` must be static.
    """

    ranks = (4,)
    examples = (example("N 8 H W"), example("N 3 4 4", eps=1e-3))


@op("LayerNorm")
class LayerNorm(Op):
    """Normalization over the last axes (https://arxiv.org/abs/1607.06450).

    Shape: unchanged; the normalized axes must be static.
    """

    dims: int = param(default=1, ge=1, doc="how many of the last axes are normalized")
    eps: float = param(default=1e-5, ge=0, doc="added to the variance")
    elementwise_affine: bool = param(default=True, doc="learn a scale (and a shift)")
    bias: bool = param(default=True, doc="learn a shift where `elementwise_affine` is true")

    inferred = ("normalized_shape",)

    def _shape(self, input: TensorType) -> tuple[int, ...]:
        if self.dims > input.rank:
            raise OpError("T402", f"there are no {self.dims} axes in {input}", param="dims")
        return tuple(input.static(axis) for axis in range(-self.dims, 0))

    def infer(self, input: TensorType) -> TensorType:
        self._shape(input)
        return input

    def weights(self, input: TensorType) -> Weights:
        if self.elementwise_affine:
            yield weight("weight", self._shape(input), input.dtype)
            if self.bias:
                yield weight("bias", self._shape(input), input.dtype)

    def torch(self, py: TorchWriter, input: Code) -> str:
        shape = self._shape(input.type)
        layer = py.layer(
            "nn.LayerNorm", normalized_shape=shape[0] if len(shape) == 1 else shape,
            **self.given("eps", "elementwise_affine", "bias"),
        )  # fmt: skip
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        shape = self._shape(input.type)
        if self.elementwise_affine:
            scale, shift = g.weight("weight"), g.weight("bias") if self.bias else None
        else:
            ones: object = 1.0
            for size in reversed(shape):
                ones = [ones] * size
            scale, shift = g.const(ones, input.type.dtype), None
        return g.op(
            "LayerNormalization", input, scale, shift, axis=-self.dims, epsilon=self.eps
        )

    examples = (
        example("N T 16"),
        example("N 4 6", dims=2, eps=1e-6),
        example("N 16", bias=False),
        example("N 16", elementwise_affine=False),
    )


NORMALIZATION = '''
class Normalization(nn.Module):
    """Shifts and scales each feature by the mean and deviation of the training data."""

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def forward(self, x):
        return (x - self.mean) / self.std
'''


@op("Normalization")
class Normalization(Op):
    """`(x - mean) / std` per feature (axis 1), with statistics of the training data.

    Part of the exported graph, so that the ONNX file takes raw values.

    Shape: `(N, C, *)`, unchanged; `C` must be static.
    """

    stats: Literal["data"] = param(
        default="data", doc="`data`: learned from the training split before the first step"
    )

    def _shape(self, input: TensorType) -> tuple[int, ...]:
        """One value per feature, in the shape that broadcasts over the axes after it."""
        if input.rank < 2:
            raise OpError("T402", f"`Normalization` needs a batch axis and features, got {input}")
        return (input.static(1, "it counts the features"),) + (1,) * (input.rank - 2)

    def infer(self, input: TensorType) -> TensorType:
        self._shape(input)
        return input

    def weights(self, input: TensorType) -> Weights:
        yield weight("mean", self._shape(input), input.dtype, buffer=True)
        yield weight("std", self._shape(input), input.dtype, buffer=True)

    def torch(self, py: TorchWriter, input: Code) -> str:
        py.support(NORMALIZATION)
        shape = self._shape(input.type)
        layer = py.layer("Normalization", shape=shape[0] if len(shape) == 1 else shape)
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Div", g.op("Sub", input, g.weight("mean")), g.weight("std"))

    examples = (example("N 8"), example("N 3 H W"))
