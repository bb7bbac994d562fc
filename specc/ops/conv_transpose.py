"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from specc.ops.conv import require_divisible
from specc.ops.op import (
    Code,
    OnnxBuilder,
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
from specc.ops.pad import padded
from specc.ops.shapes import product
from specc.ops.spatial import PerAxis, Spatial, batched, unbatched


class ConvTranspose(Spatial):
    """Base of the transposed convolutions."""

    out_channels: int = param(ge=1, doc="number of channels of the output")
    kernel_size: PerAxis = param(ge=1, doc="size of a filter")
    stride: PerAxis = param(default=1, ge=1, doc="step of the filter in the output")
    padding: PerAxis = param(default=0, ge=0, doc="elements cut off both ends of the output")
    output_padding: PerAxis = param(default=0, ge=0, doc="elements added at the output's end")
    groups: int = param(default=1, ge=1, doc="parts of the channels that do not mix")
    bias: bool = param(default=True, doc="add a learned bias per output channel")
    dilation: PerAxis = param(default=1, ge=1, doc="distance of the filter's elements")
    padding_mode: Literal["zeros"] = param(default="zeros", doc="PyTorch has only `zeros`")

    inferred = ("in_channels",)

    def _check(self, input: TensorType) -> None:
        channels = self.channels(input)
        self.require_floating(input)
        require_divisible(channels, self.groups, "input", "groups")
        require_divisible(self.out_channels, self.groups, "output", "out_channels")
        limits = zip(
            self.sizes("output_padding"), self.sizes("stride"), self.sizes("dilation"), strict=True
        )
        if any(more >= max(s, d) for more, s, d in limits):
            raise OpError(
                "S113", "`output_padding` must be less than the stride or the dilation",
                param="output_padding",
            )  # fmt: skip

    def infer(self, input: TensorType) -> TensorType:
        self._check(input)
        names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        steps = zip(*(self.sizes(name) for name in names), strict=True)
        sizes = [
            (size - 1) * s - 2 * p + d * (k - 1) + more + 1
            for size, (k, s, p, more, d) in zip(input.shape[-self.axes :], steps, strict=True)
        ]
        lead = input.shape[: -self.axes - 1]
        kind = input.with_shape(*lead, self.out_channels, *input.shape[-self.axes :])
        return self.resized(kind, sizes)

    def weights(self, input: TensorType) -> Weights:
        kernel = self.sizes("kernel_size")
        outer = self.out_channels // self.groups
        yield weight("weight", (self.channels(input), outer, *kernel), input.dtype)
        if self.bias:
            yield weight("bias", (self.out_channels,), input.dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        (x,) = inputs
        assert x
        outer = self.out_channels // self.groups
        total = 2 * outer * product(self.sizes("kernel_size")) * x.numel
        return total + self.bias * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        layer = py.layer(f"nn.{self.name}", in_channels=self.channels(input.type), **given)
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        x, ends, more = self._ends(g, batched(g, input, self.axes))
        made = g.op(
            "ConvTranspose", x, g.weight("weight"), g.weight("bias") if self.bias else None,
            kernel_shape=list(self.sizes("kernel_size")), strides=list(self.sizes("stride")),
            dilations=list(self.sizes("dilation")), group=self.groups,
            pads=[*self.sizes("padding"), *ends],
            output_padding=more if any(more) else None,
            type=out if out.rank == x.rank else out.with_shape(1, *out.shape),
        )  # fmt: skip
        return unbatched(g, made, input.rank)

    def _ends(self, g: OnnxBuilder, x: Ref) -> tuple[Ref, list[int], list[int]]:
        """The input, what is cut off the output's end, and what is added there.

        ONNX Runtime adds less than a stride only. The rest is cut less; where that is not enough,
        zeros at the end of the input make the output longer.
        """
        zeros, ends, added = [], [], []
        for s, p, more in zip(
            self.sizes("stride"), self.sizes("padding"), self.sizes("output_padding"), strict=True
        ):
            rest = more if more >= s else 0
            zeros.append((0, max(-(-(rest - p) // s), 0)))
            ends.append(p - rest + s * zeros[-1][1])
            added.append(more - rest)
        return padded(g, x, zeros), ends, added


@op("ConvTranspose1d")
class ConvTranspose1d(ConvTranspose):
    """Transposed convolution over sequences: the gradient of `Conv1d` with respect to its input.

    Shape: `(N, C, L) -> (N, out_channels, L')`, `L' = (L - 1)s - 2p + d(k - 1) + output_padding
    + 1`; the batch axis may be left out. `C` must be static.
    """

    axes = 1
    examples = (
        example("N 4 L", out_channels=6, kernel_size=3, stride=2, padding=1, output_padding=1),
        example("N 4 L", out_channels=4, kernel_size=3, groups=2, dilation=2, bias=False),
        example("4 L", out_channels=2, kernel_size=2, stride=2),
    )


@op("ConvTranspose2d")
class ConvTranspose2d(ConvTranspose):
    """Transposed convolution over images: the gradient of `Conv2d` with respect to its input.

    Shape: `(N, C, H, W) -> (N, out_channels, H', W')`, `H' = (H - 1)s - 2p + d(k - 1) +
    output_padding + 1`; the batch axis may be left out. `C` must be static.
    """

    axes = 2
    examples = (
        example("N 4 H W", out_channels=3, kernel_size=2, stride=2),
        example(
            "N 4 H W",
            out_channels=6,
            kernel_size=(3, 4),
            stride=(2, 3),
            padding=(1, 2),
            output_padding=(1, 0),
            groups=2,
            bias=False,
        ),
        example(
            "N 4 H W",
            out_channels=4,
            kernel_size=3,
            dilation=(2, 3),
            output_padding=(1, 2),
            groups=4,
        ),
        example("4 H W", out_channels=3, kernel_size=3, padding=1),
    )


@op("ConvTranspose3d")
class ConvTranspose3d(ConvTranspose):
    """Transposed convolution over volumes: the gradient of `Conv3d` with respect to its input.

    Shape: `(N, C, D, H, W) -> (N, out_channels, D', H', W')`, `D' = (D - 1)s - 2p + d(k - 1) +
    output_padding + 1`; the batch axis may be left out. `C` must be static.
    """

    axes = 3
    examples = (
        example("N 2 3 H W", out_channels=4, kernel_size=2, stride=2),
        example(
            "N 2 3 H W",
            out_channels=2,
            kernel_size=3,
            stride=(1, 2, 2),
            padding=1,
            output_padding=(0, 1, 1),
            groups=2,
        ),
        example("2 3 H W", out_channels=2, kernel_size=(1, 2, 3), dilation=2, bias=False),
    )
