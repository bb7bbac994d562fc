"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.op import (
    Code, DType, OnnxBuilder, Op, OpError, Ref, Size, TensorType, TorchWriter, example, op, param,
)  # fmt: skip
from specc.ops.shapes import broadcast, product, require_rank, same_dtype, same_size

_ONNX_TYPES = (
    DType.float16, DType.bfloat16, DType.float32, DType.float64, DType.int32, DType.int64
)  # fmt: skip


def numeric(name: str, *inputs: TensorType) -> None:
    """Raise `OpError` unless the operands are numbers of one element type."""
    same_dtype(name, *inputs)
    if inputs[0].dtype is DType.bool:
        raise OpError("T404", f"`{name}` needs numbers, got {inputs[0].dtype}")


def matmul_shape(name: str, a: TensorType, b: TensorType) -> tuple[Size, ...]:
    """The shape of a matrix product: leading axes broadcast, a vector's axis is dropped."""
    if not a.rank or not b.rank:
        raise OpError("T402", f"`{name}` needs at least one axis on both sides, got {a} and {b}")
    same_size(name, (a, -1), (b, max(-2, -b.rank)))
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    rows = a.shape[-2:-1] if a.rank > 1 else ()
    columns = b.shape[-1:] if b.rank > 1 else ()
    return (*batch, *rows, *columns)


def onnx_matmul(g: OnnxBuilder, a: Ref, b: Ref, out: TensorType) -> Ref:
    """A matrix product of any element type; the small integers wrap around as in PyTorch."""
    if a.type.dtype in _ONNX_TYPES:
        return g.op("MatMul", a, b, type=out)
    wide = DType.int32
    made = g.op("MatMul", g.cast(a, wide), g.cast(b, wide), type=out.with_dtype(wide))
    return g.cast(made, out.dtype)


class Product(Op):
    """Base of the products of two tensors; `ranks` are those of the operands, if fixed."""

    ranks: tuple[int, int] | None = None

    def shape(self, a: TensorType, b: TensorType) -> tuple[Size, ...]:
        if self.ranks:
            require_rank(a, self.ranks[0], name=self.name)
            require_rank(b, self.ranks[1], name=self.name)
        numeric(self.name, a, b)
        return matmul_shape(self.name, a, b)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        a = inputs[0]
        assert a
        return 2 * a.shape[-1] * outputs[0].numel


@op("matmul")
class MatMul(Product):
    """Matrix product of the last two axes, `a @ b`; the axes before them broadcast.

    Shape: `(*, n, k) @ (*, k, m) -> (*, n, m)`. A 1-D operand counts as a row on the left and as
    a column on the right, and its axis of size 1 is not in the result.
    """

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        return input.with_shape(*self.shape(input, other))

    def torch(self, py: TorchWriter, input: Code, other: Code) -> Code:
        return py.binary("@", input, other)

    def onnx(self, g: OnnxBuilder, input: Ref, other: Ref) -> Ref:
        return onnx_matmul(g, input, other, self.infer(input.type, other.type))

    examples = (
        example("N T 8", "N 8 L"),
        example("N 8", "8 4"),
        example("8", "8"),
        example("8", "N 8 L"),
        example("N T 8", "8"),
        example("N 1 T 8", "L 8 3"),
        example("int64: N 8", "int64: 8 4"),
        example("int8: N 8", "int8: 8 4"),
    )


@op("bmm")
class Bmm(Product):
    """Matrix products of a batch.

    Shape: `(b, n, k), (b, k, m) -> (b, n, m)`.
    """

    ranks = (3, 3)

    def infer(self, input: TensorType, mat2: TensorType) -> TensorType:
        same_size(self.name, (input, 0), (mat2, 0)) if input.rank == mat2.rank == 3 else None
        return input.with_shape(*self.shape(input, mat2))

    def torch(self, py: TorchWriter, input: Code, mat2: Code) -> str:
        return py.call("torch.bmm", input, mat2)

    def onnx(self, g: OnnxBuilder, input: Ref, mat2: Ref) -> Ref:
        return onnx_matmul(g, input, mat2, self.infer(input.type, mat2.type))

    examples = (example("N T 8", "N 8 L"), example("int32: N T 8", "int32: N 8 3"))


@op("mm")
class Mm(Product):
    """Product of two matrices.

    Shape: `(n, k), (k, m) -> (n, m)`.
    """

    ranks = (2, 2)

    def infer(self, input: TensorType, mat2: TensorType) -> TensorType:
        return input.with_shape(*self.shape(input, mat2))

    def torch(self, py: TorchWriter, input: Code, mat2: Code) -> str:
        return py.call("torch.mm", input, mat2)

    def onnx(self, g: OnnxBuilder, input: Ref, mat2: Ref) -> Ref:
        return onnx_matmul(g, input, mat2, self.infer(input.type, mat2.type))

    examples = (example("N 8", "8 L"), example("int64: N T", "int64: T 3"))


@op("mv")
class Mv(Product):
    """Product of a matrix and a vector.

    Shape: `(n, k), (k,) -> (n,)`.
    """

    ranks = (2, 1)

    def infer(self, input: TensorType, vec: TensorType) -> TensorType:
        return input.with_shape(*self.shape(input, vec))

    def torch(self, py: TorchWriter, input: Code, vec: Code) -> str:
        return py.call("torch.mv", input, vec)

    def onnx(self, g: OnnxBuilder, input: Ref, vec: Ref) -> Ref:
        return onnx_matmul(g, input, vec, self.infer(input.type, vec.type))

    examples = (example("N 8", "8"), example("int64: N T", "int64: T"))


@op("dot")
class Dot(Product):
    """Scalar product of two vectors.

    Shape: `(k,), (k,) -> ()`.
    """

    ranks = (1, 1)

    def infer(self, input: TensorType, tensor: TensorType) -> TensorType:
        return input.with_shape(*self.shape(input, tensor))

    def torch(self, py: TorchWriter, input: Code, tensor: Code) -> str:
        return py.call("torch.dot", input, tensor)

    def onnx(self, g: OnnxBuilder, input: Ref, tensor: Ref) -> Ref:
        return onnx_matmul(g, input, tensor, self.infer(input.type, tensor.type))

    examples = (example("8", "8"), example("N", "N"), example("int64: N", "int64: N"))


@op("outer")
class Outer(Op):
    """Every product of an element of one vector and one of the other.

    Shape: `(n,), (m,) -> (n, m)`.
    """

    def infer(self, input: TensorType, vec2: TensorType) -> TensorType:
        require_rank(input, 1, name=self.name)
        require_rank(vec2, 1, name=self.name)
        numeric(self.name, input, vec2)
        return input.with_shape(*input.shape, *vec2.shape)

    def torch(self, py: TorchWriter, input: Code, vec2: Code) -> str:
        return py.call("torch.outer", input, vec2)

    def onnx(self, g: OnnxBuilder, input: Ref, vec2: Ref) -> Ref:
        column = input.type.with_shape(*input.type.shape, 1)
        return onnx_mul(g, g.op("Unsqueeze", input, g.const([1]), type=column), vec2, self.infer(input.type, vec2.type))

    examples = (example("N", "T"), example("4", "N"), example("int64: N", "int64: 3"))


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
            made = onnx_mul(g, made, g.const(self.alpha, out.dtype), out)
        if not self.beta:
            return made
        if self.beta != 1:
            input = onnx_mul(g, input, g.const(self.beta, out.dtype), input.type)
        return g.op("Add", made, input, type=out)


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
