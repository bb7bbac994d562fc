"""Comparisons, logic, bits, and the choice between two values."""

from __future__ import annotations

from typing import ClassVar

from specc.ir.types import result_type
from specc.ops.arithmetic import Binary, require_dtype, require_tensor
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
)  # fmt: skip
from specc.ops.shapes import broadcast


class Comparison(Binary):
    """Base of the comparisons, whose results are `bool`."""

    check = "exact"
    node: ClassVar[str]
    negated: ClassVar[bool] = False

    def result(self, dtype: DType) -> DType:
        return DType.bool

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        # Boolean operands have an Equal of their own, but no order.
        equal_bools = self.node == "Equal" and dtype is DType.bool
        used = NARROW - {DType.bool} if equal_bools else NARROW
        found = widened(g, self.node, a, b, type=out, dtype=dtype, narrow=used)
        return g.op("Not", found) if self.negated else found


def _comparison(name: str, symbol: str, node: str, doc: str, *, negated: bool = False) -> None:
    op(name)(
        type(name, (Comparison,), {
            "__doc__": f"`input {symbol} other`: {doc}.\n\nShape: broadcast, `bool`.",
            "__module__": __name__, "symbol": symbol, "node": node, "negated": negated,
            "examples": (
                example("int64: N T", "int64: T"),
                example("N 4", other=0.25),
                example("N 4", input=0),
                example("bool: N 4", "bool: N 4"),
                example("int8: N T", "uint8: N T"),
            ),
        })
    )  # fmt: skip


_comparison("eq", "==", "Equal", "whether two values are equal")
_comparison("ne", "!=", "Equal", "whether two values differ", negated=True)
_comparison("lt", "<", "Less", "whether one value is below the other")
_comparison("le", "<=", "LessOrEqual", "whether one value is at most the other")
_comparison("gt", ">", "Greater", "whether one value is above the other")
_comparison("ge", ">=", "GreaterOrEqual", "whether one value is at least the other")


class Logical(Binary):
    """Base of the logical operators, which take any values: all but zero are true."""

    check = "exact"
    scalars = ()
    node: ClassVar[str]

    def result(self, dtype: DType) -> DType:
        return DType.bool

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        return g.op(self.node, g.cast(a, DType.bool), g.cast(b, DType.bool), type=out)


def _logical(name: str, node: str, doc: str) -> None:
    op(name)(
        type(name, (Logical,), {
            "__doc__": f"{doc}; all values but zero are true.\n\nShape: broadcast, `bool`.",
            "__module__": __name__, "node": node,
            "examples": (
                example("bool: N T", "bool: T"),
                example("int64: N T", "bool: N T"),
                example("N 4", "int64: N 4"),
            ),
        })
    )  # fmt: skip


_logical("logical_and", "And", "Whether both values are true")
_logical("logical_or", "Or", "Whether at least one of two values is true")
_logical("logical_xor", "Xor", "Whether just one of two values is true")


@op("logical_not")
class LogicalNot(Op):
    """Whether a value is false, that is zero.

    Shape: unchanged, `bool`.
    """

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input.with_dtype(DType.bool)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("torch.logical_not", input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Not", g.cast(input, DType.bool))

    examples = (example("bool: N T"), example("int64: N T"), example("N 4"))


class Bitwise(Binary):
    """Base of the bitwise operators; for `bool` they are the logical ones."""

    check = "exact"
    takes_floating = False
    node: ClassVar[str]

    def lower(self, g: OnnxBuilder, a: Ref, b: Ref, dtype: DType, out: TensorType) -> Ref:
        a, b = g.cast(a, dtype), g.cast(b, dtype)
        if dtype is DType.bool:
            return g.op(self.node, a, b, type=out)
        if g.opset >= 18:
            return g.op(f"Bitwise{self.node}", a, b, type=out)
        raise OpError(
            "T407", f"`{self.name}` of integers has no ONNX form at opset {g.opset}",
            hint='"export": { "opset": 18 } or newer has one',
        )  # fmt: skip


def _bitwise(name: str, symbol: str, node: str, doc: str) -> None:
    op(name)(
        type(name, (Bitwise,), {
            "__doc__": f"`input {symbol} other`: {doc}.\n\nShape: broadcast. "
                "Takes integers and `bool`.",
            "__module__": __name__, "symbol": symbol, "node": node,
            "examples": (example("bool: N T", "bool: T"), example("bool: N 1", "bool: 4")),
        })
    )  # fmt: skip


_bitwise("bitwise_and", "&", "And", "the bits that both values have")
_bitwise("bitwise_or", "|", "Or", "the bits that at least one of two values has")
_bitwise("bitwise_xor", "^", "Xor", "the bits that just one of two values has")


@op("bitwise_not")
class BitwiseNot(Op):
    """`~input`: every bit flipped; for `bool`, logical not.

    Shape: unchanged. Takes integers and `bool`.
    """

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        require_dtype(not input.dtype.is_floating, self.name, input.dtype, "integer or bool")
        return input

    def torch(self, py: TorchWriter, input: Code) -> Code:
        return Code(f"~{input.within(2)}", input.type, 2)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if input.type.dtype is DType.bool:
            return g.op("Not", input)
        # In two's complement ~x is -1 - x.
        minus_one = g.const(-1, DType.int32 if input.type.dtype in NARROW else input.type.dtype)
        weak = minus_one._replace(type=minus_one.type._replace(weak=True))
        return widened(g, "Sub", weak, input, type=input.type, dtype=input.type.dtype)

    examples = (example("bool: N T"), example("int64: N T"), example("uint8: N T"))


@op("where")
class Where(Op):
    """`input` where `condition` is true, else `other`.

    Shape: broadcast.
    """

    check = "exact"
    scalars = ("input", "other")

    def infer(self, condition: TensorType, input: TensorType, other: TensorType) -> TensorType:
        require_tensor(self.name, condition)
        require_dtype(condition.dtype is DType.bool, "where", condition.dtype, "bool `condition`")
        shape = broadcast(condition.shape, input.shape, other.shape)
        return TensorType(result_type(input, other), shape)

    def torch(self, py: TorchWriter, condition: Code, input: Code, other: Code) -> str:
        return py.call("torch.where", condition, input, other)

    def onnx(self, g: OnnxBuilder, condition: Ref, input: Ref, other: Ref) -> Ref:
        out = self.infer(condition.type, input.type, other.type)
        narrow = out.dtype in NARROW
        used = DType.int32 if narrow else out.dtype
        a, b = (g.cast(x if x.type.weak else g.cast(x, out.dtype), used) for x in (input, other))
        return g.cast(g.op("Where", condition, a, b, type=out.with_dtype(used)), out.dtype)

    examples = (
        example("bool: N T", "N T", "N 1"),
        example("bool: N T", "N T", other=-1),
        example("bool: N T", input=0.0, other=float("-inf")),
        example("bool: N T", input=1, other=2),
        example("bool: N 1", "int64: N T", "T"),
        example("bool: N T", "bool: N T", "bool: T"),
        example("bool: N T", "int8: N T", other=3),
    )
