"""Axes in another order, added and removed."""

from __future__ import annotations

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import axis


def axes(x: TensorType, dims: int | tuple[int, ...], param: str = "dim") -> tuple[int, ...]:
    """Axis indices counted from the front; `OpError` if one is named twice."""
    found = tuple(axis(x, i, param) for i in (dims if isinstance(dims, tuple) else (dims,)))
    if len(set(found)) < len(found):
        raise OpError("T402", f"`{param}` names an axis twice", param=param)
    return found


def permuted(x: TensorType, order: tuple[int, ...]) -> TensorType:
    """The type with its axes in another order."""
    return x.with_shape(*(x.shape[i] for i in order))


class _Permutation(Op):
    """Base of the operators that only reorder axes."""

    check = "exact"

    def order(self, x: TensorType) -> tuple[int, ...]:
        raise NotImplementedError

    def infer(self, input: TensorType) -> TensorType:
        return permuted(input, self.order(input))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        order = self.order(input.type)
        return input if order == tuple(range(input.rank)) else g.transposed(input, *order)


PERMUTE = """
class Permute(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.permute(self.dims)
"""


@op("permute")
class Permute(_Permutation):
    """Axes in another order.

    Shape: axis `i` of the result is axis `dims[i]` of the input.
    """

    dims: tuple[int, ...] = param(doc="for each axis of the result, the axis that it was")

    def order(self, x: TensorType) -> tuple[int, ...]:
        if len(self.dims) != x.rank:
            raise OpError("T402", f"`dims` must name each axis of {x} once", param="dims")
        return axes(x, self.dims, "dims")

    def torch(self, py: TorchWriter, input: Code) -> str:
        if py.in_sequence:
            py.support(PERMUTE)
            return f"{py.layer('Permute', dims=self.dims)}({input})"
        return f"{input.atom}.permute({', '.join(map(str, self.dims))})"

    examples = (
        example("N 3 H W", dims=(0, 2, 3, 1)),
        example("int64: N T", dims=(-1, 0)),
        example("bool: N T 3", dims=(0, 1, 2)),
    )


class _Swap(_Permutation):
    """Base of both spellings of transpose."""

    def pair(self) -> tuple[int, int]:
        raise NotImplementedError

    def order(self, x: TensorType) -> tuple[int, ...]:
        names = list(self.params)
        a, b = (axis(x, i, name) for i, name in zip(self.pair(), names, strict=True))
        order = list(range(x.rank))
        order[a], order[b] = b, a
        return tuple(order)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{input.atom}.{self.name}({', '.join(map(str, self.pair()))})"


@op("transpose")
class Transpose(_Swap):
    """Two axes change places.

    Shape: sizes `dim0` and `dim1` change places.
    """

    dim0: int = param(doc="one axis")
    dim1: int = param(doc="the other axis")

    def pair(self) -> tuple[int, int]:
        return self.dim0, self.dim1

    examples = (
        example("N T 8", dim0=1, dim1=2),
        example("int64: N T 3 4", dim0=-3, dim1=1),
        example("bool: N T 3", dim0=0, dim1=-1),
    )


@op("swapaxes")
class SwapAxes(_Swap):
    """Two axes change places; the same as `transpose`.

    Shape: sizes `axis0` and `axis1` change places.
    """

    axis0: int = param(doc="one axis")
    axis1: int = param(doc="the other axis")

    def pair(self) -> tuple[int, int]:
        return self.axis0, self.axis1

    examples = (example("N T 8", axis0=1, axis1=2), example("N T 3 4", axis0=-1, axis1=0))


@op("movedim")
class MoveDim(_Permutation):
    """Moves axes to other places; the rest keep their order.

    Shape: axis `source[i]` of the input is axis `destination[i]` of the result.
    """

    source: int | tuple[int, ...] = param(doc="the axes to move")
    destination: int | tuple[int, ...] = param(doc="their places in the result")

    def order(self, x: TensorType) -> tuple[int, ...]:
        source = axes(x, self.source, "source")
        destination = axes(x, self.destination, "destination")
        if len(source) != len(destination):
            raise OpError(
                "T402", f"{len(source)} axes cannot go to {len(destination)} places",
                param="destination",
            )  # fmt: skip
        moved = dict(zip(destination, source, strict=True))
        rest = iter(i for i in range(x.rank) if i not in source)
        return tuple(moved[i] if i in moved else next(rest) for i in range(x.rank))

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.movedim", self.source, self.destination)

    examples = (
        example("N T 3 4", source=1, destination=-1),
        example("N T 3 4", source=(0, 1), destination=(2, 0)),
    )


@op("squeeze")
class Squeeze(Op):
    """Removes axes of size 1, by default all of them.

    Shape: axes of another size stay. An axis that `dim` names must be static; without `dim`,
    axes of symbolic size stay, even where the size is 1 at run time.
    """

    dim: int | tuple[int, ...] | None = param(default=None, doc="the axes to remove; none: all")

    check = "exact"

    def removed(self, x: TensorType) -> tuple[int, ...]:
        if self.dim is None:
            return tuple(i for i, size in enumerate(x.shape) if size == 1)
        return tuple(i for i in axes(x, self.dim) if x.static(i, "it may be 1 or not") == 1)

    def infer(self, input: TensorType) -> TensorType:
        gone = self.removed(input)
        return input.with_shape(*(s for i, s in enumerate(input.shape) if i not in gone))

    def torch(self, py: TorchWriter, input: Code) -> str | Code:
        gone = self.removed(input.type)
        if not gone:
            return input
        if self.dim is None and input.type.is_static:
            return f"{input.atom}.squeeze()"
        dims = self.dim if self.dim is not None else gone[0] if len(gone) == 1 else gone
        return py.call(f"{input.atom}.squeeze", dims)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        gone = self.removed(input.type)
        if not gone:
            return input
        return g.op("Squeeze", input, g.const(list(gone)), type=self.infer(input.type))

    examples = (
        example("N 1 T", dim=1),
        example("N 1 T 1"),
        example("bool: N T 1", dim=-1),
        example("int64: 1 3 1"),
        example("1 N 1 3", dim=(0, -2)),
        example("N 3", dim=1),
        example("N T"),
    )


@op("unsqueeze")
class Unsqueeze(Op):
    """Adds an axis of size 1.

    Shape: the result has one axis more, at `dim`.
    """

    dim: int = param(doc="the place of the new axis")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        at = axis(input.with_shape(*input.shape, 1), self.dim)
        return input.with_shape(*input.shape[:at], 1, *input.shape[at:])

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{input.atom}.unsqueeze({self.dim})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Unsqueeze", input, g.const([self.dim]), type=self.infer(input.type))

    examples = (
        example("N T", dim=1),
        example("int64: N T", dim=-1),
        example("bool: N T", dim=-3),
    )
