"""Parts of a tensor along one axis, in the same or another order."""

from __future__ import annotations

from specc.ir.dims import Dim, bounds
from specc.ops.axes import axes
from specc.ops.index import (
    END,
    STATE_MIN,
    limits,
    onnx_position,
    onnx_slice,
    require_index,
    require_indices,
)
from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
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
from specc.ops.shapes import axis, require_rank


def _without(x: TensorType, at: int) -> TensorType:
    return x.with_shape(*x.shape[:at], *x.shape[at + 1 :])


def _resized(x: TensorType, at: int, size: Size) -> TensorType:
    return x.with_shape(*x.shape[:at], size, *x.shape[at + 1 :])


@op("select")
class Select(Op):
    """One position of an axis, which the result no longer has.

    Shape: without `dim`. The position must exist whatever the symbolic sizes.
    """

    dim: int = param(doc="the axis")
    index: int | Dim = param(doc="the position; negative: from the end")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        at = axis(input, self.dim)
        require_index(input.shape[at], self.index, "index")
        return _without(input, at)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{input.atom}.select({self.dim}, {py.size(self.index)})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        at = axis(input.type, self.dim)
        where = onnx_position(g, self.index)
        return g.op("Gather", input, where, axis=at, type=self.infer(input.type))

    examples = (
        example("N T 8", dim=1, index=0),
        example("int64: N T", dim=-1, index=-1),
        example("bool: N 3 T", dim=1, index=2),
        example("N T", dim=1, index="${i0.shape[1] - 1}"),
    )


@op("narrow")
class Narrow(Op):
    """`length` positions of an axis, from `start` on.

    Shape: `length` along `dim`. The positions must exist whatever the symbolic sizes.
    """

    dim: int = param(doc="the axis")
    start: int | Dim = param(doc="the first position; negative: from the end")
    length: int | Dim = param(ge=0, doc="how many positions")

    check = "exact"

    def _from(self, size: Size) -> Size:
        high = bounds(self.start)[1]
        return size + self.start if high is not None and high < 0 else self.start

    def infer(self, input: TensorType) -> TensorType:
        at = axis(input, self.dim)
        size = input.shape[at]
        start = self._from(size)
        low, room = bounds(start)[0], bounds(size - start - self.length)[0]
        if low is None or low < 0 or room is None or room < 0:
            raise OpError(
                "T402",
                f"positions {self.start} to {self.start + self.length} may lie outside an axis of "
                f"size `{size}`", param="length",
                hint=STATE_MIN if isinstance(size, Dim) else None,
            )  # fmt: skip
        return _resized(input, at, self.length)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{input.atom}.narrow({self.dim}, {py.size(self.start)}, {py.size(self.length)})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        at = axis(input.type, self.dim)
        start = self._from(input.type.shape[at])
        return onnx_slice(g, input, {at: (start, start + self.length)})

    examples = (
        example("N 8", dim=1, start=2, length=3),
        example("int64: N T 8", dim=-1, start=-3, length=2),
        example("N T", dim=1, start=0, length="${i0.shape[1] - 1}"),
        example("N T", dim=1, start=-1, length=1),
    )


@op("unbind")
class Unbind(Op):
    """All positions of an axis as tensors of their own.

    Shape: each without `dim`, whose size must be static. The results are numbered: `name.0`,
    `name.1`, ….
    """

    dim: int = param(default=0, doc="the axis")

    check = "exact"

    def infer(self, input: TensorType) -> Outputs:
        at = axis(input, self.dim)
        return (_without(input, at),) * input.static(at, "it is the number of results")

    def torch(self, py: TorchWriter, input: Code) -> str:
        at = axis(input.type, self.dim)
        single = "[0]" * (input.type.shape[at] == 1)
        return f"{input.atom}.unbind({self.dim if self.dim else ''}){single}"

    def onnx(self, g: OnnxBuilder, input: Ref) -> tuple[Ref, ...]:
        at = axis(input.type, self.dim)
        kind = _without(input.type, at)
        return tuple(
            g.op("Gather", input, g.const(i), axis=at, type=kind)
            for i in range(input.type.static(at))
        )

    examples = (
        example("3 N T"),
        example("int64: N 2 T", dim=1),
        example("bool: N T 1", dim=-1),
    )


@op("flip")
class Flip(Op):
    """Axes read backwards.

    Shape: unchanged.
    """

    dims: int | tuple[int, ...] = param(doc="the axes to reverse")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        axes(input, self.dims, "dims")
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        dims = self.dims if isinstance(self.dims, tuple) else (self.dims,)
        return f"{input.atom}.flip({', '.join(map(str, dims)) or '()'})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        where = axes(input.type, self.dims)
        if not where:
            return input
        first, last, back = ([n] * len(where) for n in (-1, -END, -1))
        return g.op("Slice", input, *(g.const(x) for x in (first, last, list(where), back)))

    examples = (
        example("N T 3", dims=(1,)),
        example("int64: N T", dims=(-1, 0)),
        example("bool: N T", dims=1),
    )


@op("roll")
class Roll(Op):
    """Moves elements along axes; those that leave at one end come back at the other.

    Shape: unchanged. Without `dims`, all axes count as one.
    """

    shifts: int | Dim | tuple[int | Dim, ...] = param(doc="by how many positions, per axis")
    dims: int | tuple[int, ...] | None = param(default=None, doc="the axes")

    check = "exact"

    def _moves(self, x: TensorType) -> list[tuple[int, Size]]:
        """Axes and shifts, in pairs; an axis may come twice."""
        shifts = self.shifts if isinstance(self.shifts, tuple) else (self.shifts,)
        dims = (0,) if self.dims is None else self.dims
        named = dims if isinstance(dims, tuple) else (dims,)
        if len(named) != len(shifts):
            raise OpError("T402", f"{len(shifts)} shifts for {len(named)} axes", param="shifts")
        x = x if self.dims is not None else x.with_shape(x.numel)
        return [(axis(x, at, "dims"), shift) for at, shift in zip(named, shifts, strict=True)]

    def infer(self, input: TensorType) -> TensorType:
        self._moves(input)
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.roll", self.shifts, **self.given("dims"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        x = input if self.dims is not None else g.reshape(input, (input.type.numel,))
        for at, shift in self._moves(input.type):
            x = _rolled(g, x, at, shift)
        return g.reshape(x, input.type.shape) if self.dims is None else x

    examples = (
        example("N T", shifts=1, dims=1),
        example("int64: N 8 T", shifts=(-2, 1), dims=(1, -1)),
        example("bool: N T", shifts=3),
        example("N T", shifts=11, dims=1),
        example("N T", shifts=-12, dims=1),
        example("N T", shifts="${i0.shape[1] // 2}", dims=1),
        example("N 4", shifts=8, dims=1),
    )


def _rolled(g: OnnxBuilder, x: Ref, at: int, shift: Size) -> Ref:
    size = x.type.shape[at]
    start = -shift % size
    if start == 0:
        return x
    if isinstance(start, Dim) and isinstance(shift, int) and _reaches(size, abs(shift)):
        # The cut is a constant, counted from one end or the other.
        head, tail = (onnx_slice(g, x, {at: edges}) for edges in ((None, -shift), (-shift, None)))
    else:
        kinds = [_resized(x.type, at, part) for part in (start, size - start)]
        cut = g.dims([start, size - start])
        head, tail = g.ops("Split", x, cut, types=kinds, axis=at)
    return g.op("Concat", tail, head, axis=at, type=x.type)


def _reaches(size: Size, least: int) -> bool:
    low = bounds(size)[0]
    return low is not None and low >= least


@op("index_select")
class IndexSelect(Op):
    """The positions of an axis that a list of integers names.

    Shape: the length of `index` along `dim`.
    """

    dim: int = param(doc="the axis")

    check = "exact"

    def infer(self, input: TensorType, index: TensorType) -> TensorType:
        at = axis(input, self.dim)
        require_indices(index, self.name, "index")
        require_rank(index, 1, name="index")
        return _resized(input, at, index.shape[0])

    def index_bounds(self, *types: TensorType | None) -> dict[str, tuple[int, int]]:
        return limits("index", types[0], self.dim)

    def torch(self, py: TorchWriter, input: Code, index: Code) -> str:
        return f"{input.atom}.index_select({self.dim}, {index})"

    def onnx(self, g: OnnxBuilder, input: Ref, index: Ref) -> Ref:
        out = self.infer(input.type, index.type)
        return g.op("Gather", input, index, axis=axis(input.type, self.dim), type=out)

    examples = (
        example("N 8", "int64<8: L", dim=1),
        example("bool: N T 5", "int32<5: L", dim=-1),
    )
