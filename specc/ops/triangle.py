"""Triangles and diagonals of matrices."""

from __future__ import annotations

from specc.ir.dims import dmax, dmin
from specc.ops.index import onnx_slice
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
from specc.ops.shapes import axis

_LACKING = frozenset({DType.uint8, DType.int8, DType.int16, DType.int32})
"""Types that ONNX Runtime's Trilu leaves out."""


class _Triangle(Op):
    """Base of tril and triu."""

    check = "exact"
    diagonal: int
    upper = 0

    def infer(self, input: TensorType) -> TensorType:
        if input.rank < 2:
            raise OpError("T402", f"`{self.name}` needs at least 2 dimensions, got {input}")
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{input.atom}.{self.name}({self.diagonal or ''})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        x = g.cast(input, DType.int64) if input.type.dtype in _LACKING else input
        k = g.const(self.diagonal) if self.diagonal else None
        return g.cast(g.op("Trilu", x, k, upper=self.upper), input.type.dtype)

    examples = (
        example("N T T"),
        example("3 N", diagonal=1),
        example("bool: T T", diagonal=-1),
        example("int64: N T 4", diagonal=9),
        example("int32: T L", diagonal=-9),
    )


@op("tril")
class Tril(_Triangle):
    """Lower triangles of the last two axes; the rest is zero.

    Shape: unchanged.
    """

    diagonal: int = param(default=0, doc="the last diagonal to keep; negative: below the main one")


@op("triu")
class Triu(_Triangle):
    """Upper triangles of the last two axes; the rest is zero.

    Shape: unchanged.
    """

    diagonal: int = param(default=0, doc="the first diagonal to keep; negative: below the main one")

    upper = 1


@op("diagonal")
class Diagonal(Op):
    """The diagonals of two axes.

    Shape: both axes go, and the length of the diagonal comes as the last.
    """

    offset: int = param(default=0, doc="which diagonal; positive: above the main one")
    dim1: int = param(default=0, doc="the axis of the rows")
    dim2: int = param(default=1, doc="the axis of the columns")

    check = "exact"

    def _axes(self, x: TensorType) -> tuple[int, int]:
        rows, columns = axis(x, self.dim1, "dim1"), axis(x, self.dim2, "dim2")
        if rows == columns:
            raise OpError("T402", "`dim1` and `dim2` are one axis", param="dim2")
        return rows, columns

    def _length(self, rows: Size, columns: Size) -> Size:
        down, right = max(-self.offset, 0), max(self.offset, 0)
        return dmax(dmin(rows - down, columns - right), 0)

    def infer(self, input: TensorType) -> TensorType:
        rows, columns = self._axes(input)
        rest = (s for i, s in enumerate(input.shape) if i not in (rows, columns))
        return input.with_shape(*rest, self._length(input.shape[rows], input.shape[columns]))

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.diagonal", **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        rows, columns = self._axes(input.type)
        rest = [i for i in range(input.rank) if i not in (rows, columns)]
        order = [*rest, rows, columns]
        x = input if order == sorted(order) else g.transposed(input, *order)
        *outer, height, width = x.type.shape
        flat = g.reshape(x, (*outer, height * width))
        # In a flat matrix, the next element of a diagonal is one row and one column on.
        start = self.offset if self.offset >= 0 else -self.offset * width
        stop = start + self._length(height, width) * (width + 1)
        out = self.infer(input.type)
        return onnx_slice(g, flat, {len(outer): (start, stop, width + 1)})._replace(type=out)

    examples = (
        example("T T"),
        example("N 4 6", offset=1, dim1=1, dim2=2),
        example("int64: 4 N 3", offset=-2, dim1=0, dim2=-1),
        example("bool: T N L", dim1=-1, dim2=0),
        example("N T", offset=2),
        example("3 3", offset=5),
    )
