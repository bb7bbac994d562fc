"""Pointwise nonlinearities: PyTorch's modules, and their functions where both names exist."""

from __future__ import annotations

import math
from collections.abc import Callable

from specc.ops.op import (
    REGISTRY, Code, OnnxBuilder, Op, Ref, TensorType, TorchWriter, example, op, param,
)  # fmt: skip
from specc.ops.shapes import axis


def _needs_floating(x: TensorType, name: str) -> TensorType:
    if not x.dtype.is_floating:
        from specc.ir.types import OpError

        raise OpError("T404", f"`{name}` needs floating-point values, got {x.dtype}")
    return x


class Unary(Op):
    """An operator of one floating-point tensor that keeps its shape."""

    def infer(self, input: TensorType) -> TensorType:
        return _needs_floating(input, self.name)


def unary(name: str, *, torch: str, onnx: str | Callable[..., Ref], doc: str) -> None:
    """Register an operator without parameters, by its PyTorch source and its ONNX form."""

    def to_torch(self: Op, py: TorchWriter, input: Code) -> str:
        if name[0].isupper():
            return py.apply(f"nn.{name}", torch, input)
        return f"{torch}({input})"

    def to_onnx(self: Op, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op(onnx, input) if isinstance(onnx, str) else onnx(g, input)

    op(name)(
        type(name, (Unary,), {
            "__doc__": doc, "__module__": __name__, "torch": to_torch, "onnx": to_onnx,
            "examples": (example("N 8"), example("N 3 5")),
        })
    )  # fmt: skip


def _silu(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Mul", x, g.op("Sigmoid", x))


unary("ReLU", torch="F.relu", onnx="Relu", doc="`max(x, 0)`.")
unary("Sigmoid", torch="F.sigmoid", onnx="Sigmoid", doc="`1 / (1 + exp(-x))`.")
unary("Tanh", torch="F.tanh", onnx="Tanh", doc="Hyperbolic tangent.")
unary("SiLU", torch="F.silu", onnx=_silu, doc="`x * sigmoid(x)`, also called swish.")
unary("relu", torch="F.relu", onnx="Relu", doc="`max(x, 0)`.")
unary("sigmoid", torch="torch.sigmoid", onnx="Sigmoid", doc="`1 / (1 + exp(-x))`.")
unary("tanh", torch="torch.tanh", onnx="Tanh", doc="Hyperbolic tangent.")


@op("Softmax")
class Softmax(Unary):
    """`exp(x_i) / sum_j exp(x_j)` along one axis.

    Shape: unchanged.
    """

    dim: int = param(doc="the axis that sums to one")

    def infer(self, input: TensorType) -> TensorType:
        axis(input, self.dim)
        return super().infer(input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.apply("nn.Softmax", "F.softmax", input, dim=self.dim)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Softmax", input, axis=self.dim)

    examples = (example("N 8", dim=-1), example("N 3 5", dim=1))


__all__ = ["REGISTRY", "Unary", "math", "unary"]
