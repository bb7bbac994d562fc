"""Pooling to a given size: window `i` of `n` reaches from `i*L // n` to `ceil((i + 1)*L / n)`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as product_of
from typing import Any, ClassVar

from specc.ir.dims import ceil_div
from specc.ops.max_pool import RETURN_INDICES, with_indices
from specc.ops.op import (
    Code,
    DType,
    Example,
    OnnxBuilder,
    OpError,
    Outputs,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.pool import INPUTS, LETTERS, UNBATCHED
from specc.ops.shapes import as_tuple, product
from specc.ops.spatial import Spatial, batched, mixed, reduced, unbatched

Regions = list[tuple[int, int]]


def regions(size: int, count: int) -> Regions:
    """Where each window of an axis starts and ends."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def require_poolable(x: TensorType, sizes: Sequence[Size], param: str) -> None:
    """Raise `OpError` where windows of different sizes depend on a symbolic size."""
    for axis, size in enumerate(sizes, x.rank - len(sizes)):
        before = x.shape[axis]
        static = isinstance(before, int) and isinstance(size, int)
        if size not in (1, before) and before % size != 0 and not static:
            raise OpError(
                "T403", f"axis {axis} of {x} must have a fixed size to be pooled to {size}: the "
                "windows depend on it", param=param,
                hint=f"write an integer instead of `{before}` in the input's shape, or state a "
                f"`multiple_of` of {size} under `dims`",
            )  # fmt: skip


def pooled(g: OnnxBuilder, x: Ref, axes: int, sizes: Sequence[Size], kind: str) -> Ref:
    """Pool the last `axes` axes of `(N, C, *)` to the sizes; `kind` is `Mean` or `Max`."""
    lead = x.rank - axes
    before = x.type.shape[lead:]
    changed = [lead + i for i, (a, b) in enumerate(zip(before, sizes, strict=True)) if a != b]
    whole = [axis for axis in changed if sizes[axis - lead] == 1]
    if len(whole) == axes and kind == "Mean" and x.type.dtype is not DType.float64:
        out = x.type.with_shape(*x.type.shape[:lead], *sizes)
        return g.op("GlobalAveragePool", x, type=out)
    if whole:
        x = reduced(g, f"Reduce{kind}", x, *whole)
    even = [axis for axis in changed if axis not in whole and _divides(x, axis, sizes[axis - lead])]
    if even:
        kept = [sizes[a - lead] if a in even else x.type.shape[a] for a in range(lead, x.rank)]
        x = _even(g, x, lead, kept, kind)
    for axis in changed:
        if axis not in whole and axis not in even:
            x = _uneven(g, x, axis, sizes[axis - lead], kind)
    return x


def _divides(x: Ref, axis: int, count: Size) -> bool:
    return x.type.shape[axis] % count == 0


def _even(g: OnnxBuilder, x: Ref, lead: int, sizes: Sequence[Size], kind: str) -> Ref:
    """Windows of equal size: a plain pooling, or a reduction where the size is symbolic.

    A reduction, too, for float64, for which ONNX Runtime has no average pooling.
    """
    out = x.type.with_shape(*x.type.shape[:lead], *sizes)
    pairs = [(b, a // b) for a, b in zip(x.type.shape[lead:], sizes, strict=True)]
    kernel = [k for _, k in pairs]
    if all(isinstance(k, int) for k in kernel) and x.type.dtype is not DType.float64:
        op_type = "AveragePool" if kind == "Mean" else "MaxPool"
        return g.op(op_type, x, kernel_shape=kernel, strides=kernel, type=out)
    split = [*x.type.shape[:lead], *(part for pair in pairs for part in pair)]
    axes = range(lead + 1, lead + 2 * len(pairs), 2)
    return reduced(g, f"Reduce{kind}", g.reshape(x, tuple(split)), *axes, keepdims=False)


def _uneven(g: OnnxBuilder, x: Ref, axis: int, count: Size, kind: str) -> Ref:
    """Windows of different sizes: weights for a mean, a gathering for a maximum."""
    size = x.type.shape[axis]
    assert isinstance(size, int)
    assert isinstance(count, int)
    found = regions(size, count)
    if kind == "Mean":
        rows = [[(a <= j < b) / (b - a) for j in range(size)] for a, b in found]
        return mixed(g, x, axis - x.rank, rows)
    # A shorter window repeats its last element, which does not change the maximum.
    reach = max(b - a for a, b in found)
    index = [[min(a + j, b - 1) for j in range(reach)] for a, b in found]
    shape = (*x.type.shape[:axis], count, reach, *x.type.shape[axis + 1 :])
    windows = g.op("Gather", x, g.const(index), axis=axis, type=x.type.with_shape(*shape))
    return reduced(g, "ReduceMax", windows, axis + 1, keepdims=False)


class AdaptivePool(Spatial):
    """Base of the adaptive poolings."""

    output_size: Any
    function: ClassVar[str]
    kind: ClassVar[str]

    def _sizes(self, input: TensorType) -> tuple[Size, ...]:
        wanted = as_tuple(self.output_size, self.axes)
        kept = input.shape[-self.axes :]
        return tuple(a if b is None else b for a, b in zip(kept, wanted, strict=True))

    def infer(self, input: TensorType) -> Outputs:
        return self.pooled_type(input)

    def pooled_type(self, input: TensorType) -> TensorType:
        """The type of the pooled values."""
        self.require_image(input)
        self.require_floating(input)
        sizes = self._sizes(input)
        require_poolable(input, sizes, "output_size")
        return self.resized(input, sizes)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        (x,) = inputs
        assert x
        if self.kind == "Max":
            return 0
        total: Size = outputs[0].numel
        for axis in range(-self.axes, 0):
            total = total * ceil_div(x.shape[axis], outputs[0].shape[axis])
        return total

    def torch(self, py: TorchWriter, input: Code) -> str:
        size = self.output_size
        if self.name[0].isupper():
            return py.apply(f"nn.{self.name}", f"F.{self.function}", input, output_size=size)
        return py.call(f"F.{self.name}", input, size)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref | tuple[Ref, ...]:
        x = batched(g, input, self.axes)
        return unbatched(g, pooled(g, x, self.axes, self._sizes(input.type), self.kind), input.rank)


class AdaptiveMaxPoolLayer(AdaptivePool):
    """Base of the modules of maxima, which can also return where these are."""

    return_indices: bool

    check = "exact"
    kind = "Max"

    def infer(self, input: TensorType) -> Outputs:
        found = self.pooled_type(input)
        return with_indices(found) if self.return_indices else found

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {"output_size": self.output_size, **self.given("return_indices")}
        return py.apply(f"nn.{self.name}", f"F.{self.function}", input, **given)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref | tuple[Ref, ...]:
        if not self.return_indices:
            return super().onnx(g, input)
        lead = input.rank - self.axes
        before, out = input.type.shape[lead:], self.pooled_type(input.type)
        flat = g.reshape(input, (*input.type.shape[:lead], product(before)))
        if all(size == 1 for size in out.shape[lead:]):
            place = g.op("ArgMax", flat, axis=-1, keepdims=1, type=_last(flat, 1, DType.int64))
            largest = reduced(g, "ReduceMax", flat, lead)
            return g.reshape(largest, out.shape), g.reshape(place, out.shape)
        table = _places(self.name, before, out.shape[lead:])
        maxima, places = _chosen(g, flat, table)
        return g.reshape(maxima, out.shape), g.reshape(places, out.shape)


def _last(x: Ref, size: Size, dtype: DType) -> TensorType:
    return TensorType(dtype, (*x.type.shape[:-1], size))


def _places(name: str, before: Sequence[Size], after: Sequence[Size]) -> list[list[int]]:
    """For each window, the places of its elements in the flattened plane, all lists alike long.

    A shorter window repeats its last element, which changes neither the maximum nor the first
    place of it.
    """
    if not all(isinstance(size, int) for size in (*before, *after)):
        raise OpError(
            "T407", f"`{name}` has no ONNX form of the indices where sizes are symbolic",
            param="return_indices",
        )  # fmt: skip
    axes = [regions(int(str(a)), int(str(b))) for a, b in zip(before, after, strict=True)]
    strides = [int(str(product(before[i + 1 :]))) for i in range(len(before))]
    windows = [
        [sum(j * s for j, s in zip(at, strides, strict=True)) for at in product_of(
            *(range(*region) for region in window))]
        for window in product_of(*axes)
    ]  # fmt: skip
    reach = max(map(len, windows))
    return [window + [window[-1]] * (reach - len(window)) for window in windows]


def _chosen(g: OnnxBuilder, flat: Ref, table: list[list[int]]) -> tuple[Ref, Ref]:
    """The largest element of each window, and its place."""
    count, reach = len(table), len(table[0])
    kind = flat.type.with_shape(*flat.type.shape[:-1], count, reach)
    windows = g.op("Gather", flat, g.const(table), axis=flat.rank - 1, type=kind)
    index = _last(flat, count, DType.int64)
    first = g.op("ArgMax", windows, axis=-1, keepdims=0, type=index)
    starts = g.const([i * reach for i in range(count)])
    listed = g.const([place for window in table for place in window])
    places = g.op("Gather", listed, g.op("Add", first, starts), axis=0, type=index)
    return reduced(g, "ReduceMax", windows, flat.rank, keepdims=False), places


def _examples(axes: int) -> list[Example]:
    image, alone = INPUTS[axes - 1], UNBATCHED[axes - 1]
    fixed = ("N 4 9", "N 4 6 9", "N 2 6 8 9")[axes - 1]
    some: dict[str, Any] = {"output_size": (3, 5, 9)[:axes]}
    kept = [example(image, output_size=(1, None, 1)[:axes])] if axes > 1 else []
    return [
        example(image, output_size=1),
        example(alone, output_size=1),
        example(fixed, output_size=3 if axes < 3 else (3, 4, 9)),
        example(fixed, output_size=4),
        example(fixed, **some),
        *kept,
    ]  # fmt: skip


def _indexed(axes: int) -> list[Example]:
    fixed = ("N 4 9", "N 4 6 9", "N 2 6 8 9")[axes - 1]
    return [
        example(fixed, output_size=4, return_indices=True),
        example(UNBATCHED[axes - 1], output_size=1, return_indices=True),
    ]


def _register(axes: int, kind: str, doc: str) -> None:
    one = "int | None" if axes > 1 else "int"
    annotation = f"{one} | tuple[{', '.join([one] * axes)}]"
    output_size = param(
        ge=1, doc="the new size, or one for each axis" + ("; `null` keeps it" if axes > 1 else "")
    )
    letters = LETTERS[axes - 1]
    text = (
        f"{doc}\n\nShape: `(N, C, {letters}) -> (N, C, *output_size)`; the batch axis may be left "
        "out. A symbolic axis can be pooled to 1 or to a size that divides it (`multiple_of` "
        "under `dims`)."
    )
    words = "Avg" if kind == "Mean" else "Max"
    snake = f"adaptive_{words.lower()}_pool{axes}d"
    for name in (f"Adaptive{words}Pool{axes}d", snake):
        namespace: dict[str, Any] = {
            "__doc__": text, "__module__": __name__, "axes": axes, "function": snake, "kind": kind,
            "output_size": output_size, "examples": tuple(_examples(axes)),
            "__annotations__": {"output_size": annotation},
        }  # fmt: skip
        parent: type[AdaptivePool] = AdaptivePool
        if kind == "Max":
            namespace["check"] = "exact"
            if name[0].isupper():
                parent = AdaptiveMaxPoolLayer
                namespace["return_indices"] = param(default=False, doc=RETURN_INDICES)
                namespace["__annotations__"]["return_indices"] = "bool"
                namespace["examples"] = (*_examples(axes), *_indexed(axes))
        op(name)(type(name, (parent,), namespace))


for _axes in (1, 2, 3):
    _register(_axes, "Mean", "The mean of windows that split the input as evenly as possible.")
    _register(_axes, "Max", "The maximum of windows that split the input as evenly as possible.")
