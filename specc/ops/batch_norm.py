"""Normalization per channel over the batch, with running statistics for eval mode."""

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
from specc.ops.shapes import require_rank
from specc.ops.spatial import reduced


class ChannelNorm(Op):
    """Base of the normalizations that may keep running statistics per channel."""

    eps: float = param(default=1e-5, ge=0, doc="added to the variance")
    momentum: float | None = param(
        default=0.1, doc="weight of a new batch in the running statistics; `null`: plain average"
    )
    affine: bool = param(default=True, doc="learn a scale and a shift per channel")
    track_running_stats: bool = param(default=True, doc="keep running statistics for eval mode")
    bias: bool = param(default=True, doc="learn a shift where `affine` is true")

    inferred = ("num_features",)

    def channels(self, input: TensorType) -> int:
        """The number of channels, along axis 1."""
        return input.static(1, "it counts the channels")

    def require_floating(self, input: TensorType) -> None:
        """Raise `OpError` unless the values are floating-point numbers."""
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")

    def weights(self, input: TensorType) -> Weights:
        shape = (self.channels(input),)
        if self.affine:
            yield weight("weight", shape, input.dtype)
            if self.bias:
                yield weight("bias", shape, input.dtype)
        if self.track_running_stats:
            yield weight("running_mean", shape, input.dtype, buffer=True)
            yield weight("running_var", shape, input.dtype, buffer=True)
            yield weight("num_batches_tracked", (), DType.int64, buffer=True)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        # The statistics are numbers by then: a difference, and a multiply-add or two.
        return (2 if not self.affine else 4) * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer(f"nn.{self.name}", num_features=self.channels(input.type), **self.given())
        return f"{layer}({input})"

    def scale_and_shift(self, g: OnnxBuilder, input: Ref) -> tuple[Ref, Ref]:
        """Scale and shift per channel; 1 and 0 where they are not learned."""
        channels, kind = self.channels(input.type), input.type.dtype
        scale = g.weight("weight") if self.affine else g.const([1.0] * channels, kind)
        learned = self.affine and self.bias
        return scale, g.weight("bias") if learned else g.const([0.0] * channels, kind)

    def onnx_running(self, g: OnnxBuilder, input: Ref) -> Ref:
        """The normalization with running statistics, of `(N, C, *)`."""
        scale, shift = self.scale_and_shift(g, input)
        return g.op(
            "BatchNormalization", input, scale, shift, g.weight("running_mean"),
            g.weight("running_var"), epsilon=self.eps,
        )  # fmt: skip


class BatchNorm(ChannelNorm):
    """Base of the batch normalizations, which differ in the ranks that they take."""

    ranks: ClassVar[tuple[int, ...]]

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, *self.ranks, name=self.name)
        self.require_floating(input)
        self.channels(input)
        return input

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if self.track_running_stats:
            return self.onnx_running(g, input)
        kind = input.type.dtype
        axes = [axis for axis in range(input.rank) if axis != 1]
        gap = g.op("Sub", input, reduced(g, "ReduceMean", input, *axes))
        variance = reduced(g, "ReduceMean", g.op("Mul", gap, gap), *axes)
        safe = g.op("Sqrt", g.op("Add", variance, g.const(self.eps, kind)))
        made = g.op("Div", gap, safe)
        if not self.affine:
            return made
        shape = (self.channels(input.type), *(1,) * (input.rank - 2))
        scale, shift = (g.reshape(w, shape) for w in self.scale_and_shift(g, input))
        return g.op("Add", g.op("Mul", made, scale), shift)


@op("BatchNorm1d")
class BatchNorm1d(BatchNorm):
    """Batch normalization per channel (https://arxiv.org/abs/1502.03167).

    Shape: `(N, C)` or `(N, C, L)`, unchanged; `C` must be static. Without running statistics a
    batch is normalized by its own mean and variance, in eval mode too.
    """

    ranks = (2, 3)
    examples = (
        example("N 8"), example("N 8 L", eps=1e-3, affine=False), example("N 8", bias=False),
        example("8 8 L", track_running_stats=False),
    )  # fmt: skip


@op("BatchNorm2d")
class BatchNorm2d(BatchNorm):
    """Batch normalization per channel of images (https://arxiv.org/abs/1502.03167).

    Shape: `(N, C, H, W)`, unchanged; `C` must be static.
    """

    ranks = (4,)
    examples = (
        example("N 8 H W"), example("N 3 4 4", eps=1e-3, momentum=None),
        example("N 3 H W", track_running_stats=False, affine=False),
    )  # fmt: skip


@op("BatchNorm3d")
class BatchNorm3d(BatchNorm):
    """Batch normalization per channel of volumes (https://arxiv.org/abs/1502.03167).

    Shape: `(N, C, D, H, W)`, unchanged; `C` must be static.
    """

    ranks = (5,)
    examples = (example("N 3 T H W"), example("N 3 2 4 4", affine=False))


@op("SyncBatchNorm")
class SyncBatchNorm(BatchNorm):
    """Batch normalization over the batches of all processes; alone, as `BatchNorm`.

    Shape: `(N, C, *)`, unchanged; `C` must be static.
    """

    ranks = (2, 3, 4, 5)
    examples = (example("N 8"), example("N 3 H W", eps=1e-3))
