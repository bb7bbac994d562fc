"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.kernels import widened
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
)  # fmt: skip
from specc.ops.shapes import broadcast, require_rank, same_dtype, same_size


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
    return widened(g, "MatMul", a, b, type=out, dtype=out.dtype)


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
