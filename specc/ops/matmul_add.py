"""Matrix products with something added, and the outer product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specc.ir.types import result_type, show_shape
from specc.ops.kernels import widened
from specc.ops.matmul import matmul_shape, numeric, onnx_matmul
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
from specc.ops.shapes import broadcast, require_rank, same_size


@op("outer")
class Outer(Op):
    """Every product of an element of one vector and one of the other.

    Shape: `(n,), (m,) -> (n, m)`.
    """

    def infer(self, input: TensorType, vec2: TensorType) -> TensorType:
        require_rank(input, 1, name=self.name)
        require_rank(vec2, 1, name=self.name)
        return TensorType(result_type(input, vec2), (*input.shape, *vec2.shape))

    def torch(self, py: TorchWriter, input: Code, vec2: Code) -> str:
        return py.call("torch.outer", input, vec2)

    def onnx(self, g: OnnxBuilder, input: Ref, vec2: Ref) -> Ref:
        out = self.infer(input.type, vec2.type)
        column = input.type.with_shape(*input.type.shape, 1)
        rows = g.op("Unsqueeze", input, g.const([1]), type=column)
        if out.dtype is DType.bool:
            return g.op("And", rows, vec2, type=out)
        return widened(g, "Mul", rows, vec2, type=out, dtype=out.dtype)

    examples = (
        example("N", "T"),
        example("4", "N"),
        example("int64: N", "3"),
        example("bool: N", "bool: 3"),
    )


class Added(Op):
    """Base of `beta * input + alpha * product`."""

    beta: float = param(default=1.0, doc="factor of `input`; 0 leaves it out")
    alpha: float = param(default=1.0, doc="factor of the product")

    def shape(self, rank: int, input: TensorType, a: TensorType, b: TensorType) -> TensorType:
        """The type of the result; `OpError` where an operand does not fit."""
        require_rank(a, rank, name=self.name)
        require_rank(b, rank, name=self.name)
        numeric(self.name, input, a, b)
        if not input.dtype.is_floating:
            for name, value in self.given().items():
                if value != int(value):
                    raise OpError("T404", f"`{name}` must be whole for {input.dtype}", param=name)
        shape = matmul_shape(self.name, a, b)
        if input.rank > rank or broadcast(input.shape, shape) != shape:
            raise OpError(
                "T406", f"`input` {show_shape(input.shape)} does not broadcast to the product "
                f"{show_shape(shape)}", input="input",
            )  # fmt: skip
        return a.with_shape(*shape)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        a = inputs[1]
        assert a
        return (2 * a.shape[-1] + 1) * outputs[0].numel

    def factors(self, kind: TensorType) -> dict[str, Any]:
        """The given factors, whole numbers for integers as PyTorch wants them."""
        return {k: v if kind.dtype.is_floating else int(v) for k, v in self.given().items()}

    def added(self, g: OnnxBuilder, input: Ref, a: Ref, b: Ref, out: TensorType) -> Ref:
        """The result as separate nodes."""
        made = onnx_matmul(g, a, b, out)
        if self.alpha != 1:
            made = self._times(g, made, self.alpha)
        if not self.beta:
            return made
        added = input if self.beta == 1 else self._times(g, input, self.beta)
        return widened(g, "Add", made, added, type=out, dtype=out.dtype)

    def _times(self, g: OnnxBuilder, x: Ref, factor: float) -> Ref:
        dtype = x.type.dtype
        number = g.const(factor if dtype.is_floating else int(factor), dtype)
        return widened(g, "Mul", x, number, type=x.type, dtype=dtype)


@op("addmm")
class AddMm(Added):
    """`beta * input + alpha * (mat1 @ mat2)`.

    Shape: `(n, m), (n, k), (k, m) -> (n, m)`; `input` broadcasts.
    """

    def infer(self, input: TensorType, mat1: TensorType, mat2: TensorType) -> TensorType:
        return self.shape(2, input, mat1, mat2)

    def torch(self, py: TorchWriter, input: Code, mat1: Code, mat2: Code) -> str:
        return py.call("torch.addmm", input, mat1, mat2, **self.factors(input.type))

    def onnx(self, g: OnnxBuilder, input: Ref, mat1: Ref, mat2: Ref) -> Ref:
        out = self.infer(input.type, mat1.type, mat2.type)
        if not out.dtype.is_floating:
            return self.added(g, input, mat1, mat2, out)
        return g.op(
            "Gemm", mat1, mat2, input if self.beta else None, type=out,
            alpha=None if self.alpha == 1 else self.alpha, beta=self.beta or None,
        )  # fmt: skip

    examples = (
        example("T", "N 8", "8 T"),
        example("N 4", "N 8", "8 4", beta=0.5, alpha=2.0),
        example("N 1", "N 8", "8 4", beta=0.0),
        example("int64: 4", "int64: N 8", "int64: 8 4", beta=3, alpha=2),
    )


@op("baddbmm")
class BAddBmm(Added):
    """`beta * input + alpha * (batch1 @ batch2)`.

    Shape: `(b, n, m), (b, n, k), (b, k, m) -> (b, n, m)`; `input` broadcasts.
    """

    def infer(self, input: TensorType, batch1: TensorType, batch2: TensorType) -> TensorType:
        if batch1.rank == batch2.rank == 3:
            same_size(self.name, (batch1, 0), (batch2, 0))
        return self.shape(3, input, batch1, batch2)

    def torch(self, py: TorchWriter, input: Code, batch1: Code, batch2: Code) -> str:
        return py.call("torch.baddbmm", input, batch1, batch2, **self.factors(input.type))

    def onnx(self, g: OnnxBuilder, input: Ref, batch1: Ref, batch2: Ref) -> Ref:
        out = self.infer(input.type, batch1.type, batch2.type)
        return self.added(g, input, batch1, batch2, out)

    examples = (
        example("N T L", "N T 8", "N 8 L"),
        example("N 1 L", "N T 8", "N 8 L", beta=0.5, alpha=0.3),
        example("T L", "N T 8", "N 8 L", beta=0),
    )
