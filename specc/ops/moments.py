"""Variance, norms, and sums of exponentials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from specc.ops.arithmetic import floating
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.reduce import Reduction, element_count, floating_only, reduce_node, reduced_axes
from specc.ops.shapes import product


class Moment(Reduction):
    """Base of variance and standard deviation."""

    correction: int | float = param(
        default=1, doc="taken off the number of values that the squares are divided by"
    )
    keepdim: bool = param(default=False, doc="keep the axes, with size 1")

    def result(self, dtype: DType) -> DType:
        return floating_only(self, dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        assert inputs[0]
        return 4 * element_count(inputs[0])

    def variance(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        """The sum of squared distances from the mean over `n - correction`."""
        mean = reduce_node(g, "ReduceMean", x, axes, keepdim=True)
        centred = g.op("Sub", x, mean)
        if not self.correction:
            squares = g.op("Mul", centred, centred)
            return reduce_node(g, "ReduceMean", squares, axes, keepdim=self.keepdim)
        squares = reduce_node(g, "ReduceSumSquare", centred, axes, keepdim=self.keepdim)
        return g.op("Div", squares, self._degrees(g, x, axes))

    def _degrees(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        dtype, count = x.type.dtype, product([x.type.shape[i] for i in axes])
        if isinstance(count, int):
            return g.const(float(max(count - self.correction, 0)), dtype)
        number = g.cast(g.reshape(g.dims((count,)), ()), dtype)
        return g.op("Max", g.op("Sub", number, g.const(self.correction, dtype)), g.const(0, dtype))

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"torch.{self.name}", input, **self.given())


_MOMENTS = (
    example("N 4"),
    example("N 8", dim=-1),
    example("N 8", dim=1, correction=0),
    example("N 3 H W", dim=(2, 3), keepdim=True),
    example("4 T H", dim=(0, 2), correction=2),
)


@op("var")
class Var(Moment):
    """Variance over the axes.

    Shape: without the axes of `dim`. Takes floating-point numbers.
    """

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return self.variance(g, x, axes)

    examples = _MOMENTS


@op("std")
class Std(Moment):
    """Standard deviation over the axes.

    Shape: without the axes of `dim`. Takes floating-point numbers.
    """

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return g.op("Sqrt", self.variance(g, x, axes))

    examples = _MOMENTS


class _WithMean(Moment):
    """Base of the operators that give the mean too."""

    root: ClassVar[bool]

    def infer(self, input: TensorType) -> Any:
        kind = super().infer(input)
        return kind, kind

    def onnx(self, g: OnnxBuilder, input: Ref) -> Any:
        axes = reduced_axes(input.type, self.dim)
        spread = self.variance(g, input, axes)
        mean = reduce_node(g, "ReduceMean", input, axes, keepdim=self.keepdim)
        return (g.op("Sqrt", spread) if self.root else spread), mean

    examples = _MOMENTS


@op("var_mean")
class VarMean(_WithMean):
    """Variance and mean over the axes, as two results.

    Shape: each without the axes of `dim`. Takes floating-point numbers.
    """

    root = False


@op("std_mean")
class StdMean(_WithMean):
    """Standard deviation and mean over the axes, as two results.

    Shape: each without the axes of `dim`. Takes floating-point numbers.
    """

    root = True


@op("logsumexp")
class Logsumexp(Reduction):
    """`log(sum(exp(x)))` over the axes, without overflow.

    Shape: without the axes of `dim`.
    """

    dim: int | tuple[int, ...] = param(doc="axis or axes")

    def result(self, dtype: DType) -> DType:
        return floating(dtype)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.logsumexp", input, **self.given())

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        x = g.cast(x, self.result(x.type.dtype))
        return reduce_node(g, "ReduceLogSumExp", x, axes, keepdim=self.keepdim)

    examples = (
        example("N 8", dim=-1),
        example("N T 8", dim=(1, 2), keepdim=True),
        example("int64: N T", dim=0),
    )


def _norm(g: OnnxBuilder, x: Ref, order: float, axes: tuple[int, ...], *, keepdim: bool) -> Ref:
    """The vector norm of an order: `sum(|x| ** order) ** (1 / order)`, or its limit."""
    if order in (1, 2):
        return reduce_node(g, f"ReduceL{int(order)}", x, axes, keepdim=keepdim)
    if order == 0:
        nonzero = g.cast(g.cast(x, DType.bool), x.type.dtype)
        return reduce_node(g, "ReduceSum", nonzero, axes, keepdim=keepdim)
    size = g.op("Abs", x)
    if math.isinf(order):
        return reduce_node(
            g, "ReduceMax" if order > 0 else "ReduceMin", size, axes, keepdim=keepdim
        )
    powers = g.op("Pow", size, g.const(float(order), x.type.dtype))
    total = reduce_node(g, "ReduceSum", powers, axes, keepdim=keepdim)
    return g.op("Pow", total, g.const(1 / order, x.type.dtype))


class _Norm(Reduction):
    """Base of the two names of the vector norm."""

    def result(self, dtype: DType) -> DType:
        return floating_only(self, dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        assert inputs[0]
        return 2 * element_count(inputs[0])

    def order(self) -> float:
        """The order of the norm."""
        raise NotImplementedError

    def lower(self, g: OnnxBuilder, x: Ref, axes: tuple[int, ...]) -> Ref:
        return _norm(g, x, self.order(), axes, keepdim=self.keepdim)


@op("norm")
class Norm(_Norm):
    """Norm of the values over the axes; `fro` is the Euclidean one.

    Shape: without the axes of `dim`. Takes floating-point numbers.
    """

    p: int | float | Literal["fro"] = param(default="fro", doc="order of the norm")
    dim: int | tuple[int, ...] | None = param(default=None, doc="axis or axes; default: all")
    keepdim: bool = param(default=False, doc="keep the axes, with size 1")

    def order(self) -> float:
        return 2 if self.p == "fro" else float(self.p)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.norm", **self.given("p", "dim", "keepdim"))

    examples = (
        example("N 4"),
        example("N 8", dim=1, keepdim=True),
        example("N 8", p=1, dim=-1),
        example("N T 8", p=3, dim=(1, 2)),
    )


@op("vector_norm")
class VectorNorm(_Norm):
    """`torch.linalg.vector_norm`: `sum(|x| ** ord) ** (1 / ord)`; `inf`: the largest `|x|`.

    Shape: without the axes of `dim`. Takes floating-point numbers.
    """

    ord: int | float = param(default=2, doc="order of the norm")
    dim: int | tuple[int, ...] | None = param(default=None, doc="axis or axes; default: all")
    keepdim: bool = param(default=False, doc="keep the axes, with size 1")

    def order(self) -> float:
        return self.ord

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.linalg.vector_norm", input, **self.given("ord", "dim", "keepdim"))

    examples = (
        example("N 4"),
        example("N 8", ord=1, dim=1),
        example("N 8", ord=math.inf, dim=-1, keepdim=True),
        example("N 8", ord=-math.inf, dim=-1),
        example("N T 8", ord=0, dim=(1, 2)),
        example("N T 8", ord=2.5, dim=1),
    )
