"""Parts of a tensor picked by position."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from specc.ir.dims import Dim, bounds, ceil_div, dmax, dmin
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

END = 2**63 - 1
"""What ONNX's Slice takes for an end that is left open."""

STATE_MIN = "state the `min` of the size under `dims`"

Edge = int | Dim | None


def require_index(size: Size, index: Size, param: str) -> None:
    """Raise `OpError` unless the position lies within the size, whatever the symbols are."""
    room = size + index if _is_negative(index, param) else size - index - 1
    low, high = bounds(room)
    if high is not None and high < 0:
        raise OpError(
            "T402", f"there is no position {index} in an axis of size {size}", param=param
        )
    if low is None or low < 0:
        raise OpError(
            "T402", f"position {index} may lie outside an axis of size `{size}`", param=param,
            hint=STATE_MIN,
        )  # fmt: skip


def _is_negative(value: Size, param: str) -> bool:
    low, high = bounds(value)
    if low is not None and low >= 0:
        return False
    if high is not None and high < 0:
        return True
    raise OpError(
        "T403", f"it is not known whether `{value}` is negative", param=param,
        hint="state the `min` of its sizes under `dims`",
    )  # fmt: skip


def sliced(size: Size, start: Edge, stop: Edge, step: Edge = None, param: str = "index") -> Size:
    """The size of `start:stop:step`, by Python's rules."""
    step = 1 if step is None else step
    low, _ = bounds(step)
    if low is None or low < 1:
        raise OpError("T405", f"the step of a slice must be positive, got {step}", param=param)
    first = 0 if start is None else _clamped(size, start, param)
    last = size if stop is None else _clamped(size, stop, param)
    return ceil_div(dmax(last - first, 0), step)


def _clamped(size: Size, edge: Size, param: str) -> Size:
    if _is_negative(edge, param):
        return dmax(size + edge, 0)
    return dmin(edge, size)


def require_indices(indices: TensorType, name: str, input: str = "indices") -> None:
    """Raise `OpError` unless the tensor holds integers that PyTorch takes for positions."""
    if indices.dtype not in (DType.int64, DType.int32):
        raise OpError(
            "T404", f"`{name}` needs integer positions, got {indices.dtype}", input=input,
            hint="convert with `to`" if indices.dtype.is_integer else None,
        )  # fmt: skip


def limits(
    name: str, x: TensorType | None, dim: int, *, from_end: bool = False
) -> dict[str, tuple[int, int]]:
    """For `Op.index_bounds`: the positions of an axis, if its size is static.

    `from_end` is for operators that count negative positions from the end.
    """
    size = x.shape[dim] if x else None
    return {name: (-size if from_end else 0, size)} if isinstance(size, int) else {}


class Plan(NamedTuple):
    """An index taken apart: what happens to which axis of the input, and the result's shape."""

    shape: tuple[Size, ...]
    slices: dict[int, tuple[Any, ...]]
    picks: dict[int, Any]
    new: list[int]


@op("getitem")
class GetItem(Op):
    """`input[index]`, as a formula writes it: `x[:, 0]`, `x[..., None]`, `x[:, positions]`.

    Shape: an integer removes its axis, a slice shortens it, `null` adds one of size 1, and the
    tensor puts its own axes in place of one. A position must exist whatever the symbolic sizes.
    """

    index: tuple[
        int | Dim | Literal["...", "tensor"] | tuple[int | Dim | None, ...] | None, ...
    ] = param(
        doc="one item per axis: an integer, null for a new axis, [start, stop] or "
        '[start, stop, step], "..." for all axes between, "tensor" for `indices`'
    )

    check = "exact"

    def plan(self, x: TensorType, indices: TensorType | None) -> Plan:
        shape: list[Size] = []
        made = Plan((), {}, {}, [])
        at = 0
        for item in self._items(x, indices):
            if item is None:
                made.new.append(len(shape))
                shape.append(1)
                continue
            size = x.shape[at]
            if isinstance(item, tuple):
                if any(edge is not None for edge in item):
                    made.slices[at] = item
                shape.append(sliced(size, *item))
            else:
                made.picks[at] = item
                if isinstance(item, str):
                    shape += indices.shape if indices else ()
                else:
                    require_index(size, item, "index")
            at += 1
        return made._replace(shape=tuple(shape))

    def _items(self, x: TensorType, indices: TensorType | None) -> list[Any]:
        """The items, with all axes of the input spelled out."""
        items: list[Any] = list(self.index)
        if (indices is not None) != ("tensor" in items) or items.count("tensor") > 1:
            raise OpError("T402", 'one "tensor" item goes with `indices`', param="index")
        if indices:
            require_indices(indices, "an index")
        if any(isinstance(item, tuple) and len(item) not in (2, 3) for item in items):
            raise OpError("T402", "a slice has a start, a stop and perhaps a step", param="index")
        taken = sum(item is not None and item != "..." for item in items)
        if taken > x.rank or items.count("...") > 1:
            raise OpError("T402", f"the index has too many items for {x}", param="index")
        at = items.index("...") if "..." in items else len(items)
        items[at : at + 1] = [(None, None)] * (x.rank - taken)
        return items

    def infer(self, input: TensorType, indices: TensorType | None = None) -> TensorType:
        return input.with_shape(*self.plan(input, indices).shape)

    def index_bounds(self, *types: TensorType | None) -> dict[str, tuple[int, int]]:
        x, indices = (*types, None)[:2]
        if not (x and indices):
            return {}
        picks = self.plan(x, indices).picks
        at = next(axis for axis, item in picks.items() if isinstance(item, str))
        return limits("indices", x, at, from_end=True)

    def torch(self, py: TorchWriter, input: Code, indices: Code | None = None) -> str:
        items = ", ".join(_source(item, py, indices) for item in self.index)
        return f"{input.atom}[{items or '...'}]"

    def onnx(self, g: OnnxBuilder, input: Ref, indices: Ref | None = None) -> Ref:
        plan = self.plan(input.type, indices.type if indices else None)
        x = onnx_slice(g, input, plan.slices)
        for at in sorted(plan.picks, reverse=True):
            item = plan.picks[at]
            where = indices if isinstance(item, str) else onnx_position(g, item)
            assert where
            shape = x.type.shape
            kind = x.type.with_shape(*shape[:at], *where.type.shape, *shape[at + 1 :])
            x = g.op("Gather", x, where, axis=at, type=kind)
        if plan.new:
            kind = input.type.with_shape(*plan.shape)
            x = g.op("Unsqueeze", x, g.const(plan.new), type=kind)
        return x

    examples = (
        example("N T 8", index=([None, None], 0)),
        example("N T", index=([None, None], None)),
        example("bool: N T 8", index=("...", -1)),
        example("int64: N T 8", index=([None, None], [1, -1], [None, None, 2])),
        example("N T 8", index=(None, 0, "...", None, [-3, None])),
        example("N 8", "int64<8: L", index=([None, None], "tensor")),
        example("6 N 8", "int64<5: N T", index=("tensor", None, 0)),
        example("N 8 6", "int32<6: L", index=(0, "...", "tensor", None)),
        example("N T 8", index=([None, None], [None, 3], [20, None])),
        example("N T 8", index=([None, None], "${i0.shape[1] - 1}")),
        example("N N 12", index=(0, [None, None], [None, "${i0.shape[0]}"])),
        example("N T", index=([None, None], [0, "${i0.shape[1] - 1}"])),
        example("N T", index=()),
    )


def _source(item: Any, py: TorchWriter, indices: Code | None) -> str:
    if item == "tensor":
        return str(indices)
    if item is None or item == "...":
        return str(item)
    if not isinstance(item, tuple):
        return py.size(item)
    return ":".join("" if edge is None else py.size(edge) for edge in item)


def onnx_position(g: OnnxBuilder, index: Size) -> Ref:
    """A position as a scalar tensor."""
    if isinstance(index, int):
        return g.const(index)
    return g.op("Squeeze", g.dims([index]), type=TensorType(DType.int64, ()))


def onnx_slice(g: OnnxBuilder, x: Ref, slices: dict[int, tuple[Any, ...]]) -> Ref:
    """One Slice for `{axis: (start, stop[, step])}`."""
    if not slices:
        return x
    shape = list(x.type.shape)
    for at, edges in slices.items():
        shape[at] = sliced(shape[at], *edges)
    starts = [edges[0] if edges[0] is not None else 0 for edges in slices.values()]
    ends = [edges[1] if edges[1] is not None else END for edges in slices.values()]
    steps = [
        edges[2] if len(edges) > 2 and edges[2] is not None else 1 for edges in slices.values()
    ]
    return g.op(
        "Slice", x, g.dims(starts), g.dims(ends), g.const(list(slices)),
        None if all(step == 1 for step in steps) else g.dims(steps),
        type=x.type.with_shape(*shape),
    )  # fmt: skip
