"""Powers, extremes and roots of two operands."""

from __future__ import annotations

from typing import ClassVar

from specc.ops.arithmetic import Binary
from specc.ops.kernels import widened
from specc.ops.op import (
    Code, DType, OnnxBuilder, OpError, Ref, TensorType, TorchWriter, example, op,
)  # fmt: skip


@op("pow")
class Pow(Binary):
    """`input ** exponent`; of integers, exact up to 2**53 in ONNX.

    Shape: broadcast.
    """

    symbol, takes_bool = "**", False
    scalars = ("input", "exponent")

    def infer(self, input: TensorType, exponent: TensorType) -> TensorType:
        return super().infer(input, exponent)

    def torch(self, py: TorchWriter, input: Code, exponent: Code) -> str | Code:
        return py.binary("**", input, exponent)

    def onnx(self, g: OnnxBuilder, input: Ref, exponent: Ref) -> Ref:
        return super().onnx(g, input, exponent)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return widened(g, "Pow", a, b, type=out, dtype=dtype)

    examples = (
        example("N 4", exponent=2),
        example("N 4", exponent=3.0),
        example("int64: N T", exponent=2),
        example("int64: N T", exponent=1.5),
        example("int64: N T", input=2),
        example("N 4", input=0.5),
        example("int64: N T", "int64: T"),
        example("bool: N T", exponent=2),
        example("int8: N T", "uint8: N T"),
    )


class Extreme(Binary):
    """Base of `maximum` and `minimum`."""

    node: ClassVar[str]
    bound: ClassVar[str]

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        for a, b in ((input, other), (other, input)):
            if a.weak and b.dtype is DType.bool:
                raise OpError("T404", f"`{self.name}` of a number needs numbers, got bool")
        return super().infer(input, other)

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str | Code:
        tensor, number = (other, input) if input.type.weak else (input, other)
        if number.type.weak:  # torch.maximum takes no number
            return f"{tensor.atom}.clamp({self.bound}={number})"
        return py.call(f"torch.{self.name}", input, other)

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return widened(g, self.node, a, b, type=out, dtype=dtype)


@op("maximum")
class Maximum(Extreme):
    """The larger of two values at each place.

    Shape: broadcast.
    """

    check = "exact"
    node, bound = "Max", "min"
    examples = (
        example("N 4", "N 4"),
        example("N 4", other=0),
        example("int64: N T", "N 1"),
        example("int64: N T", input=1.5),
        example("bool: N 4", "bool: N 4"),
        example("int8: N 4", "uint8: 4"),
    )


@op("minimum")
class Minimum(Extreme):
    """The smaller of two values at each place.

    Shape: broadcast.
    """

    check = "exact"
    node, bound = "Min", "max"
    examples = (
        example("N 4", "N 4"),
        example("N 4", other=0.5),
        example("int16: N T", other=2),
        example("bool: N 4", "bool: 4"),
    )
