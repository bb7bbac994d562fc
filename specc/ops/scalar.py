"""Numbers that take part in tensor arithmetic."""

from __future__ import annotations

import math

from specc.ir.dims import Dim
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    Ref,
    TensorType,
    TorchWriter,
    op,
    param,
)  # fmt: skip
from specc.ops.writers import ATOM, NOT, UNARY


@op("scalar")
class Scalar(Op):
    """A number. It does not decide the element type of a result, as in PyTorch.

    Shape: `()`.
    """

    value: int | float | bool | Dim = param(doc="the number, or a symbolic size")
    shown: str = param(default="", doc="how the generated source writes it, if not by its digits")

    check = "exact"

    def infer(self) -> TensorType:
        kinds = {"bool": DType.bool, "float": DType.float32}
        return TensorType(kinds.get(type(self.value).__name__, DType.int64), (), weak=True)

    def torch(self, py: TorchWriter) -> Code:
        if isinstance(self.value, Dim):
            text = py.size(self.value)
            return Code(text, self.infer(), ATOM if _is_atom(text) else NOT)
        if self.shown:
            return Code(self.shown, self.infer())
        text = repr(self.value)
        if not math.isfinite(self.value):
            text = f'{"-" * (self.value < 0)}float("{text.lstrip("-")}")'
        return Code(text, self.infer(), UNARY if text.startswith("-") else ATOM)

    def onnx(self, g: OnnxBuilder) -> Ref:
        if isinstance(self.value, Dim):
            return g.reshape(g.dims((self.value,)), ())
        return g.const(self.value, self.infer().dtype)

    examples = ()


def _is_atom(text: str) -> bool:
    return not set(text) & set(" +-*/%")
