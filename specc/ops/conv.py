"""Convolutions (cross-correlations, as everywhere in deep learning)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

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
from specc.ops.pad import padded, padded_type
from specc.ops.shapes import product
from specc.ops.spatial import PerAxis, Spatial, batched, unbatched

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def require_divisible(channels: int, groups: int, what: str, param: str) -> None:
    """Raise `OpError` unless every group gets the same number of channels."""
    if channels % groups:
        raise OpError(
            "T411", f"{channels} {what} channels do not divide into {groups} groups", param=param
        )


class Conv(Spatial):
    """Base of the convolutions."""

    out_channels: int = param(ge=1, doc="number of filters")
    kernel_size: PerAxis = param(ge=1, doc="size of a filter")
    stride: PerAxis = param(default=1, ge=1, doc="step of the filter")
    padding: PerAxis | Literal["same", "valid"] = param(
        default=0, ge=0, doc="elements added at both ends; `same` keeps the size, `valid` adds none"
    )
    dilation: PerAxis = param(default=1, ge=1, doc="distance of the filter's elements")
    groups: int = param(default=1, ge=1, doc="parts of the channels that do not mix")
    bias: bool = param(default=True, doc="add a learned bias per output channel")
    padding_mode: PaddingMode = param(default="zeros", doc="what the added elements are")

    inferred = ("in_channels",)

    def _pads(self) -> list[tuple[int, int]]:
        """Elements before and after each axis; the larger half of `same` comes after."""
        if self.padding == "valid":
            return [(0, 0)] * self.axes
        if self.padding == "same":
            spans = zip(self.sizes("dilation"), self.sizes("kernel_size"), strict=True)
            totals = [d * (k - 1) for d, k in spans]
            return [(total // 2, total - total // 2) for total in totals]
        return [(p, p) for p in self.sizes("padding")]

    def _check(self, input: TensorType) -> None:
        channels = self.channels(input)
        self.require_floating(input)
        require_divisible(channels, self.groups, "input", "groups")
        require_divisible(self.out_channels, self.groups, "output", "out_channels")
        if self.padding == "same" and set(self.sizes("stride")) != {1}:
            raise OpError("S113", "`same` padding needs a stride of 1", param="stride")

    def infer(self, input: TensorType) -> TensorType:
        self._check(input)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        wide = padded_type(input, self._pads(), mode, self.name)
        sizes = [
            (size - d * (k - 1) - 1) // s + 1
            for size, k, s, d in zip(
                wide.shape[-self.axes :], self.sizes("kernel_size"), self.sizes("stride"),
                self.sizes("dilation"), strict=True,
            )
        ]  # fmt: skip
        lead = input.shape[: -self.axes - 1]
        kind = input.with_shape(*lead, self.out_channels, *input.shape[-self.axes :])
        return self.resized(kind, sizes)

    def weights(self, input: TensorType) -> Weights:
        kernel = self.sizes("kernel_size")
        inner = self.channels(input) // self.groups
        yield weight("weight", (self.out_channels, inner, *kernel), input.dtype)
        if self.bias:
            yield weight("bias", (self.out_channels,), input.dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        (x,) = inputs
        assert x
        inner = self.channels(x) // self.groups
        return (2 * inner * product(self.sizes("kernel_size")) + self.bias) * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        layer = py.layer(f"nn.{self.name}", in_channels=self.channels(input.type), **given)
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        x, pads = batched(g, input, self.axes), self._pads()
        if self.padding_mode != "zeros":
            x, pads = padded(g, x, pads, self.padding_mode), [(0, 0)] * self.axes
        made = g.op(
            "Conv", x, g.weight("weight"), g.weight("bias") if self.bias else None,
            kernel_shape=list(self.sizes("kernel_size")), strides=list(self.sizes("stride")),
            dilations=list(self.sizes("dilation")), group=self.groups,
            pads=[before for before, _ in pads] + [after for _, after in pads],
            type=out if out.rank == x.rank else out.with_shape(1, *out.shape),
        )  # fmt: skip
        return unbatched(g, made, input.rank)


@op("Conv1d")
class Conv1d(Conv):
    """Convolution over sequences, `y[o] = b[o] + sum_i w[o, i] * x[i]`.

    Shape: `(N, C, L) -> (N, out_channels, L')`, `L' = (L + 2p - d(k - 1) - 1) // s + 1`; the batch
    axis may be left out. `C` must be static.
    """

    axes = 1
    examples = (
        example("N 4 L", out_channels=6, kernel_size=3, padding=1),
        example("N 4 L", out_channels=6, kernel_size=4, padding="same", bias=False),
        example("N 4 L", out_channels=4, kernel_size=3, stride=2, padding=2, dilation=2, groups=2),
        example("N 4 L", out_channels=4, kernel_size=3, padding=2, padding_mode="circular"),
        example("N 4 L", out_channels=4, kernel_size=5, padding="same", padding_mode="reflect"),
        example("4 L", out_channels=4, kernel_size=2, padding="valid"),
    )


@op("Conv2d")
class Conv2d(Conv):
    """Convolution over images, `y[o] = b[o] + sum_i w[o, i] * x[i]`.

    Shape: `(N, C, H, W) -> (N, out_channels, H', W')`, `H' = (H + 2p - d(k - 1) - 1) // s + 1`;
    the batch axis may be left out. `C` must be static.
    """

    axes = 2
    examples = (
        example("N 3 H W", out_channels=8, kernel_size=3, padding=1, bias=False),
        example("N 4 H W", out_channels=8, kernel_size=(3, 2), stride=(2, 1), padding=(0, 1)),
        example("N 4 H W", out_channels=4, kernel_size=3, dilation=2, padding=2, groups=4),
        example("N 4 H W", out_channels=4, kernel_size=(4, 3), dilation=(1, 2), padding="same"),
        example("N 4 H W", out_channels=4, kernel_size=4, padding="same", padding_mode="replicate"),
        example("N 4 H W", out_channels=4, kernel_size=3, padding=(1, 2), padding_mode="reflect"),
        example("N 4 H W", out_channels=4, kernel_size=3, padding=2, padding_mode="circular"),
        example("3 H W", out_channels=4, kernel_size=3, stride=2),
    )


@op("Conv3d")
class Conv3d(Conv):
    """Convolution over volumes, `y[o] = b[o] + sum_i w[o, i] * x[i]`.

    Shape: `(N, C, D, H, W) -> (N, out_channels, D', H', W')`, `D' = (D + 2p - d(k - 1) - 1) // s
    + 1`; the batch axis may be left out. `C` must be static.
    """

    axes = 3
    examples = (
        example("N 2 4 H W", out_channels=4, kernel_size=3, padding=1),
        example("N 2 4 H W", out_channels=4, kernel_size=(1, 3, 2), stride=(1, 2, 2), groups=2),
        example("N 2 4 H W", out_channels=2, kernel_size=2, padding=1, padding_mode="circular"),
        example("2 4 H W", out_channels=2, kernel_size=(2, 3, 4), padding="same", bias=False),
    )
