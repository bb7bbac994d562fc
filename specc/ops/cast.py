"""Changes of the element type."""

from __future__ import annotations

from typing import Literal

from specc.ops.arithmetic import require_tensor
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip


class _Cast(Op):
    """Base of the conversions to one element type."""

    check = "exact"

    def _target(self) -> DType:
        raise NotImplementedError

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        return input.with_dtype(self._target())

    def torch(self, py: TorchWriter, input: Code) -> str:
        target = self._target()
        if input.type.dtype is target:
            return str(input)
        if target is DType.float32:
            # Not `torch.float32`: where the whole model runs in float64, this must too.
            return f"{input.atom}.to(torch.get_default_dtype())"
        return self._written(input, target)

    def _written(self, input: Code, target: DType) -> str:
        return f"{input.atom}.{self.name}()"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.cast(input, self._target())


@op("to")
class To(_Cast):
    """Conversion to another element type; fractions are cut off by integers.

    Shape: unchanged.
    """

    dtype: Literal[
        "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
        "bool",
    ] = param(doc="the element type, by PyTorch's name")  # fmt: skip

    def _target(self) -> DType:
        return DType(self.dtype)

    def _written(self, input: Code, target: DType) -> str:
        return f"{input.atom}.to(torch.{target})"

    examples = (
        example("N 4", dtype="int64"),
        example("int64: N T", dtype="float32"),
        example("N 4", dtype="float32"),
        example("N 4", dtype="float16"),
        example("bool: N T", dtype="uint8"),
        example("N 4", dtype="bool"),
    )


def _method(name: str, dtype: DType) -> None:
    def target(_: _Cast) -> DType:
        return dtype

    op(name)(
        type(name, (_Cast,), {
            "__doc__": f"Conversion to `{dtype}`.\n\nShape: unchanged.", "__module__": __name__,
            "_target": target, "examples": (example("bool: N T"), example("int32: N T")),
        })
    )  # fmt: skip


_method("float", DType.float32)
_method("double", DType.float64)
_method("half", DType.float16)
_method("long", DType.int64)
_method("int", DType.int32)
_method("bool", DType.bool)


@op("type_as")
class TypeAs(Op):
    """`input` converted to the element type of `other`.

    Shape: unchanged.
    """

    check = "exact"

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        require_tensor(self.name, input)
        require_tensor(self.name, other)
        return input.with_dtype(other.dtype)

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str:
        return f"{input.atom}.type_as({other})"

    def onnx(self, g: OnnxBuilder, input: Ref, other: Ref) -> Ref:
        return g.cast(input, other.type.dtype)

    examples = (example("int64: N T", "N"), example("N 4", "int64: T"))
