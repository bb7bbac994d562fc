"""Axes rearranged, reduced and repeated by a pattern that names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from specc.ir.dims import Dim
from specc.ops.expand import onnx_expand
from specc.ops.kernels import NARROW
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
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.patterns import Group, Plan, bad, plan

_PATTERN = "axes before and after, such as `b (h d) -> b h d`"
_AXES = 'sizes of axes that the input does not tell, such as `{ "h": 8 }`'


class _Patterned(Op):
    """Base of the three operators: split axes, reduce, permute, repeat, merge axes."""

    pattern: str
    axes: dict[str, int | Dim]

    def plan(self, x: TensorType) -> Plan:
        found = plan(self.pattern, x, self.axes)
        self.require(set(found.inner), set(found.outer), found)
        return found

    def require(self, left: set[str], right: set[str], found: Plan) -> None:
        """Raise `OpError` where the sides of the pattern do not belong together."""

    def dtype(self, x: TensorType, found: Plan) -> DType:
        return x.dtype

    def reduced_source(self, text: str, places: tuple[int, ...]) -> str:
        """Source that reduces axes."""
        raise NotImplementedError

    def reduced(self, g: OnnxBuilder, x: Ref, places: tuple[int, ...], out: TensorType) -> Ref:
        """A node that reduces axes."""
        raise NotImplementedError

    def infer(self, input: TensorType) -> TensorType:
        found = self.plan(input)
        return TensorType(self.dtype(input, found), found.shape(found.right))

    def torch(self, py: TorchWriter, input: Code) -> str | Code:
        found = self.plan(input.type)
        text = _split_source(py, input.atom, found)
        gone, kept, new = _parts(found)
        if gone:
            text = self.reduced_source(text, gone)
        order = [kept.index(name) for name in found.outer if name in kept]
        if order != sorted(order):
            text = f"{text}.permute({', '.join(map(str, order))})"
        if new:
            places = ", ".join("None" if name in new else ":" for name in found.outer)
            sizes = (py.size(found.sizes[n]) if n in new else "-1" for n in found.outer)
            text = f"{text}[{places}].expand({', '.join(sizes)})"
        text = _merge_source(py, text, found)
        return input if text == input.atom else text

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        found = self.plan(input.type)
        gone, kept, new = _parts(found)
        x = _shaped(g, input, found.elementary(found.inner))
        if gone:
            kind = TensorType(self.dtype(input.type, found), found.elementary(kept))
            x = self.reduced(g, x, gone, kind)
        order = [kept.index(name) for name in found.outer if name in kept]
        if order != sorted(order):
            x = g.transposed(x, *order)
        if new:
            x = _shaped(g, x, tuple(1 if n in new else found.sizes[n] for n in found.outer))
            x = onnx_expand(g, x, x.type.with_shape(*found.elementary(found.outer)))
        return _shaped(g, x, found.shape(found.right))


def _parts(found: Plan) -> tuple[tuple[int, ...], list[str], set[str]]:
    """Places of the axes to reduce, names of those that stay, and names of new ones."""
    inner, outer = found.inner, set(found.outer)
    gone = tuple(i for i, name in enumerate(inner) if name not in outer)
    return gone, [name for name in inner if name in outer], outer - set(inner)


def _shaped(g: OnnxBuilder, x: Ref, shape: tuple[Size, ...]) -> Ref:
    return x if x.type.shape == shape else g.reshape(x, shape)


def _one_open(shape: Sequence[Size]) -> bool:
    return sum(isinstance(size, Dim) for size in shape) <= 1


def _is_plain(groups: list[Group]) -> bool:
    return all(len(group) == 1 for group in groups)


def _split_source(py: TorchWriter, text: str, found: Plan) -> str:
    """The input with an axis for each name."""
    if _is_plain(found.left):
        return text
    shape = found.elementary(found.inner)
    if _one_open(shape):
        return f"{text}.reshape({py.sizes(shape) or '()'})"
    for at in reversed(range(len(found.left))):
        group = found.left[at]
        if not group:
            text = f"{text}.squeeze({at})"
        elif len(group) > 1:
            text = f"{text}.unflatten({at}, ({py.sizes(found.elementary(group))}))"
    return text


def _merge_source(py: TorchWriter, text: str, found: Plan) -> str:
    """The axes of one group made one."""
    if _is_plain(found.right):
        return text
    shape = found.shape(found.right)
    if _one_open(shape):
        return f"{text}.reshape({py.sizes(shape) or '()'})"
    for at, group in enumerate(found.right):
        if not group:
            text = f"{text}.unsqueeze({at})"
        elif len(group) > 1:
            text = f"{text}.flatten({at}, {at + len(group) - 1})"
    return text


@op("rearrange")
class Rearrange(_Patterned):
    """Axes in another order, split and merged, as the pattern names them (einops).

    `b (h d) t -> b h t d` splits an axis and moves its parts; `...` stands for any axes, `1` for
    an axis of size 1.

    Shape: the right side of the pattern.
    """

    pattern: str = param(doc=_PATTERN)
    axes: dict[str, int | Dim] = param(default={}, ge=1, doc=_AXES)

    check = "exact"

    def require(self, left: set[str], right: set[str], found: Plan) -> None:
        for name in sorted(left ^ right):
            raise bad(f"`{name.split('@')[0]}` stands on one side only")

    examples = (
        example("N T 8", pattern="b t (h d) -> b h t d", axes={"h": 2}),
        example("N 2 T 4", pattern="b h t d -> b t (h d)"),
        example("N 3 8 4", pattern="b c (h p) (w q) -> b (h w) (p q c)", axes={"p": 2, "q": 2}),
        example("int64: N T L 6", pattern="... (a b) -> a ... b", axes={"a": 3}),
        example("bool: N 1 T", pattern="b 1 t -> t b 1"),
        example("N T 3", pattern="... -> (...)"),
        example("N T", pattern="n t -> n t"),
        example("N T 4", pattern="n t c -> (n t) c"),
        example("1 1", pattern="1 1 ->"),
        example("N T L", pattern="n t l -> l (t n)"),
    )


@op("repeat")
class Repeat(_Patterned):
    """New axes along which the input repeats, as the pattern names them (einops).

    `h w -> h w c` adds an axis; `h w -> (h 2) (w 2)` repeats each element.

    Shape: the right side of the pattern.
    """

    pattern: str = param(doc=_PATTERN)
    axes: dict[str, int | Dim] = param(default={}, ge=1, doc=_AXES)

    check = "exact"

    def require(self, left: set[str], right: set[str], found: Plan) -> None:
        for name in sorted(left - right):
            raise bad(f"`{name.split('@')[0]}` is not on the right")
        for name in sorted(right - set(found.sizes)):
            raise bad(f"the size of `{name}` is not known", f'give it: "axes": {{ "{name}": 8 }}')

    examples = (
        example("N T", pattern="n t -> n t c", axes={"c": 3}),
        example("N T", pattern="n t -> n (t 2)"),
        example("int64: N 3 T", pattern="n h t -> (r n) t (h 2)", axes={"r": 2}),
        example("1 1 8", pattern="1 1 d -> b 1 d", axes={"b": "${i0.shape[2]}"}),
        example("bool: T 3", pattern="... d -> 4 d ..."),
        example("8", pattern="d -> b d", axes={"b": 2}),
    )


@op("reduce")
class Reduce(_Patterned):
    """Axes reduced that are not on the right of the pattern, and others rearranged (einops).

    `b c h w -> b c` with `mean` is global average pooling; `b c (h 2) (w 2) -> b c h w` with
    `max` pools windows.

    Shape: the right side of the pattern. `sum` and `prod` of integers are `int64`.
    """

    pattern: str = param(doc=_PATTERN)
    reduction: Literal["min", "max", "sum", "mean", "prod"] = param(doc="how to reduce")
    axes: dict[str, int | Dim] = param(default={}, ge=1, doc=_AXES)

    def require(self, left: set[str], right: set[str], found: Plan) -> None:
        for name in sorted(right - left):
            raise bad(f"`{name.split('@')[0]}` is not on the left")

    def dtype(self, x: TensorType, found: Plan) -> DType:
        if x.dtype.is_floating or set(found.inner) == set(found.outer):
            return x.dtype
        if self.reduction == "mean":
            raise OpError("T404", f"`mean` needs floating-point values, got {x.dtype}")
        return DType.int64 if self.reduction in ("sum", "prod") else x.dtype

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        x = inputs[0]
        assert x
        return x.numel

    def reduced_source(self, text: str, places: tuple[int, ...]) -> str:
        if self.reduction == "prod":
            return text + "".join(f".prod({at})" for at in reversed(places))
        name = {"min": "amin", "max": "amax"}.get(self.reduction, self.reduction)
        dims = places[0] if len(places) == 1 else places
        return f"{text}.{name}({dims})"

    def reduced(self, g: OnnxBuilder, x: Ref, places: tuple[int, ...], out: TensorType) -> Ref:
        node = f"Reduce{self.reduction.capitalize()}"
        used = DType.int32 if out.dtype in NARROW else out.dtype
        kind = out.with_dtype(used)
        value = g.cast(x, used)
        if g.opset >= 18 or self.reduction == "sum":
            made = g.op(node, value, g.const(list(places)), keepdims=0, type=kind)
        else:
            made = g.op(node, value, axes=list(places), keepdims=0, type=kind)
        return g.cast(made, out.dtype)

    examples = (
        example("N 3 H W", pattern="b c h w -> b c", reduction="mean"),
        example("N 3 8 4", pattern="b c (h 2) (w 2) -> b h w c", reduction="max"),
        example("int64: N T 3", pattern="n t c -> c n", reduction="sum"),
        example("bool: N T", pattern="n t -> n 1", reduction="max"),
        example("N T 2", pattern="n t c -> n", reduction="prod"),
        example("int8: N T 2", pattern="... c -> ...", reduction="min"),
        example("bool: N T", pattern="n t ->", reduction="sum"),
        example("N T", pattern="n t -> t n", reduction="mean"),
    )
