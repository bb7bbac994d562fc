"""Functions of three operands: limits, interpolation, scaled sums."""

from __future__ import annotations

import math
from typing import ClassVar

from specc.ir.types import result_type
from specc.ops.arithmetic import require_dtype, require_tensor
from specc.ops.kernels import NARROW, widened
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
from specc.ops.pointwise import number
from specc.ops.shapes import broadcast


@op("clamp")
class Clamp(Op):
    """Values below `min` become `min`, values above `max` become `max`.

    Shape: broadcast, as `min` and `max` are numbers or tensors.
    """

    check = "exact"
    scalars = ("min", "max")

    def infer(
        self, input: TensorType, min: TensorType | None = None, max: TensorType | None = None
    ) -> TensorType:
        require_tensor(self.name, input)
        operands = [input, *(bound for bound in (min, max) if bound)]
        if len(operands) == 1:
            raise OpError("S102", "`clamp` needs `min` or `max`", hint="give at least one of them")
        return TensorType(result_type(*operands), broadcast(*(kind.shape for kind in operands)))

    def torch(
        self, py: TorchWriter, input: Code, min: Code | None = None, max: Code | None = None
    ) -> str:
        if min and max and min.type.weak == max.type.weak:
            return f"{input.atom}.clamp({min}, {max})"
        text = input.atom
        for name, bound in (("min", min), ("max", max)):
            text += f".clamp({name}={bound})" if bound else ""
        return text

    def onnx(
        self, g: OnnxBuilder, input: Ref, min: Ref | None = None, max: Ref | None = None
    ) -> Ref:
        out = self.infer(input.type, min and min.type, max and max.type)
        # Clip with one bound would turn an infinity into the largest number.
        if min and max and min.type.weak and max.type.weak:
            return widened(g, "Clip", input, min, max, type=out, dtype=out.dtype)
        value = input
        for node, bound in (("Max", min), ("Min", max)):
            if bound:
                shape = broadcast(value.type.shape, bound.type.shape)
                kind = TensorType(out.dtype, shape)
                value = widened(g, node, value, bound, type=kind, dtype=out.dtype)
        return value

    examples = (
        example("N 4", min=-0.5, max=0.5),
        example("N 4", min=0),
        example("N 4", max=1),
        example("int64<9: N T", min=2, max=5),
        example("int16<9: N T", max=5),
        example("int64<9: N T", min=2.5),
        example("N 4", "4", "N 1"),
        example("N 4", "N 4", max=0.5),
    )


@op("nan_to_num")
class NanToNum(Op):
    """Replaces NaN and infinities by numbers.

    Shape: unchanged.
    """

    nan: float = param(default=0.0, doc="in place of NaN")
    posinf: float | None = param(default=None, doc="in place of +inf; default: the largest number")
    neginf: float | None = param(default=None, doc="in place of -inf; default: the lowest number")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.nan_to_num", input, **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        dtype = input.type.dtype
        if not dtype.is_floating:
            return input
        truth = input.type.with_dtype(DType.bool)
        missing = g.op("IsNaN", input, type=truth)
        value = g.op("Where", missing, number(g, self.nan, input), input, type=input.type)
        high = _LARGEST[dtype] if self.posinf is None else self.posinf
        low = -_LARGEST[dtype] if self.neginf is None else self.neginf
        for infinity, finite in ((math.inf, high), (-math.inf, low)):
            found = g.op("Equal", value, number(g, infinity, input), type=truth)
            value = g.op("Where", found, number(g, finite, input), value, type=input.type)
        return value

    examples = (
        example("N 4"),
        example("N 4", nan=1.0, posinf=9.0, neginf=-9.0),
        example("int64: N"),
    )


_LARGEST = {
    DType.float16: 65504.0,
    DType.bfloat16: (2 - 2**-7) * 2.0**127,
    DType.float32: (2 - 2**-23) * 2.0**127,
    DType.float64: (2 - 2**-52) * 2.0**1023,
}


@op("lerp")
class Lerp(Op):
    """`input + weight * (end - input)`.

    Shape: broadcast. All tensors have one floating-point dtype.
    """

    scalars = ("weight",)

    def infer(self, input: TensorType, end: TensorType, weight: TensorType) -> TensorType:
        require_dtype(input.dtype.is_floating, self.name, input.dtype, "floating-point")
        for name, kind in (("end", end), ("weight", weight)):
            if kind.dtype is not input.dtype and not kind.weak:
                message = f"`{name}` of `lerp` must be {input.dtype} as its input, got {kind.dtype}"
                raise OpError("T404", message, input=name)
        return TensorType(input.dtype, broadcast(input.shape, end.shape, weight.shape))

    def torch(self, py: TorchWriter, input: Code, end: Code, weight: Code) -> str:
        return py.call("torch.lerp", input, end, weight)

    def onnx(self, g: OnnxBuilder, input: Ref, end: Ref, weight: Ref) -> Ref:
        out = self.infer(input.type, end.type, weight.type)
        gap = TensorType(out.dtype, broadcast(input.type.shape, end.type.shape))
        step = g.op("Sub", end, input, type=gap)
        return g.op("Add", input, g.op("Mul", g.cast(weight, out.dtype), step, type=out), type=out)

    examples = (
        example("N 4", "N 4", weight=0.3),
        example("N 4", "4", weight=0.75),
        example("N 4", "N 4", "0<=float32<1: N 1"),
    )


class Scaled(Op):
    """Base of the sums with a scaled product or quotient of two further tensors."""

    value: int | float = param(default=1, doc="factor of the second term")
    node: ClassVar[str]

    def infer(self, input: TensorType, tensor1: TensorType, tensor2: TensorType) -> TensorType:
        dtype = result_type(input, tensor1, tensor2)
        self._check(dtype)
        return TensorType(dtype, broadcast(input.shape, tensor1.shape, tensor2.shape))

    def _check(self, dtype: DType) -> None:
        require_dtype(dtype is not DType.bool, self.name, dtype)
        if isinstance(self.value, float) and not dtype.is_floating:
            raise OpError("T404", f"`value` must be an integer for {dtype}", param="value")

    def torch(self, py: TorchWriter, input: Code, tensor1: Code, tensor2: Code) -> str:
        return py.call(f"torch.{self.name}", input, tensor1, tensor2, **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref, tensor1: Ref, tensor2: Ref) -> Ref:
        out = self.infer(input.type, tensor1.type, tensor2.type)
        used = DType.int32 if out.dtype in NARROW else out.dtype
        a, b, c = (g.cast(x, used) for x in (input, tensor1, tensor2))
        wide = TensorType(used, broadcast(tensor1.type.shape, tensor2.type.shape))
        if self.value != 1:
            b = g.op("Mul", b, g.const(self.value, used))
        term = g.op(self.node, b, c, type=wide)
        return g.cast(g.op("Add", a, term, type=out.with_dtype(used)), out.dtype)


@op("addcmul")
class Addcmul(Scaled):
    """`input + value * tensor1 * tensor2`.

    Shape: broadcast.
    """

    node = "Mul"
    examples = (
        example("N 4", "N 4", "4"),
        example("N 1", "N 4", "4", value=0.5),
        example("int64: N T", "int64: N T", "int64: T", value=2),
    )


@op("addcdiv")
class Addcdiv(Scaled):
    """`input + value * tensor1 / tensor2`.

    Shape: broadcast. Takes floating-point numbers.
    """

    node = "Div"

    def _check(self, dtype: DType) -> None:
        require_dtype(dtype.is_floating, self.name, dtype, "floating-point")

    examples = (
        example("N 4", "N 4", "1<=float32<3: 4"),
        example("N 4", "N 4", "1<=float32<3: N 4", value=-0.5),
    )
