"""Pooling over windows, as layers and as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from specc.ops.op import (
    Code,
    DType,
    Example,
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
from specc.ops.shapes import product
from specc.ops.spatial import PerAxis, Spatial, batched, unbatched

KERNEL: Any = param(ge=1, doc="size of a window")
STRIDE: Any = param(default=None, ge=1, doc="step; `null`: the window's size")
PADDING: Any = param(default=0, ge=0, doc="elements added at both ends")
CEIL_MODE: Any = param(
    default=False, doc="also a last window that only starts inside the input or its left pad"
)


class Pool(Spatial):
    """Base of the poolings over windows; each lists its parameters in PyTorch's order."""

    kernel_size: PerAxis
    stride: PerAxis | None
    padding: PerAxis = 0
    dilation: PerAxis = 1
    ceil_mode: bool

    function: ClassVar[str]
    """PyTorch's name of the function."""

    def windows(self) -> list[tuple[int, int, int, int]]:
        """Per axis: reach of a window, step, and the elements added before and after."""
        made = []
        strides = self.sizes("kernel_size" if self.stride is None else "stride")
        for k, s, p, d in zip(
            self.sizes("kernel_size"), strides, self.sizes("padding"), self.sizes("dilation"),
            strict=True,
        ):  # fmt: skip
            reach = d * (k - 1) + 1
            if p > k // 2:
                raise OpError(
                    "S113", f"a padding of {p} is more than half of a window of {k}",
                    param="padding",
                )  # fmt: skip
            # `ceil_mode` is `s - 1` more at the end; PyTorch then drops a window that would start
            # in that end, which is to say that it never reaches a whole window far.
            made.append((reach, s, p, min(p + s - 1, reach - 1) if self.ceil_mode else p))
        return made

    def pooled_type(self, input: TensorType) -> TensorType:
        """The type of the pooled values."""
        self.require_image(input)
        sizes = [
            (size + before + after - reach) // s + 1
            for size, (reach, s, before, after) in zip(
                input.shape[-self.axes :], self.windows(), strict=True
            )
        ]
        return self.resized(input, sizes)

    def _require_whole_window(self, x: TensorType) -> None:
        """Raise `OpError` where PyTorch's 3-D average refuses an input shorter than the window."""
        if self.axes < 3:
            return
        for size, kernel in zip(x.shape[-3:], self.sizes("kernel_size"), strict=True):
            if isinstance(size, int) and size < kernel:
                raise OpError(
                    "T405", f"`{self.name}` has a window of {kernel} on an axis of {size}",
                    param="kernel_size",
                )  # fmt: skip

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        if self.name[0].isupper():
            return py.apply(f"nn.{self.name}", f"F.{self.function}", input, **given)
        required = [given[name] for name, p in self.params.items() if p.required]
        return py.call(f"F.{self.name}", input, *required, **self.given(*self._optional()))

    def _optional(self) -> list[str]:
        return [name for name, p in self.params.items() if not p.required]

    def node(self, g: OnnxBuilder, op_type: str, x: Ref, **attributes: Any) -> Ref:
        """The pooling node; `pads` stand for both `padding` and `ceil_mode`."""
        return self.nodes(g, op_type, x, **attributes)[0]

    def nodes(
        self, g: OnnxBuilder, op_type: str, x: Ref, *more: DType, **attributes: Any
    ) -> tuple[Ref, ...]:
        """The pooling node with further results of these element types."""
        windows, kind = self.windows(), self.pooled_type(x.type)
        pads = [w[2] for w in windows] + [w[3] for w in windows]
        return g.ops(
            op_type, x, kernel_shape=list(self.sizes("kernel_size")),
            strides=[s for _, s, _, _ in windows], **{"pads": pads, **attributes},
            types=(kind, *(kind.with_dtype(dtype) for dtype in more)),
        )  # fmt: skip


class AvgPool(Pool):
    """Base of the average poolings."""

    kernel_size: PerAxis = KERNEL
    stride: PerAxis | None = STRIDE
    padding: PerAxis = PADDING
    ceil_mode: bool = CEIL_MODE
    count_include_pad: bool = param(default=True, doc="count the added zeros")
    divisor_override: int | None = None

    def infer(self, input: TensorType) -> TensorType:
        self.require_floating(input)
        self._require_whole_window(input)
        return self.pooled_type(input)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return product(self.sizes("kernel_size")) * outputs[0].numel

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        x = batched(g, input, self.axes)
        windows = self.windows()
        added = any(before or after for _, _, before, after in windows)
        if self.divisor_override:
            made = self.node(g, "AveragePool", x, count_include_pad=1 if added else None)
            factor = product(self.sizes("kernel_size")) / self.divisor_override  # type: ignore[operator]
            made = g.op("Mul", made, g.const(factor, x.type.dtype))
        elif self.count_include_pad and any(w[2] != w[3] for w in windows):
            made = self._counted(g, x, windows)
        else:
            counted = self.count_include_pad and added
            made = self.node(g, "AveragePool", x, count_include_pad=1 if counted else None)
        return unbatched(g, made, input.rank)

    def _counted(self, g: OnnxBuilder, x: Ref, windows: Sequence[tuple[int, int, int, int]]) -> Ref:
        """PyTorch counts the padding, but not what `ceil_mode` adds to it."""
        out = self.infer(x.type)
        wide = padded(g, x, [(before, before) for _, _, before, _ in windows])
        more = [after - before for _, _, before, after in windows]
        return g.op(
            "AveragePool", wide, kernel_shape=list(self.sizes("kernel_size")),
            strides=[w[1] for w in windows], pads=[0] * self.axes + more, type=out,
        )  # fmt: skip


class AvgPoolWithDivisor(AvgPool):
    """Base of the average poolings that can divide by another number."""

    divisor_override: int | None = param(
        default=None, ge=1, doc="divide by this instead of the number of elements"
    )


class LPPool(Pool):
    """Base of the power-average poolings."""

    norm_type: float = param(gt=0, doc="the power")
    kernel_size: PerAxis = KERNEL
    stride: PerAxis | None = STRIDE
    ceil_mode: bool = CEIL_MODE

    def infer(self, input: TensorType) -> TensorType:
        self.require_floating(input)
        self._require_whole_window(input)
        return self.pooled_type(input)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return (2 * product(self.sizes("kernel_size")) + 2) * outputs[0].numel

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        # ONNX's LpPool takes absolute values and sums; PyTorch does neither: its partial
        # windows count as whole ones.
        x = batched(g, input, self.axes)
        dtype = x.type.dtype
        power = x if self.norm_type == 1 else g.op("Pow", x, g.const(float(self.norm_type), dtype))
        mean = self.node(g, "AveragePool", power)
        count = product(self.sizes("kernel_size"))
        made = g.op("Mul", mean, g.const(float(count), dtype))  # type: ignore[arg-type]
        if self.norm_type != 1:
            made = g.op("Pow", made, g.const(1 / self.norm_type, dtype))
        return unbatched(g, made, input.rank)


INPUTS = ("N 4 L", "N 4 H W", "N 2 7 H W")
"""An input for an operator over one, two and three axes."""
UNBATCHED = ("4 L", "4 H W", "2 7 H W")
LETTERS = ("L", "H, W", "D, H, W")


def both_forms(
    base: type[Pool], name: str, axes: int, doc: str, examples: Sequence[Example],
    layer: type[Pool] | None = None, own: Sequence[Example] = (),
) -> None:  # fmt: skip
    """Register a module and its function, `name` being the module's without its `d`.

    `layer` is the base of the module where it can do more, and `own` are the examples of that.
    """
    letters = LETTERS[axes - 1]
    shape = f"Shape: `(N, C, {letters}) -> (N, C, {letters.replace(',', chr(39) + ',')}')`"
    text = f"{doc}\n\n{shape}; the batch axis may be left out."
    snake = {"MaxPool": "max_pool", "AvgPool": "avg_pool", "LPPool": "lp_pool"}[name] + f"{axes}d"
    for made, parent in ((f"{name}{axes}d", layer or base), (snake, base)):
        namespace: dict[str, Any] = {
            "__doc__": text, "__module__": base.__module__, "axes": axes, "function": snake,
            "examples": (*examples, *(own if made[0].isupper() else ())),
        }  # fmt: skip
        if base is LPPool and axes == 1:
            namespace["__annotations__"] = {"kernel_size": "int"}  # PyTorch fails on `(3,)`
        op(made)(type(made, (parent,), namespace))


def several(axes: int, *values: int) -> tuple[int, ...]:
    """One value for each axis."""
    return values[:axes]


def plain_examples(axes: int) -> list[Example]:
    """Examples that suit the maximum and the mean alike."""
    image, alone = INPUTS[axes - 1], UNBATCHED[axes - 1]
    return [
        example(image, kernel_size=2),
        example(
            image, kernel_size=several(axes, 3, 2, 3), stride=several(axes, 2, 1, 2), padding=1
        ),
        example(alone, kernel_size=3, stride=2, ceil_mode=True),
        example(image, kernel_size=2, stride=3, padding=1, ceil_mode=True),
    ]


def _register(axes: int) -> None:
    image, alone = INPUTS[axes - 1], UNBATCHED[axes - 1]
    plain = example(
        image, kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False
    )
    doc, many = "The mean of each window.", plain_examples(axes)
    if axes == 1:
        both_forms(AvgPool, "AvgPool", axes, doc, [*many, plain])
    else:
        divided = example(
            image, kernel_size=3, stride=2, padding=1, ceil_mode=True, divisor_override=5
        )
        both_forms(AvgPoolWithDivisor, "AvgPool", axes, doc, [*many, plain, divided])
    doc = "`(sum x ** norm_type) ** (1 / norm_type)` of each window."
    powers = [
        example(image, norm_type=2, kernel_size=2),
        example(image, norm_type=2, kernel_size=3, stride=2, ceil_mode=True),
        example(alone, norm_type=4.0, kernel_size=2, stride=1),
        example(image, norm_type=1, kernel_size=3, stride=1),
    ]
    both_forms(LPPool, "LPPool", axes, doc, powers)


for _axes in (1, 2, 3):
    _register(_axes)
