"""The same elements in another shape."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ir.dims import Dim
from specc.ops.op import (
    Code,
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
from specc.ops.shapes import axis, product


def completed(x: TensorType, shape: Sequence[Size], param: str = "shape") -> tuple[Size, ...]:
    """The shape with its -1, if it has one, worked out; `OpError` where the sizes cannot fit."""
    open_axes = [i for i, size in enumerate(shape) if size == -1]
    if len(open_axes) > 1:
        raise OpError("T401", "only one size may be -1", param=param)
    known = product([size for size in shape if size != -1])
    if not open_axes:
        _require_equal(x, known, param)
        return tuple(shape)
    size = _quotient(x, known, param)
    return tuple(size if i in open_axes else s for i, s in enumerate(shape))


def _quotient(x: TensorType, known: Size, param: str) -> Size:
    if known == 0:
        raise OpError("T401", "-1 is ambiguous beside a size of 0", param=param)
    if x.numel % known != 0:
        symbolic = isinstance(x.numel, Dim) or isinstance(known, Dim)
        raise OpError(
            "T411", f"`{x.numel}` elements do not divide by `{known}`", param=param,
            hint="a size can promise it with `multiple_of` under `dims`" if symbolic else None,
        )  # fmt: skip
    return x.numel // known


def _require_equal(x: TensorType, count: Size, param: str) -> None:
    if x.numel != count:
        raise OpError(
            "T401", f"{x} has `{x.numel}` elements, the new shape `{count}`", param=param
        )  # fmt: skip


def flattened(x: TensorType, start_dim: int, end_dim: int) -> tuple[Size, ...]:
    """The shape with the axes from `start_dim` through `end_dim` made one."""
    if not x.rank:
        return (1,)
    start, end = axis(x, start_dim, "start_dim"), axis(x, end_dim, "end_dim")
    if start > end:
        raise OpError(
            "T402", f"`start_dim` {start_dim} comes after `end_dim` {end_dim}", param="start_dim"
        )  # fmt: skip
    return (*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :])


class _Flattening(Op):
    """Base of both spellings of flatten."""

    check = "exact"
    start_dim: int
    end_dim: int

    def infer(self, input: TensorType) -> TensorType:
        return input.with_shape(*flattened(input, self.start_dim, self.end_dim))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        if out.shape == input.type.shape:
            return input
        if out.rank == 2 and self.start_dim == 1:
            return g.op("Flatten", input, axis=1, type=out)
        return g.reshape(input, out.shape)


@op("Flatten")
class Flatten(_Flattening):
    """Makes one axis of several, by default of all but the first.

    Shape: `(*, a, …, b, *) -> (*, a * … * b, *)`.
    """

    start_dim: int = param(default=1, doc="first axis to flatten")
    end_dim: int = param(default=-1, doc="last axis to flatten")

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.apply(
            "nn.Flatten", "torch.flatten", input, start_dim=self.start_dim, end_dim=self.end_dim
        )

    examples = (
        example("N 3 H W"),
        example("N 3"),
        example("N T 3 4", start_dim=2),
        example("N 3 4 T", start_dim=1, end_dim=2),
        example("N T 3 4", start_dim=0, end_dim=-2),
    )


@op("flatten")
class FlattenFunction(_Flattening):
    """Makes one axis of several, by default of all.

    Shape: `(*, a, …, b, *) -> (*, a * … * b, *)`.
    """

    start_dim: int = param(default=0, doc="first axis to flatten")
    end_dim: int = param(default=-1, doc="last axis to flatten")

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = self.given()
        if list(given) == ["start_dim"]:
            return f"{input.atom}.flatten({self.start_dim})"
        return py.call(f"{input.atom}.flatten", **given)

    examples = (
        example("N 3 H W"),
        example("N T 3", start_dim=1),
        example("bool: N T 3 4", start_dim=-2),
        example("int64: N 3 4 T", start_dim=1, end_dim=2),
    )


class _Reshape(Op):
    """Base of the operators that take a new shape."""

    check = "exact"
    shape: tuple[int | Dim, ...]

    def infer(self, input: TensorType) -> TensorType:
        return input.with_shape(*completed(input, self.shape))

    def torch(self, py: TorchWriter, input: Code) -> str:
        shape = completed(input.type, self.shape)
        open_axes = [i for i, size in enumerate(self.shape) if size == -1]
        if open_axes:
            written = ["-1" if i in open_axes else py.size(s) for i, s in enumerate(self.shape)]
            return f"{input.atom}.{self.name}({', '.join(written)})"
        return f"{input.atom}.{self.name}({py.sizes(shape) or '()'})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.reshape(input, completed(input.type, self.shape))


@op("reshape")
class Reshape(_Reshape):
    """The same elements, in the same order, in another shape.

    Shape: `(*) -> shape`; of the sizes one may be `-1`: what the others leave over.
    """

    shape: tuple[int | Dim, ...] = param(ge=-1, doc="the new sizes; -1 for the one left over")

    examples = (
        example("N T 8", shape=("${i0.shape[0]}", "${i0.shape[1]}", 2, 4)),
        example("N T 8", shape=(-1, 8)),
        example("N 6 T", shape=("${i0.shape[0]}", 2, -1)),
        example("int64: 2 6", shape=(3, 4)),
        example("bool: 1 1", shape=()),
        example("N T 6", shape=("${i0.shape[0]}", "${i0.shape[1] * 2}", 3)),
    )


@op("view")
class View(_Reshape):
    """The same elements in another shape, without a copy; `reshape` also takes what was permuted.

    Shape: `(*) -> shape`; of the sizes one may be `-1`: what the others leave over.
    """

    shape: tuple[int | Dim, ...] = param(ge=-1, doc="the new sizes; -1 for the one left over")

    examples = (
        example("N T 8", shape=("${i0.shape[0]}", "${i0.shape[1]}", 2, 4)),
        example("N T 8", shape=(-1, 8)),
    )


class _Unflattening(Op):
    """Base of both spellings of unflatten."""

    check = "exact"
    dim: int

    def new_sizes(self) -> tuple[Size, ...]:
        raise NotImplementedError

    def inferred_sizes(self, x: TensorType) -> tuple[Size, ...]:
        sizes = self.new_sizes()
        at = axis(x, self.dim)
        return completed(x.with_shape(x.shape[at]), sizes, list(self.params)[1])

    def infer(self, input: TensorType) -> TensorType:
        at = axis(input, self.dim)
        return input.with_shape(
            *input.shape[:at], *self.inferred_sizes(input), *input.shape[at + 1 :]
        )

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.reshape(input, self.infer(input.type).shape)


@op("Unflatten")
class Unflatten(_Unflattening):
    """Makes several axes of one.

    Shape: `(*, a * b, *) -> (*, a, b, *)`; one of the new sizes may be `-1`.
    """

    dim: int = param(doc="the axis to take apart")
    unflattened_size: tuple[int, ...] = param(ge=-1, doc="the sizes that it becomes")

    def new_sizes(self) -> tuple[Size, ...]:
        return self.unflattened_size

    def torch(self, py: TorchWriter, input: Code) -> str:
        layer = py.layer("nn.Unflatten", dim=self.dim, unflattened_size=self.unflattened_size)
        return f"{layer}({input})"

    examples = (
        example("N 6 T", dim=1, unflattened_size=(2, 3)),
        example("N 12", dim=-1, unflattened_size=(2, -1, 2)),
    )


@op("unflatten")
class UnflattenFunction(_Unflattening):
    """Makes several axes of one.

    Shape: `(*, a * b, *) -> (*, a, b, *)`; one of the new sizes may be `-1`.
    """

    dim: int = param(doc="the axis to take apart")
    sizes: tuple[int | Dim, ...] = param(ge=-1, doc="the sizes that it becomes")

    def new_sizes(self) -> tuple[Size, ...]:
        return self.sizes

    def torch(self, py: TorchWriter, input: Code) -> str:
        sizes = ", ".join(map(py.size, self.sizes)) if -1 in self.sizes else py.sizes(self.sizes)
        return f"{input.atom}.unflatten({self.dim}, ({sizes}{',' * (len(self.sizes) == 1)}))"

    examples = (
        example("N T 6", dim=-1, sizes=(2, 3)),
        example("N 12 T", dim=1, sizes=(2, -1, 2)),
        example("int64: N 6", dim=1, sizes=("${i0.shape[1] // 2}", 2)),
    )
