"""Tables of learned vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

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
    Weights,
    example,
    op,
    param,
    weight,
)  # fmt: skip
from specc.ops.shapes import require_rank, require_shape


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

    def index_bounds(self, *_: TensorType | None) -> Mapping[str, tuple[int, int]]:
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


@op("EmbeddingBag")
class EmbeddingBag(Table):
    """Looks up several rows of a learned table per bag, and reduces them to one.

    Rows of `padding_idx` do not count; a bag of nothing else gives zeros.

    Shape: `(N, bag) -> (N, embedding_dim)`, with `per_sample_weights` of `(N, bag)` for `sum`.
    """

    mode: Literal["sum", "mean", "max"] = param(default="mean", doc="how a bag is reduced")

    def infer(
        self, input: TensorType, offsets: TensorType | None = None,
        per_sample_weights: TensorType | None = None,
    ) -> TensorType:  # fmt: skip
        self.check_indices(input)
        if offsets:
            raise OpError(
                "T407", "bags cut by `offsets` have sizes that only their values tell, which a "
                "graph of fixed shapes cannot follow", input="offsets",
                hint="give one bag per row, filled up with `padding_idx`",
            )  # fmt: skip
        require_rank(input, 2, name=self.name)
        if per_sample_weights:
            self._check_factors(input, per_sample_weights)
        return TensorType(DType.float32, (input.shape[0], self.embedding_dim))

    def _check_factors(self, input: TensorType, factors: TensorType) -> None:
        if self.mode != "sum":
            raise OpError(
                "T402", f"`per_sample_weights` goes with mode `sum`, not `{self.mode}`",
                param="mode",
            )  # fmt: skip
        require_shape("per_sample_weights", factors, input.shape)
        if factors.dtype is not DType.float32:
            raise OpError(
                "T404",
                f"`per_sample_weights` is float32, got {factors.dtype}",
                input="per_sample_weights",
            )

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """One per element read, two where each is weighted."""
        indices = inputs[0]
        assert indices
        weighted = len(inputs) > 2 and inputs[2] is not None
        return (1 + weighted) * indices.numel * self.embedding_dim

    def torch(
        self, py: TorchWriter, input: Code, _offsets: None = None,
        per_sample_weights: Code | None = None,
    ) -> str:  # fmt: skip
        given = {"per_sample_weights": per_sample_weights} if per_sample_weights else {}
        return py.call(self.layer(py), input, **given)

    def onnx(
        self, g: OnnxBuilder, input: Ref, _offsets: None = None,
        per_sample_weights: Ref | None = None,
    ) -> Ref:  # fmt: skip
        out = self.infer(input.type, None, per_sample_weights and per_sample_weights.type)
        kind = TensorType(DType.float32, (*input.type.shape, self.embedding_dim))
        rows = g.op("Gather", g.weight("weight"), input, type=kind)
        if per_sample_weights:
            rows = g.op("Mul", rows, _column(g, per_sample_weights))
        if self.padding_idx is None:
            return _over_bag(g, f"Reduce{self.mode.capitalize()}", rows, out)
        padding = g.const(self.padding_idx % self.num_embeddings, input.type.dtype)
        is_padding = g.op("Equal", input, padding, type=input.type.with_dtype(DType.bool))
        fill = float("-inf") if self.mode == "max" else 0.0
        filler = g.const(fill, DType.float32)
        rows = g.op("Where", _column(g, is_padding), filler, rows, type=kind)
        return self._without_padding(g, rows, is_padding, out)

    def _without_padding(self, g: OnnxBuilder, rows: Ref, is_padding: Ref, out: TensorType) -> Ref:
        if self.mode == "sum":
            return _over_bag(g, "ReduceSum", rows, out)
        counts = g.cast(g.op("Not", is_padding), DType.float32)
        column = counts.type.with_shape(counts.type.shape[0], 1)
        count = g.op("ReduceSum", counts, g.const([1]), keepdims=1, type=column)
        if self.mode == "mean":
            least = g.op("Max", count, g.const(1.0, DType.float32))
            return g.op("Div", _over_bag(g, "ReduceSum", rows, out), least)
        some = g.op(
            "Greater", count, g.const(0.0, DType.float32), type=column.with_dtype(DType.bool)
        )
        zero = g.const(0.0, DType.float32)
        return g.op("Where", some, _over_bag(g, "ReduceMax", rows, out), zero, type=out)

    examples = (
        example("int64<5: N 4", num_embeddings=5, embedding_dim=3),
        example("int64<5: N T", num_embeddings=5, embedding_dim=3, mode="sum"),
        example("int32<5: N T", num_embeddings=5, embedding_dim=3, mode="max"),
        example("int64<2: N 2", num_embeddings=2, embedding_dim=3, padding_idx=1),
        example("int64<2: N 2", num_embeddings=2, embedding_dim=3, padding_idx=-1, mode="sum"),
        example("int64<2: N 2", num_embeddings=2, embedding_dim=3, padding_idx=0, mode="max"),
    )


def _column(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Unsqueeze", x, g.const([-1]), type=x.type.with_shape(*x.type.shape, 1))


def _over_bag(g: OnnxBuilder, op_type: str, rows: Ref, out: TensorType) -> Ref:
    if g.opset < 18 and op_type != "ReduceSum":
        return g.op(op_type, rows, axes=[1], keepdims=0, type=out)
    return g.op(op_type, rows, g.const([1]), keepdims=0, type=out)
