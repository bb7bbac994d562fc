"""Several tensors joined into one, and one split into several."""

from __future__ import annotations

from functools import reduce

from specc.ir.dims import Dim, ceil_div
from specc.ir.types import promote, show_shape
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


def _joined_dtype(name: str, tensors: tuple[TensorType, ...]) -> DType:
    if not tensors:
        raise OpError("T402", f"`{name}` needs at least one input")
    return reduce(promote, (x.dtype for x in tensors))


def _require_alike(name: str, tensors: tuple[TensorType, ...], free: int | None = None) -> None:
    """Raise `OpError` unless all shapes are equal, but for the axis `free`."""
    first = tensors[0]
    for other in tensors[1:]:
        if other.rank != first.rank:
            raise OpError(
                "T402",
                f"`{name}` needs inputs of one rank, got {show_shape(first.shape)} and "
                f"{show_shape(other.shape)}",
            )
        for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)):
            if a != b and i != free:
                raise OpError(
                    "T401",
                    f"`{name}` needs equal sizes"
                    + ("" if free is None else f" but for axis {free}")
                    + f": `{a}` of {show_shape(first.shape)} against `{b}` of "
                    f"{show_shape(other.shape)}",
                )


def _call(function: str, tensors: tuple[Code, ...], dim: int) -> str:
    listed = ", ".join(map(str, tensors))
    return f"{function}([{listed}]{f', dim={dim}' if dim else ''})"


@op("cat")
class Cat(Op):
    """Joins tensors along an axis that they have.

    Shape: sizes along `dim` add up, all others must be equal. The element type is the one that
    holds all.
    """

    dim: int = param(default=0, doc="the axis along which to join")

    check = "exact"

    def infer(self, *tensors: TensorType) -> TensorType:
        dtype = _joined_dtype(self.name, tensors)
        at = axis(tensors[0], self.dim)
        _require_alike(self.name, tensors, at)
        total: Size = 0
        for x in tensors:
            total = total + x.shape[at]
        first = tensors[0].shape
        return TensorType(dtype, (*first[:at], total, *first[at + 1 :]))

    def torch(self, py: TorchWriter, *tensors: Code) -> str:
        return _call("torch.cat", tensors, self.dim)

    def onnx(self, g: OnnxBuilder, *tensors: Ref) -> Ref:
        out = self.infer(*(x.type for x in tensors))
        if len(tensors) == 1:
            return tensors[0]
        return g.op("Concat", *(g.cast(x, out.dtype) for x in tensors), axis=self.dim, type=out)

    examples = (
        example("N 3", "N 4", dim=1),
        example("N T", "L T"),
        example("int64: N T 3", "N T 5", "bool: N T 1", dim=-1),
        example("N 3", dim=1),
    )


@op("stack")
class Stack(Op):
    """Joins tensors of one shape along a new axis.

    Shape: the new axis, at `dim`, has the number of inputs as its size.
    """

    dim: int = param(default=0, doc="the place of the new axis")

    check = "exact"

    def infer(self, *tensors: TensorType) -> TensorType:
        dtype = _joined_dtype(self.name, tensors)
        _require_alike(self.name, tensors)
        shape = tensors[0].shape
        at = axis(tensors[0].with_shape(*shape, 1), self.dim)
        return TensorType(dtype, (*shape[:at], len(tensors), *shape[at:]))

    def torch(self, py: TorchWriter, *tensors: Code) -> str:
        return _call("torch.stack", tensors, self.dim)

    def onnx(self, g: OnnxBuilder, *tensors: Ref) -> Ref:
        out = self.infer(*(x.type for x in tensors))
        shape = tensors[0].type.shape
        at = self.dim % out.rank
        place = g.const([at])
        kind = out.with_shape(*shape[:at], 1, *shape[at:])
        cast = (g.cast(x, out.dtype) for x in tensors)
        lifted = [g.op("Unsqueeze", x, place, type=kind) for x in cast]
        return lifted[0] if len(lifted) == 1 else g.op("Concat", *lifted, axis=at, type=out)

    examples = (
        example("N T", "N T"),
        example("int64: N 3", "N 3", "N 3", dim=-1),
        example("bool: N 3", "bool: N 3", dim=1),
        example("N 3", dim=1),
    )


class _Aligned(Op):
    """Base of the operators that join tensors along an axis of their own."""

    check = "exact"

    def lifted(self, x: TensorType) -> TensorType:
        """The input with the axes that it lacks."""
        raise NotImplementedError

    def along(self, x: TensorType) -> Cat:
        """The joining of inputs that have all axes."""
        return Cat(dim=0)

    def infer(self, *tensors: TensorType) -> TensorType:
        _joined_dtype(self.name, tensors)
        lifted = [self.lifted(x) for x in tensors]
        return self.along(lifted[0]).infer(*lifted)

    def torch(self, py: TorchWriter, *tensors: Code) -> str:
        return _call(f"torch.{self.name}", tensors, 0)

    def onnx(self, g: OnnxBuilder, *tensors: Ref) -> Ref:
        kinds = [self.lifted(x.type) for x in tensors]
        pairs = zip(tensors, kinds, strict=True)
        lifted = [x if x.type == kind else g.reshape(x, kind.shape) for x, kind in pairs]
        return self.along(kinds[0]).onnx(g, *lifted)


@op("hstack")
class HStack(_Aligned):
    """Joins tensors column by column: along axis 1, and vectors end to end.

    Shape: sizes along that axis add up, all others must be equal.
    """

    def lifted(self, x: TensorType) -> TensorType:
        return x if x.rank else x.with_shape(1)

    def along(self, x: TensorType) -> Cat:
        return Cat(dim=min(x.rank - 1, 1))

    examples = (example("N 3", "N 4"), example("int64: N", "T"), example("N 2 T", "N L T"))


@op("vstack")
class VStack(_Aligned):
    """Joins tensors row by row: along axis 0, where a vector is one row.

    Shape: sizes along axis 0 add up, all others must be equal.
    """

    def lifted(self, x: TensorType) -> TensorType:
        return x if x.rank > 1 else x.with_shape(1, x.numel)

    examples = (example("N 3", "T 3"), example("int64: T", "N T"), example("bool: N", "bool: N"))


class _Pieces(Op):
    """Base of the operators that cut a tensor along one axis."""

    check = "exact"
    dim: int

    def pieces(self, x: TensorType, at: int) -> tuple[Size, ...]:
        """The sizes of the results along the axis."""
        raise NotImplementedError

    def source(self, py: TorchWriter) -> str:
        """The first argument as Python."""
        raise NotImplementedError

    def infer(self, input: TensorType) -> tuple[TensorType, ...]:
        at = axis(input, self.dim)
        shape = input.shape
        return tuple(
            input.with_shape(*shape[:at], size, *shape[at + 1 :]) for size in self.pieces(input, at)
        )

    def torch(self, py: TorchWriter, input: Code) -> str:
        along = f", dim={self.dim}" if self.dim else ""
        single = "[0]" * (len(self.infer(input.type)) == 1)
        return f"{input.atom}.{self.name}({self.source(py)}{along}){single}"

    def onnx(self, g: OnnxBuilder, input: Ref) -> tuple[Ref, ...]:
        types = self.infer(input.type)
        if len(types) == 1:
            return (input,)
        at = axis(input.type, self.dim)
        sizes = g.dims([kind.shape[at] for kind in types])
        return g.ops("Split", input, sizes, types=types, axis=at)


@op("chunk")
class Chunk(_Pieces):
    """Cuts a tensor into equal parts; the last may be smaller.

    Shape: each part has `ceil(size / chunks)` along `dim`. The size must be static or a multiple
    of `chunks`. The results are numbered: `name.0`, `name.1`, ….
    """

    chunks: int = param(ge=1, doc="how many parts at most")
    dim: int = param(default=0, doc="the axis to cut")

    def pieces(self, x: TensorType, at: int) -> tuple[Size, ...]:
        size = x.shape[at]
        if isinstance(size, Dim) and size % self.chunks == 0:
            return (size // self.chunks,) * self.chunks
        whole = x.static(at, f"it is cut into {self.chunks} parts")
        step = max(-(-whole // self.chunks), 1)
        return tuple(min(step, whole - start) for start in range(0, max(whole, 1), step))

    def source(self, py: TorchWriter) -> str:
        return str(self.chunks)

    examples = (
        example("N 8", chunks=2, dim=1),
        example("int64: N 7 T", chunks=3, dim=-2),
        example("bool: 5 N", chunks=4),
        example("N 4", chunks=1, dim=-1),
    )


@op("split")
class Split(_Pieces):
    """Cuts a tensor into parts of given sizes.

    Shape: with an integer, every part but the last has that size along `dim`, which must be
    static then; a list gives the size of each part. The results are numbered: `name.0`,
    `name.1`, ….
    """

    split_size_or_sections: int | Dim | tuple[int | Dim, ...] = param(
        ge=0, doc="the size of every part, or a list with the size of each"
    )
    dim: int = param(default=0, doc="the axis to cut")

    def pieces(self, x: TensorType, at: int) -> tuple[Size, ...]:
        size, wanted = x.shape[at], self.split_size_or_sections
        if isinstance(wanted, tuple):
            self._require_whole(x, size, wanted)
            return wanted
        if wanted == 0:
            raise OpError("T405", "the parts would be of size 0", param="split_size_or_sections")
        count = ceil_div(size, wanted)
        if not isinstance(count, int):
            count = ceil_div(x.static(at, "it decides the number of parts"), wanted)
        if not isinstance(count, int):
            raise OpError(
                "T403", f"axis {at} of {x} cannot be cut into parts of `{wanted}`: their number "
                "is not known", param="split_size_or_sections",
            )  # fmt: skip
        count = max(count, 1)
        return (*(wanted,) * (count - 1), size - wanted * (count - 1))

    def _require_whole(self, x: TensorType, size: Size, wanted: tuple[Size, ...]) -> None:
        total: Size = 0
        for part in wanted:
            total = total + part
        if total != size:
            raise OpError(
                "T401", f"the sections add up to `{total}`, axis {self.dim} of {x} has `{size}`",
                param="split_size_or_sections",
            )  # fmt: skip

    def source(self, py: TorchWriter) -> str:
        wanted = self.split_size_or_sections
        if isinstance(wanted, tuple):
            return f"[{', '.join(map(py.size, wanted))}]"
        return py.size(wanted)

    examples = (
        example("N 8", split_size_or_sections=4, dim=1),
        example("int64: N 7 T", split_size_or_sections=3, dim=-2),
        example("N T 8", split_size_or_sections=(2, 5, 1), dim=-1),
        example("N T", split_size_or_sections=(1, "${i0.shape[1] - 1}"), dim=1),
        example("N 4", split_size_or_sections=(4,), dim=1),
    )
