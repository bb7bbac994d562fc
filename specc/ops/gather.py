"""Elements read at positions that a tensor holds."""

from __future__ import annotations

from specc.ir.dims import bounds
from specc.ops.expand import onnx_expand
from specc.ops.index import limits, require_indices
from specc.ops.op import (
    Code,
    DType,
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
from specc.ops.shapes import axis, broadcast


def require_within(name: str, index: TensorType, x: TensorType, free: int | None = None) -> None:
    """Raise `OpError` unless `index` has the rank of `x` and is no larger but along `free`."""
    if index.rank != x.rank:
        raise OpError("T402", f"`{name}` needs inputs of one rank, got {index} and {x}")
    for at, (small, large) in enumerate(zip(index.shape, x.shape, strict=True)):
        room = bounds(large - small)[0]
        if at != free and (room is None or room < 0):
            raise OpError(
                "T401", f"`{name}`: axis {at} of {index} may not be larger than that of {x}"
            )


@op("gather")
class Gather(Op):
    """Along one axis, the elements at the positions that `index` holds.

    `y[i][j][k] = x[i][index[i][j][k]][k]` for `dim` 1.

    Shape: that of `index`, which is at most that of the input but along `dim`.
    """

    dim: int = param(doc="the axis that `index` counts along")

    check = "exact"

    def infer(self, input: TensorType, index: TensorType) -> TensorType:
        at = axis(input, self.dim)
        require_indices(index, self.name, "index")
        require_within(self.name, index, input, at)
        return input.with_shape(*index.shape)

    def index_bounds(self, *types: TensorType | None) -> dict[str, tuple[int, int]]:
        return limits("index", types[0], self.dim)

    def torch(self, py: TorchWriter, input: Code, index: Code) -> str:
        return f"{input.atom}.gather({self.dim}, {index})"

    def onnx(self, g: OnnxBuilder, input: Ref, index: Ref) -> Ref:
        out = self.infer(input.type, index.type)
        return g.op("GatherElements", input, index, axis=axis(input.type, self.dim), type=out)

    examples = (
        example("N 8", "int64<8: N T", dim=1),
        example("bool: 5 T", "int32<5: L T", dim=0),
        example("int64: N T 6", "int64<6: N T 3", dim=-1),
        example("4 8", "int64<8: 2 3", dim=1),
    )


@op("take_along_dim")
class TakeAlongDim(Op):
    """Along one axis, the elements at the positions that `indices` holds; other axes broadcast.

    Shape: that of `indices` and the input, broadcast but along `dim`. Without `dim`, both are
    taken as flat.
    """

    dim: int | None = param(default=None, doc="the axis that `indices` counts along")

    check = "exact"

    def _shapes(
        self, x: TensorType, indices: TensorType
    ) -> tuple[int, TensorType, TensorType]:  # fmt: skip
        """The axis, and both types after broadcasting."""
        if indices.dtype is not DType.int64:
            raise OpError(
                "T404", f"`{self.name}` needs positions of int64, got {indices.dtype}",
                input="indices",
            )  # fmt: skip
        if self.dim is None:
            return 0, x.with_shape(x.numel), indices.with_shape(indices.numel)
        if x.rank != indices.rank:
            raise OpError("T402", f"`{self.name}` needs inputs of one rank, got {x} and {indices}")
        at = axis(x, self.dim)
        front = broadcast(x.shape[:at], indices.shape[:at])
        back = broadcast(x.shape[at + 1 :], indices.shape[at + 1 :])
        return (
            at, x.with_shape(*front, x.shape[at], *back),
            indices.with_shape(*front, indices.shape[at], *back),
        )  # fmt: skip

    def infer(self, input: TensorType, indices: TensorType) -> TensorType:
        return input.with_shape(*self._shapes(input, indices)[2].shape)

    def index_bounds(self, *types: TensorType | None) -> dict[str, tuple[int, int]]:
        x = types[0]
        flat = x.with_shape(x.numel) if x else None
        return limits("indices", flat, 0) if self.dim is None else limits("indices", x, self.dim)

    def torch(self, py: TorchWriter, input: Code, indices: Code) -> str:
        return py.call("torch.take_along_dim", input, indices, **self.given("dim"))

    def onnx(self, g: OnnxBuilder, input: Ref, indices: Ref) -> Ref:
        at, wide, wide_indices = self._shapes(input.type, indices.type)
        lift = g.reshape if self.dim is None else None
        x = lift(input, wide.shape) if lift else onnx_expand(g, input, wide)
        where = lift(indices, wide_indices.shape) if lift else onnx_expand(g, indices, wide_indices)
        return g.op("GatherElements", x, where, axis=at, type=self.infer(input.type, indices.type))

    examples = (
        example("N 8", "int64<8: N T", dim=1),
        example("N 8 1", "int64<8: 1 T 4", dim=1),
        example("bool: 5 T", "int64<5: L T", dim=0),
        example("2 3", "int64<6: 2 T"),
    )
