"""Sorting, and the first few in order."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import Dim, bounds
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
from specc.ops.reduce import reduced_shape
from specc.ops.shapes import axis


def top_k(
    g: OnnxBuilder,
    x: Ref,
    k: Size,
    at: int,
    *,
    largest: bool,
    sorted: bool = True,
) -> tuple[Ref, Ref]:
    """The `k` first values in order, and their places; of equal values the first comes first."""
    wide = g.cast(x, DType.int32) if x.type.dtype in NARROW else x
    shape = list(x.type.shape)
    shape[at] = k
    kinds = (wide.type.with_shape(*shape), TensorType(DType.int64, tuple(shape)))
    values, places = g.ops(
        "TopK", wide, g.dims((k,)), axis=at, largest=largest, sorted=sorted, types=kinds
    )
    return g.cast(values, x.type.dtype), places


def _checked_axis(op: Op, x: TensorType, dim: int) -> int:
    require_tensor(op.name, x)
    return axis(x, dim)


def _values_and_indices(input: TensorType, *shape: Size) -> dict[str, TensorType]:
    return {"values": input.with_shape(*shape), "indices": TensorType(DType.int64, shape)}


@op("topk")
class Topk(Op):
    """The `k` largest (or smallest) `values` along an axis, and their `indices`.

    Shape: unchanged but for the axis `dim`, which has size `k`.
    """

    k: int | Dim = param(ge=1, doc="how many")
    dim: int = param(default=-1, doc="the axis")
    largest: bool = param(default=True, doc="the largest; else the smallest")
    sorted: bool = param(default=True, doc="in order")

    check = "discrete"

    def infer(self, input: TensorType) -> dict[str, TensorType]:
        at = _checked_axis(self, input, self.dim)
        require_dtype(input.dtype is not DType.bool, self.name, input.dtype)
        most = bounds(input.shape[at] - self.k)[1]
        if most is not None and most < 0:
            raise OpError(
                "T405", f"`k` is {self.k}, but axis {at} has only {input.shape[at]} values",
                param="k",
            )  # fmt: skip
        return _values_and_indices(input, *input.shape[:at], self.k, *input.shape[at + 1 :])

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.topk", self.k, **self.given("dim", "largest", "sorted"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> tuple[Ref, ...]:
        at = axis(input.type, self.dim)
        return top_k(g, input, self.k, at, largest=self.largest, sorted=self.sorted)

    examples = (
        example("N 8", k=3),
        example("N 8 H", k=2, dim=1, largest=False),
        example("N 8", k=1, dim=-1),
    )


@op("sort")
class Sort(Op):
    """The `values` in order along an axis, and the `indices` where they stood.

    Shape: unchanged.
    """

    dim: int = param(default=-1, doc="the axis")
    descending: bool = param(default=False, doc="the largest first")
    stable: bool = param(default=False, doc="keep the order of equal values")

    check = "discrete"

    def infer(self, input: TensorType) -> Any:
        _checked_axis(self, input, self.dim)
        return _values_and_indices(input, *input.shape)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"torch.{self.name}", input, **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Any:
        at = axis(input.type, self.dim)
        return top_k(g, input, input.type.shape[at], at, largest=self.descending)

    examples = (
        example("N 8"),
        example("N T 4", dim=1, descending=True),
        example("int64: N T", dim=1, stable=True),
        example("bool: N 8", dim=-1, descending=True, stable=True),
    )


@op("argsort")
class Argsort(Sort):
    """The order that would sort the values along an axis.

    Shape: unchanged, `int64`.
    """

    def infer(self, input: TensorType) -> TensorType:
        _checked_axis(self, input, self.dim)
        return input.with_dtype(DType.int64)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        _, places = super().onnx(g, input)
        assert isinstance(places, Ref)
        return places


@op("kthvalue")
class Kthvalue(Op):
    """The `k`-th smallest of the `values` along an axis, and its place among the `indices`.

    Shape: without the axis `dim`.
    """

    k: int = param(ge=1, doc="which, counted from 1")
    dim: int = param(default=-1, doc="the axis")
    keepdim: bool = param(default=False, doc="keep the axis, with size 1")

    check = "discrete"

    def infer(self, input: TensorType) -> dict[str, TensorType]:
        at = _checked_axis(self, input, self.dim)
        require_dtype(input.dtype is not DType.bool, self.name, input.dtype)
        most = bounds(input.shape[at] - self.k)[1]
        if most is not None and most < 0:
            raise OpError(
                "T405", f"`k` is {self.k}, but axis {at} has only {input.shape[at]} values",
                param="k",
            )  # fmt: skip
        return _values_and_indices(input, *reduced_shape(input, (at,), self.keepdim))

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.kthvalue", input, self.k, **self.given("dim", "keepdim"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> tuple[Ref, ...]:
        at = axis(input.type, self.dim)
        found = top_k(g, input, self.k, at, largest=False)
        index = g.const([self.k - 1] if self.keepdim else self.k - 1)
        kinds = self.infer(input.type).values()
        return tuple(
            g.op("Gather", part, index, axis=at, type=kind)
            for part, kind in zip(found, kinds, strict=True)
        )

    examples = (example("N 8", k=3), example("N 8 H", k=2, dim=1, keepdim=True))
