"""Images as columns of windows, and back."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ir.types import show_shape
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.pad import padded
from specc.ops.shapes import as_tuple, product, require_positive, require_rank, window
from specc.ops.spatial import PerAxis, Spatial, batched, unbatched


class Windows(Spatial):
    """Base of the operators here."""

    axes = 2
    kernel_size: PerAxis
    dilation: PerAxis
    padding: PerAxis
    stride: PerAxis

    def _steps(self) -> list[tuple[int, int, int, int]]:
        """Per axis: kernel, stride, padding, dilation."""
        names = ("kernel_size", "stride", "padding", "dilation")
        return list(zip(*(self.sizes(name) for name in names), strict=True))

    def _counts(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """How many windows each axis has."""
        counts = [window(size, *step) for size, step in zip(sizes, self._steps(), strict=True)]
        return tuple(require_positive(n, f"the number of windows of `{self.name}`") for n in counts)


class Unfolding(Windows):
    """Base of `Unfold` in both spellings."""

    kernel_size: PerAxis = param(ge=1, doc="size of a window")
    dilation: PerAxis = param(default=1, ge=1, doc="distance of a window's elements")
    padding: PerAxis = param(default=0, ge=0, doc="zeros added at both ends")
    stride: PerAxis = param(default=1, ge=1, doc="step of the windows")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        self.require_image(input)
        if input.dtype is not DType.bool:
            self.require_floating(input)
        *lead, channels, height, width = input.shape
        area = product(self.sizes("kernel_size"))
        return input.with_shape(*lead, channels * area, product(self._counts((height, width))))

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        if self.name[0].isupper():
            return py.apply("nn.Unfold", "F.unfold", input, **given)
        return py.call(
            "F.unfold", input, self.kernel_size, **self.given("dilation", "padding", "stride")
        )

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        x = batched(g, input, 2)
        batch, channels, *sizes = x.type.shape
        counts, kernel = self._counts(sizes), self.sizes("kernel_size")
        x = padded(g, x, [(p, p) for p in self.sizes("padding")])
        for axis, (count, step) in enumerate(zip(counts, self._steps(), strict=True)):
            index = _positions(g, count, step)
            at = 2 + 2 * axis
            shape = (*x.type.shape[:at], step[0], count, *x.type.shape[at + 1 :])
            x = g.op("Gather", x, index, axis=at, type=x.type.with_shape(*shape))
        x = g.transposed(x, 0, 1, 2, 4, 3, 5)
        columns = (batch, channels * product(kernel), product(counts))
        return unbatched(g, g.reshape(x, columns), input.rank - 1)


def _positions(g: OnnxBuilder, count: Size, step: tuple[int, int, int, int]) -> Ref:
    """Where element `i` of window `j` lies: `i * dilation + j * stride`."""
    kernel, stride, _, dilation = step
    if isinstance(count, int):
        return g.const([[i * dilation + j * stride for j in range(count)] for i in range(kernel)])
    kind = TensorType(DType.int64, ())
    limit = g.op("Squeeze", g.dims([count * stride]), type=kind)
    starts = g.op(
        "Range", g.const(0), limit, g.const(stride), type=TensorType(DType.int64, (count,))
    )
    offsets = g.const([[i * dilation] for i in range(kernel)])
    return g.op("Add", starts, offsets, type=TensorType(DType.int64, (kernel, count)))


class Folding(Windows):
    """Base of `Fold` in both spellings."""

    output_size: PerAxis = param(ge=1, doc="height and width of the image")
    kernel_size: PerAxis = param(ge=1, doc="size of a window")
    dilation: PerAxis = param(default=1, ge=1, doc="distance of a window's elements")
    padding: PerAxis = param(default=0, ge=0, doc="border of the image that is cut off")
    stride: PerAxis = param(default=1, ge=1, doc="step of the windows")

    def _channels(self, input: TensorType) -> Size:
        area = product(self.sizes("kernel_size"))
        if input.shape[-2] % area != 0:
            raise OpError(
                "T411", f"axis {input.rank - 2} of {input} does not divide by the {area} elements "
                "of a window", param="kernel_size",
            )  # fmt: skip
        return input.shape[-2] // area

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, 3, 2, name=self.name)
        self.require_floating(input)
        size = as_tuple(self.output_size, 2)
        count = product(self._counts(size))
        if input.shape[-1] != count:
            raise OpError(
                "T401", f"an image of {show_shape(size)} has {count} windows, but the last axis of "
                f"{show_shape(input.shape)} is `{input.shape[-1]}`", param="output_size",
            )  # fmt: skip
        return input.with_shape(*input.shape[:-2], self._channels(input), *size)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        (x,) = inputs
        assert x
        return x.numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        if self.name[0].isupper():
            return py.apply("nn.Fold", "F.fold", input, **given)
        required = (self.output_size, self.kernel_size)
        return py.call("F.fold", input, *required, **self.given("dilation", "padding", "stride"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if g.opset < 18:
            return self._convolved(g, input)
        x, out = batched(g, input, 1), self.infer(input.type)
        made = g.op(
            "Col2Im", x, g.const(list(out.shape[-2:])), g.const(list(self.sizes("kernel_size"))),
            strides=list(self.sizes("stride")), dilations=list(self.sizes("dilation")),
            pads=list(self.sizes("padding")) * 2, type=self.infer(x.type),
        )  # fmt: skip
        return unbatched(g, made, out.rank)

    def _convolved(self, g: OnnxBuilder, input: Ref) -> Ref:
        """A transposed convolution puts every window in its place and adds where they overlap."""
        out, kernel = self.infer(input.type), self.sizes("kernel_size")
        area, size = product(kernel), as_tuple(self.output_size, 2)
        rows = product(out.shape[:-2])
        counts = self._counts(size)
        more = [
            n - ((count - 1) * s - 2 * p + d * (k - 1) + 1)
            for n, count, (k, s, p, d) in zip(size, counts, self._steps(), strict=True)
        ]
        x = g.reshape(input, (rows, area, *counts))
        made = g.op(
            "ConvTranspose", x, g.const(_one_hot(kernel), out.dtype), kernel_shape=list(kernel),
            strides=list(self.sizes("stride")), dilations=list(self.sizes("dilation")),
            pads=list(self.sizes("padding")) * 2, output_padding=more if any(more) else None,
            type=out.with_shape(rows, 1, *size),
        )  # fmt: skip
        return g.reshape(made, out.shape)


def _one_hot(kernel: Sequence[int]) -> list[list[list[list[float]]]]:
    """A filter for each place of a window, 1 there and 0 elsewhere."""
    height, width = kernel
    return [
        [[[float(i == row * width + column) for column in range(width)] for row in range(height)]]
        for i in range(height * width)
    ]


_UNFOLD = (
    example("N 3 H W", kernel_size=2),
    example("N 4 H W", kernel_size=(3, 2), dilation=(1, 2), padding=1, stride=(2, 1)),
    example("N 3 6 9", kernel_size=3, stride=3),
    example("3 H W", kernel_size=(2, 3), padding=(0, 1)),
    example("bool: N 2 H W", kernel_size=2, stride=2),
)
_FOLD = (
    example("N 8 15", output_size=(4, 6), kernel_size=2),
    example("N 12 8", output_size=(5, 7), kernel_size=(2, 3), stride=2, padding=(0, 1)),
    example("12 9", output_size=5, kernel_size=(3, 2), dilation=2, padding=(1, 0), stride=(1, 1)),
)


def _both(base: type[Windows], module: str, function: str, doc: str, examples: object) -> None:
    for name in (module, function):
        op(name)(
            type(name, (base,), {"__doc__": doc, "__module__": __name__, "examples": examples})
        )


_both(
    Unfolding, "Unfold", "unfold",
    "Lists the windows of an image as columns.\n\nShape: `(N, C, H, W) -> (N, C*kh*kw, windows)`; "
    "the batch axis may be left out.", _UNFOLD,
)  # fmt: skip
_both(
    Folding, "Fold", "fold",
    "Puts windows back into an image, adding where they overlap.\n\nShape: `(N, C*kh*kw, windows) "
    "-> (N, C, *output_size)`; the batch axis may be left out.", _FOLD,
)  # fmt: skip
