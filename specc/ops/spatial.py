"""What operators over the last one, two or three axes of `(N, C, *)` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from specc.ir.types import show_shape
from specc.ops.op import OnnxBuilder, Op, OpError, Ref, Size, TensorType
from specc.ops.shapes import as_tuple, require_positive, require_rank

PerAxis: TypeAlias = int | tuple[int, ...]
"""One integer for all spatial axes, or one for each."""


class Spatial(Op):
    """Base of operators over `axes` spatial axes; the batch axis may be left out."""

    axes: ClassVar[int]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "axes" in vars(cls):
            cls.__annotations__ = _narrowed(cls) | vars(cls).get("__annotations__", {})

    def sizes(self, name: str) -> tuple[int, ...]:
        """A parameter as one integer per spatial axis."""
        return as_tuple(getattr(self, name), self.axes)

    def require_image(self, x: TensorType) -> None:
        """Raise `OpError` unless the input is `(N, C, *)` or `(C, *)`."""
        require_rank(x, self.axes + 2, self.axes + 1, name=self.name)

    def channels(self, x: TensorType) -> int:
        """The number of channels, which must be static."""
        self.require_image(x)
        if x.rank == self.axes + 1 and not isinstance(x.shape[0], int):
            raise OpError(
                "T402", f"`{self.name}` needs channels before the last {self.axes} axes of "
                f"{show_shape(x.shape)}", hint="add an axis of size 1, as in `unsqueeze` at 1",
            )  # fmt: skip
        return x.static(-self.axes - 1, "it counts the channels")

    def require_floating(self, x: TensorType) -> None:
        """Raise `OpError` unless the values are floating-point numbers."""
        if not x.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {x.dtype}")

    def resized(self, x: TensorType, sizes: Sequence[Size]) -> TensorType:
        """The type with other spatial sizes, which must be positive."""
        for before, after in zip(x.shape[-self.axes :], sizes, strict=True):
            require_positive(after, f"the size that `{self.name}` makes of `{before}`")
        return x.with_shape(*x.shape[: -self.axes], *sizes)


def _narrowed(cls: type[Spatial]) -> dict[str, str]:
    """The annotations that say `PerAxis`, with the number of axes spelled out."""
    exact = f"int | tuple[{', '.join(['int'] * cls.axes)}]"
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[1:]):
        for name, text in vars(base).get("__annotations__", {}).items():
            if "PerAxis" in text or name in found:
                found[name] = text.replace("PerAxis", exact)
    return found


def batched(g: OnnxBuilder, x: Ref, axes: int) -> Ref:
    """The value with a batch axis, which ONNX's spatial operators need."""
    if x.rank == axes + 2:
        return x
    return g.op("Unsqueeze", x, g.const([0]), type=x.type.with_shape(1, *x.type.shape))


def unbatched(g: OnnxBuilder, x: Ref, rank: int) -> Ref:
    """The value without the batch axis that `batched` has put in front."""
    if x.rank == rank:
        return x
    return g.op("Squeeze", x, g.const([0]), type=x.type.with_shape(*x.type.shape[1:]))


def reduced(g: OnnxBuilder, op_type: str, x: Ref, *axes: int, keepdims: bool = True) -> Ref:
    """`ReduceMean` and its kin; their axes are an attribute before opset 18."""
    sizes: list[Size | None] = list(x.type.shape)
    for axis in axes:
        sizes[axis] = 1 if keepdims else None
    kind = x.type.with_shape(*(size for size in sizes if size is not None))
    if g.opset >= 18 or op_type == "ReduceSum":
        return g.op(op_type, x, g.const(list(axes)), keepdims=keepdims, type=kind)
    return g.op(op_type, x, axes=list(axes), keepdims=keepdims, type=kind)


def mixed(g: OnnxBuilder, x: Ref, axis: int, matrix: Sequence[Sequence[float]]) -> Ref:
    """Each row of `matrix` makes one element of the axis as a weighted sum of those before."""
    rows = [list(row) for row in matrix]
    shape = list(x.type.shape)
    shape[axis] = len(rows)
    out = x.type.with_shape(*shape)
    if axis == -1:
        columns = [list(column) for column in zip(*rows, strict=True)]
        return g.op("MatMul", x, g.const(columns, x.type.dtype), type=out)
    if axis == -2:
        return g.op("MatMul", g.const(rows, x.type.dtype), x, type=out)
    last = list(range(x.rank))
    last[axis], last[-1] = last[-1], last[axis]
    return g.transposed(mixed(g, g.transposed(x, *last), -1, rows), *last)
