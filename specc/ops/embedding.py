"""Tables of learned vectors."""

from __future__ import annotations

from collections.abc import Mapping

from specc.ops.op import (
    Code, DType, OnnxBuilder, Op, OpError, Ref, Size, TensorType, TorchWriter, Weights, example,
    op, param, weight,
)  # fmt: skip


class Table(Op):
    """Base of the layers that look rows of a learned table up."""

    num_embeddings: int = param(ge=1, doc="rows of the table")
    embedding_dim: int = param(ge=1, doc="size of a row")
    padding_idx: int | None = param(
        default=None, doc="a row that starts at zero and is not trained"
    )
    max_norm: float | None = param(default=None, doc="refused: it rewrites the table when read")
    scale_grad_by_freq: bool = param(
        default=False, doc="divide gradients by how often a row occurs in the batch"
    )
    sparse: bool = param(default=False, doc="sparse gradients")

    def check_indices(self, input: TensorType) -> None:
        """Raise `OpError` for what PyTorch refuses, and for `max_norm`."""
        if input.dtype not in (DType.int64, DType.int32):
            raise OpError(
                "T404", f"`{self.name}` needs int64 or int32 indices, got {input.dtype}",
                hint='give the input `"dtype": "int64"`',
            )  # fmt: skip
        if self.max_norm is not None:
            raise OpError(
                "T407", "`max_norm` changes the weights whenever the model runs, which an "
                "exported file cannot do", param="max_norm",
            )  # fmt: skip
        rows = self.num_embeddings
        if self.padding_idx is not None and not -rows <= self.padding_idx < rows:
            raise OpError(
                "T402", f"there is no row {self.padding_idx} in a table of {rows}",
                param="padding_idx", hint=f"rows run from 0 to {rows - 1}",
            )  # fmt: skip

    def weights(self, *_: TensorType | None) -> Weights:
        yield weight("weight", (self.num_embeddings, self.embedding_dim))

    def index_bounds(self) -> Mapping[str, tuple[int, int]]:
        return {"input": (0, self.num_embeddings)}

    def layer(self, py: TorchWriter) -> str:
        """The source of the module."""
        return py.layer(f"nn.{self.name}", **{
            "num_embeddings": self.num_embeddings, "embedding_dim": self.embedding_dim,
            **self.given(),
        })  # fmt: skip


@op("Embedding")
class Embedding(Table):
    """Looks up one row of a learned table per index.

    Shape: `(*) -> (*, embedding_dim)`, indices of int64 or int32.
    """

    def infer(self, input: TensorType) -> TensorType:
        self.check_indices(input)
        return TensorType(DType.float32, (*input.shape, self.embedding_dim))

    def flops(self, *_: object) -> Size:
        return 0

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{self.layer(py)}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Gather", g.weight("weight"), input, type=self.infer(input.type))

    examples = (
        example("int64<10: N T", num_embeddings=10, embedding_dim=6),
        example("int32<5: N", num_embeddings=5, embedding_dim=3, padding_idx=-1, sparse=True),
    )
