"""The largest and the smallest value, and where they stand."""

from __future__ import annotations

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
from specc.ops.reduce import extreme, reduced_shape
from specc.ops.shapes import axis, product
from specc.ops.sort import top_k


class _Place(Op):
    """Base of `argmax` and `argmin`."""

    dim: int | None = param(default=None, doc="axis; default: all, as if flattened")
    keepdim: bool = param(default=False, doc="keep the axis, with size 1")

    check = "discrete"
    largest: ClassVar[bool]

    def _axes(self, input: TensorType) -> tuple[int, ...]:
        return tuple(range(input.rank)) if self.dim is None else (axis(input, self.dim),)

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        require_dtype(input.dtype is not DType.bool, self.name, input.dtype)
        shape = reduced_shape(input, self._axes(input), self.keepdim)
        return TensorType(DType.int64, shape)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.{self.name}", **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        if self.dim is not None:
            return place(g, input, axis(input.type, self.dim), out, largest=self.largest,
                         keepdim=self.keepdim)  # fmt: skip
        flat = g.reshape(input, (product(input.type.shape),))
        found = place(g, flat, 0, TensorType(DType.int64, ()), largest=self.largest)
        return g.reshape(found, out.shape) if out.rank else found

    examples = (
        example("N 4"),
        example("N 8", dim=1),
        example("N T 4", dim=-2, keepdim=True),
        example("N 4", keepdim=True),
        example("-99<=int64<99: N 1", dim=-1),
    )


def place(
    g: OnnxBuilder, x: Ref, at: int, out: TensorType, *, largest: bool, keepdim: bool = False
) -> Ref:
    """Where the extreme value stands; of equal values, the first."""
    if x.type.dtype is DType.int64:  # ONNX Runtime's ArgMax has no kernel for it
        shape = (*x.type.shape[:at], 1, *x.type.shape[at + 1 :])
        _, places = top_k(g, x, 1, at, largest=largest)
        return places if keepdim else _squeezed(g, places, at, shape)
    wide = g.cast(x, DType.int32) if x.type.dtype in NARROW else x
    return g.op("ArgMax" if largest else "ArgMin", wide, axis=at, keepdims=keepdim, type=out)


def _squeezed(g: OnnxBuilder, x: Ref, at: int, shape: tuple[Size, ...]) -> Ref:
    kind = x.type.with_shape(*shape[:at], *shape[at + 1 :])
    return g.op("Squeeze", x, g.const([at]), type=kind)


@op("argmax")
class Argmax(_Place):
    """The place of the largest value.

    Shape: without the axis `dim`, `int64`.
    """

    largest = True


@op("argmin")
class Argmin(_Place):
    """The place of the smallest value.

    Shape: without the axis `dim`, `int64`.
    """

    largest = False


class _Extreme(Op):
    """Base of `max` and `min`."""

    dim: int | None = param(default=None, doc="axis; default: all, with one result")
    keepdim: bool = param(default=False, doc="keep the axis, with size 1")

    check = "discrete"
    largest: ClassVar[bool]

    def infer(self, input: TensorType) -> Any:
        require_tensor(self.name, input)
        if self.dim is None:
            if self.keepdim:
                raise OpError("T402", f"`keepdim` of `{self.name}` needs `dim`", param="keepdim")
            return input.with_shape()
        shape = reduced_shape(input, (axis(input, self.dim),), self.keepdim)
        return {"values": input.with_shape(*shape), "indices": TensorType(DType.int64, shape)}

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.{self.name}", **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Any:
        node = "ReduceMax" if self.largest else "ReduceMin"
        if self.dim is None:
            return extreme(g, node, input, range(input.rank), keepdim=False)
        at = axis(input.type, self.dim)
        indices = self.infer(input.type)["indices"]
        return (
            extreme(g, node, input, (at,), keepdim=self.keepdim),
            place(g, input, at, indices, largest=self.largest, keepdim=self.keepdim),
        )

    examples = (
        example("N 4"),
        example("N 8", dim=1),
        example("N T 4", dim=-2, keepdim=True),
        example("int64: N T"),
    )


@op("max")
class Max(_Extreme):
    """The largest value; along an axis, `values` and their `indices`.

    Shape: without the axis `dim`.
    """

    largest = True


@op("min")
class Min(_Extreme):
    """The smallest value; along an axis, `values` and their `indices`.

    Shape: without the axis `dim`.
    """

    largest = False
