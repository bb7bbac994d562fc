"""Reductions: sums, means, products, extremes, truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from specc.ops.arithmetic import require_dtype, require_tensor
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
from specc.ops.shapes import axis, product

Dims = int | tuple[int, ...] | None


def reduced_axes(x: TensorType, dim: Dims) -> tuple[int, ...]:
    """The axes, counted from the front; no `dim` means all."""
    if dim is None or dim == ():
        return tuple(range(x.rank))
    found = [axis(x, d) for d in (dim if isinstance(dim, tuple) else (dim,))]
    if len(set(found)) < len(found):
        raise OpError("T402", f"`dim` names an axis twice: {dim}", param="dim")
    return tuple(found)


def reduced_shape(x: TensorType, axes: Sequence[int], keepdim: bool) -> tuple[Size, ...]:
    """The shape that is left when the axes are gone, or 1."""
    if keepdim:
        return tuple(1 if i in axes else size for i, size in enumerate(x.shape))
    return tuple(size for i, size in enumerate(x.shape) if i not in axes)


def reduce_node(
    g: OnnxBuilder, op_type: str, x: Ref, axes: Sequence[int], *, keepdim: bool = False
) -> Ref:
    """One of ONNX's reductions; from opset 18 on (`ReduceSum`: always) axes are an input."""
    kind = TensorType(x.type.dtype, reduced_shape(x.type, axes, keepdim))
    if not axes:
        return x
    if g.opset >= 18 or op_type == "ReduceSum":
        return g.op(op_type, x, g.const(sorted(axes)), keepdims=keepdim, type=kind)
    return g.op(op_type, x, axes=sorted(axes), keepdims=keepdim, type=kind)


def element_count(x: TensorType) -> Size:
    """One operation per element, which is what most reductions take."""
    return product(x.shape)


class Reduction(Op):
    """Base of the reductions over some axes, or all."""

    dim: int | tuple[int, ...] | None = param(default=None, doc="axis or axes; default: all")
    keepdim: bool = param(default=False, doc="keep the axes, with size 1")

    def result(self, dtype: DType) -> DType:
        """The result's element type."""
        return dtype

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        axes = reduced_axes(input, self.dim)
        return TensorType(self.result(input.dtype), reduced_shape(input, axes, self.keepdim))

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        assert inputs[0]
        return 0 if self.check == "exact" else element_count(inputs[0])

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.{self.name}", **self.written())

    def written(self) -> dict[str, Any]:
        """The arguments in PyTorch's order, without those at their defaults."""
        return self.given()

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return self.lower(g, input, reduced_axes(input.type, self.dim))

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        """The nodes that reduce the axes."""
        raise NotImplementedError


def floating_only(op: Op, dtype: DType) -> DType:
    """The element type, or `OpError` unless it is floating-point."""
    require_dtype(dtype.is_floating, op.name, dtype, "floating-point")
    return dtype


@op("sum")
class Sum(Reduction):
    """Sum over the axes; integers and booleans give `int64`.

    Shape: without the axes of `dim`.
    """

    def result(self, dtype: DType) -> DType:
        return dtype if dtype.is_floating else DType.int64

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return reduce_node(
            g, "ReduceSum", g.cast(x, self.result(x.type.dtype)), axes, keepdim=self.keepdim
        )

    examples = (
        example("N 4"),
        example("N T 4", dim=1),
        example("N T 4", dim=(0, -1), keepdim=True),
        example("int32: N T", dim=-1),
        example("bool: N T", dim=0),
    )


@op("mean")
class Mean(Reduction):
    """Mean over the axes.

    Shape: without the axes of `dim`. Takes floating-point numbers.
    """

    def result(self, dtype: DType) -> DType:
        return floating_only(self, dtype)

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return reduce_node(g, "ReduceMean", x, axes, keepdim=self.keepdim)

    examples = (
        example("N 4"),
        example("N T 4", dim=1),
        example("N 3 H W", dim=(2, 3)),
        example("N 3 H W", dim=(-1, -2), keepdim=True),
    )


@op("prod")
class Prod(Reduction):
    """Product over an axis; integers and booleans give `int64`.

    Shape: without the axis `dim`.
    """

    dim: int | None = param(default=None, doc="axis; default: all")

    def infer(self, input: TensorType) -> TensorType:
        if self.dim is None and self.keepdim:
            raise OpError("T402", "`keepdim` of `prod` needs `dim`", param="keepdim")
        return super().infer(input)

    def result(self, dtype: DType) -> DType:
        return dtype if dtype.is_floating else DType.int64

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return reduce_node(
            g, "ReduceProd", g.cast(x, self.result(x.type.dtype)), axes, keepdim=self.keepdim
        )

    examples = (
        example("N 4"),
        example("N T 4", dim=1),
        example("N T 4", dim=-1, keepdim=True),
        example("int64: N T", dim=1),
    )


class _Extreme(Reduction):
    check = "exact"
    node: ClassVar[str]

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return extreme(g, self.node, x, axes, keepdim=self.keepdim)

    examples = (
        example("N 4"),
        example("N T 4", dim=1),
        example("N 3 H W", dim=(2, 3), keepdim=True),
        example("int64: N T", dim=-1),
        example("int16: N T", dim=0),
        example("bool: N T", dim=0),
    )


def extreme(g: OnnxBuilder, node: str, x: Ref, axes: Sequence[int], *, keepdim: bool) -> Ref:
    """`ReduceMax` or `ReduceMin` of any element type."""
    wide = g.cast(x, DType.int32) if x.type.dtype in NARROW else x
    return g.cast(reduce_node(g, node, wide, axes, keepdim=keepdim), x.type.dtype)


@op("amax")
class Amax(_Extreme):
    """The largest value over the axes.

    Shape: without the axes of `dim`.
    """

    node = "ReduceMax"


@op("amin")
class Amin(_Extreme):
    """The smallest value over the axes.

    Shape: without the axes of `dim`.
    """

    node = "ReduceMin"


class _Truth(Reduction):
    check = "exact"
    node: ClassVar[str]

    def result(self, dtype: DType) -> DType:
        return DType.uint8 if dtype is DType.uint8 else DType.bool

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        found = extreme(g, self.node, g.cast(x, DType.bool), axes, keepdim=self.keepdim)
        return g.cast(found, self.result(x.type.dtype))

    examples = (
        example("bool: N 4"),
        example("bool: N T 4", dim=1),
        example("int64: N T 4", dim=(0, 2), keepdim=True),
        example("N 4", dim=-1),
        example("uint8: N 4", dim=-1),
    )


@op("any")
class AnyTrue(_Truth):
    """Whether at least one value is true, that is not zero.

    Shape: without the axes of `dim`, `bool`.
    """

    node = "ReduceMax"


@op("all")
class AllTrue(_Truth):
    """Whether all values are true, that is not zero.

    Shape: without the axes of `dim`, `bool`.
    """

    node = "ReduceMin"


@op("count_nonzero")
class CountNonzero(Op):
    """How many values are not zero.

    Shape: without the axes of `dim`, `int64`.
    """

    dim: int | tuple[int, ...] | None = param(default=None, doc="axis or axes; default: all")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        axes = reduced_axes(input, self.dim)
        return TensorType(DType.int64, reduced_shape(input, axes, keepdim=False))

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.count_nonzero", input, **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        ones = g.cast(g.cast(input, DType.bool), DType.int64)
        return reduce_node(g, "ReduceSum", ones, reduced_axes(input.type, self.dim))

    examples = (
        example("int64: N T"),
        example("int64: N T", dim=1),
        example("N 3 H W", dim=(1, -1)),
    )
