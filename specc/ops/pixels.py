"""Elements that change places between channels and images, or among channels."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip


def _divided(x: TensorType, axis: int, by: int, param: str) -> Size:
    """The size of an axis over a number; `OpError` unless it divides."""
    size = x.shape[axis]
    if size % by != 0:
        raise OpError(
            "T411", f"axis {axis % x.rank} of {x} does not divide by {by}", param=param,
            hint=None if isinstance(size, int)
            else f"a size can promise it with `multiple_of` of {by} under `dims`",
        )  # fmt: skip
    return size // by


def _require_axes(x: TensorType, name: str) -> None:
    if x.rank < 3:
        raise OpError("T402", f"`{name}` needs channels and more axes after them, got {x}")


def _rearranged(
    g: OnnxBuilder, x: Ref, split: Sequence[Size], perm: Sequence[int], out: TensorType
) -> Ref:
    """The value reshaped, its axes permuted, and reshaped again."""
    parts = g.reshape(x, tuple(split))
    return g.reshape(g.transposed(parts, *perm), out.shape)


class Rearrangement(Op):
    """Base of the operators here: a module and a function of one parameter each."""

    check = "exact"

    def torch(self, py: TorchWriter, input: Code) -> str:
        ((name, _),) = self.params.items()
        value = getattr(self, name)
        if self.name[0].isupper():
            function = {
                "PixelShuffle": "pixel_shuffle", "PixelUnshuffle": "pixel_unshuffle",
                "ChannelShuffle": "channel_shuffle",
            }[self.name]  # fmt: skip
            return py.apply(f"nn.{self.name}", f"F.{function}", input, **{name: value})
        return py.call(f"F.{self.name}", input, value)


class Shuffle(Rearrangement):
    """Base of `PixelShuffle` in both spellings."""

    upscale_factor: int = param(ge=1, doc="how many times larger the image becomes")

    def infer(self, input: TensorType) -> TensorType:
        _require_axes(input, self.name)
        r = self.upscale_factor
        *lead, _, height, width = input.shape
        channels = _divided(input, -3, r * r, "upscale_factor")
        return input.with_shape(*lead, channels, height * r, width * r)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out, r = self.infer(input.type), self.upscale_factor
        if input.rank == 4 and input.type.dtype.is_floating:
            return g.op("DepthToSpace", input, blocksize=r, mode="CRD", type=out)
        *lead, _, height, width = input.type.shape
        split = [*lead, out.shape[-3], r, r, height, width]
        n = len(lead)
        return _rearranged(g, input, split, [*range(n + 1), n + 3, n + 1, n + 4, n + 2], out)

    examples = (
        example("N 8 H W", upscale_factor=2),
        example("9 H W", upscale_factor=3),
        example("int64: N 2 4 H W", upscale_factor=2),
        example("bool: N 4 H W", upscale_factor=2),
    )


class Unshuffle(Rearrangement):
    """Base of `PixelUnshuffle` in both spellings."""

    downscale_factor: int = param(ge=1, doc="how many times smaller the image becomes")

    def infer(self, input: TensorType) -> TensorType:
        _require_axes(input, self.name)
        r = self.downscale_factor
        *lead, channels, _, _ = input.shape
        height, width = (_divided(input, axis, r, "downscale_factor") for axis in (-2, -1))
        return input.with_shape(*lead, channels * r * r, height, width)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out, r = self.infer(input.type), self.downscale_factor
        *lead, channels, _, _ = input.type.shape
        split = [*lead, channels, out.shape[-2], r, out.shape[-1], r]
        n = len(lead)
        return _rearranged(g, input, split, [*range(n + 1), n + 2, n + 4, n + 1, n + 3], out)

    examples = (
        example("N 3 4 6", downscale_factor=2),
        example("2 6 9", downscale_factor=3),
        example("int64: N 2 4 4 6", downscale_factor=2),
    )


class Channels(Rearrangement):
    """Base of `ChannelShuffle` in both spellings."""

    groups: int = param(ge=1, doc="number of groups")

    def infer(self, input: TensorType) -> TensorType:
        _require_axes(input, self.name)
        _divided(input, 1, self.groups, "groups")
        return input

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        first, _, *rest = input.type.shape
        each = _divided(input.type, 1, self.groups, "groups")
        perm = [0, 2, 1, *range(3, len(rest) + 3)]
        return _rearranged(g, input, [first, self.groups, each, *rest], perm, input.type)

    examples = (
        example("N 6 H W", groups=3),
        example("N 6 L", groups=2),
        example("int64: N 4 2 H W", groups=2),
    )


def _both(base: type[Rearrangement], module: str, function: str, doc: str) -> None:
    for name in (module, function):
        op(name)(type(name, (base,), {"__doc__": doc, "__module__": __name__}))


_both(
    Shuffle, "PixelShuffle", "pixel_shuffle",
    "Makes larger images of more channels (https://arxiv.org/abs/1609.05158).\n\n"
    "Shape: `(*, C*r*r, H, W) -> (*, C, H*r, W*r)`.",
)  # fmt: skip
_both(
    Unshuffle, "PixelUnshuffle", "pixel_unshuffle",
    "Makes more channels of larger images, the inverse of `PixelShuffle`.\n\n"
    "Shape: `(*, C, H*r, W*r) -> (*, C*r*r, H, W)`.",
)  # fmt: skip
_both(
    Channels, "ChannelShuffle", "channel_shuffle",
    "Takes the channels of all groups in turn (https://arxiv.org/abs/1707.01083).\n\n"
    "Shape: `(N, C, *)`, unchanged; `C` must be a multiple of `groups`.",
)  # fmt: skip
