"""Normalization within each sample: per channel, or per group of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from specc.ir.dims import Dim
from specc.ops.batch_norm import ChannelNorm
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
from specc.ops.shapes import product, require_rank
from specc.ops.spatial import batched, unbatched


class InstanceNorm(ChannelNorm):
    """Base of the instance normalizations, which differ in their number of spatial axes."""

    affine: bool = param(default=False, doc="learn a scale and a shift per channel")
    track_running_stats: bool = param(
        default=False, doc="keep running statistics, and use them in eval mode"
    )

    axes: ClassVar[int]

    def channels(self, input: TensorType) -> int:
        return input.static(-1 - self.axes, "it counts the channels")

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, self.axes + 2, self.axes + 1, name=self.name)
        self.require_floating(input)
        self.channels(input)
        return input

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return super().flops(inputs, outputs) + 4 * outputs[0].numel

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        x = batched(g, input, self.axes)
        if self.track_running_stats:
            return unbatched(g, self.onnx_running(g, x), input.rank)
        scale, shift = self.scale_and_shift(g, x)
        made = g.op("InstanceNormalization", x, scale, shift, epsilon=self.eps)
        return unbatched(g, made, input.rank)


@op("InstanceNorm1d")
class InstanceNorm1d(InstanceNorm):
    """Normalization of each channel of each sample (https://arxiv.org/abs/1607.08022).

    Shape: `(N, C, L)` or `(C, L)`, unchanged; `C` must be static.
    """

    axes = 1
    examples = (
        example("N 3 L"), example("3 L", affine=True), example("N 3 L", track_running_stats=True),
    )  # fmt: skip


@op("InstanceNorm2d")
class InstanceNorm2d(InstanceNorm):
    """Normalization of each channel of each sample (https://arxiv.org/abs/1607.08022).

    Shape: `(N, C, H, W)` or `(C, H, W)`, unchanged; `C` must be static.
    """

    axes = 2
    examples = (
        example("N 3 H W"), example("N 3 H W", affine=True, eps=1e-3),
        example("3 H W", affine=True, track_running_stats=True), example("3 H W"),
        example("N 3 H W", affine=True, bias=False),
    )  # fmt: skip


@op("InstanceNorm3d")
class InstanceNorm3d(InstanceNorm):
    """Normalization of each channel of each sample (https://arxiv.org/abs/1607.08022).

    Shape: `(N, C, D, H, W)` or `(C, D, H, W)`, unchanged; `C` must be static.
    """

    axes = 3
    examples = (example("N 3 T H W"), example("3 2 H W", affine=True))


@op("GroupNorm")
class GroupNorm(Op):
    """Normalization of groups of channels of each sample (https://arxiv.org/abs/1803.08494).

    Shape: `(N, C, *)`, unchanged; `C` must be static and a multiple of `num_groups`.
    """

    num_groups: int = param(ge=1, doc="groups that the channels are split into")
    eps: float = param(default=1e-5, ge=0, doc="added to the variance")
    affine: bool = param(default=True, doc="learn a scale and a shift per channel")
    bias: bool = param(default=True, doc="learn a shift where `affine` is true")

    inferred = ("num_channels",)

    def infer(self, input: TensorType) -> TensorType:
        if input.rank < 2:
            raise OpError("T402", f"`GroupNorm` needs a batch axis and channels, got {input}")
        if not input.dtype.is_floating:
            raise OpError("T404", f"`GroupNorm` needs floating-point values, got {input.dtype}")
        channels = input.static(1, "it counts the channels")
        if channels % self.num_groups:
            raise OpError(
                "T411", f"{channels} channels cannot be split into {self.num_groups} groups",
                param="num_groups",
            )  # fmt: skip
        return input

    def weights(self, input: TensorType) -> Weights:
        if self.affine:
            yield weight("weight", (input.static(1),), input.dtype)
            if self.bias:
                yield weight("bias", (input.static(1),), input.dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return 8 * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer(
            "nn.GroupNorm", num_groups=self.num_groups, num_channels=input.type.static(1),
            **self.given("eps", "affine", "bias"),
        )  # fmt: skip
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        # ONNX Runtime takes GroupNormalization apart into many nodes; this is few, everywhere.
        kind, groups, shape = input.type.dtype, self.num_groups, input.type.shape
        channels = input.type.static(1)
        rows = g.reshape(input, (shape[0], groups, product(shape[1:]) // groups))
        made = g.op(
            "InstanceNormalization", rows, g.const([1.0] * groups, kind),
            g.const([0.0] * groups, kind), epsilon=self.eps,
        )  # fmt: skip
        made = self._reshaped(g, made, input)
        behind = (1,) * (input.rank - 2)
        if self.affine:
            made = g.op("Mul", made, g.reshape(g.weight("weight"), (channels, *behind)))
        if self.affine and self.bias:
            made = g.op("Add", made, g.reshape(g.weight("bias"), (channels, *behind)))
        return made

    def _reshaped(self, g: OnnxBuilder, rows: Ref, input: Ref) -> Ref:
        """The rows in the shape of the input, which is read at run time where it has to be."""
        if sum(isinstance(size, Dim) for size in input.type.shape[1:]) < 2:
            return g.reshape(rows, input.type.shape)
        shape = g.op("Shape", input, type=TensorType(DType.int64, (input.rank,)))
        return g.op("Reshape", rows, shape, type=input.type)

    examples = (
        example("N 6 H W", num_groups=3),
        example("N 6 T", num_groups=2, affine=False),
        example("N 8", num_groups=2, eps=1e-3),
        example("N 4 T", num_groups=4, bias=False),
        example("N 4 2 H W", num_groups=1),
        example("N 4 8 8", num_groups=2),
    )
