"""Losses with a margin: pairs of a sign, class scores, and triplets."""

from __future__ import annotations

from specc.ops.index import onnx_position
from specc.ops.loss import Loss, needs_floating, same_shape
from specc.ops.loss_class import ClassScores, class_axis, positions
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import same_dtype
from specc.ops.spatial import reduced


class SignLoss(Loss):
    """Base of the losses whose targets are -1 or 1."""

    margin: float = param(default=0.0, doc="how far apart is far enough")

    def check_sign(self, wanted: TensorType, target: TensorType) -> None:
        """Check the target, which may hold integers."""
        if target.dtype is DType.bool:
            raise OpError("T404", f"`{self.name}` needs targets of -1 or 1, got {target.dtype}")
        if target.dtype.is_floating:
            same_dtype(self.name, wanted, target)
        same_shape(self.name, wanted, target)

    def equals(self, g: OnnxBuilder, target: Ref, sign: float) -> Ref:
        """Where the target is `sign`."""
        return g.op(
            "Equal", target, g.const(sign, target.type.dtype),
            type=target.type.with_dtype(DType.bool),
        )  # fmt: skip

    def chosen(self, g: OnnxBuilder, target: Ref, positive: Ref, negative: Ref) -> Ref:
        """`positive` where the target is 1, `negative` where it is -1."""
        target = g.cast(target, positive.type.dtype)
        zero = g.const(0.0, positive.type.dtype)
        kind = positive.type
        low = g.op("Where", self.equals(g, target, -1.0), negative, zero, type=kind)
        return g.op("Where", self.equals(g, target, 1.0), positive, low, type=kind)


@op("HingeEmbeddingLoss")
class HingeEmbeddingLoss(SignLoss):
    """A distance `x` where the target is 1, `max(0, margin - x)` where it is -1.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    margin: float = param(default=1.0, doc="how far apart is far enough")

    function = "hinge_embedding_loss"

    def infer(self, input: TensorType, target: TensorType) -> TensorType:
        needs_floating(self.name, input, "input")
        self.check_sign(input, target)
        return self.reduced(input)

    def torch(self, py: TorchWriter, input: Code, target: Code) -> str:
        return self.source(py, input, target)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        margin = g.const(self.margin, input.type.dtype)
        near = g.op("Relu", g.op("Sub", margin, input, type=input.type))
        return self.lowered(g, self.chosen(g, target, input, near))

    examples = (
        example("N 8", "±float32: N 8"),
        example("N T", "±int64: N T", margin=0.5, reduction="none"),
    )


@op("MarginRankingLoss")
class MarginRankingLoss(SignLoss):
    """`max(0, margin - target * (input1 - input2))`: which of two is ranked higher.

    Shape: `(*), (*), (*) -> ()`, all of one shape; with `reduction` `none`: `(*)`.
    """

    function = "margin_ranking_loss"

    def infer(self, input1: TensorType, input2: TensorType, target: TensorType) -> TensorType:
        needs_floating(self.name, input1, "input1")
        same_dtype(self.name, input1, input2)
        same_shape(self.name, input1, input2, "input2")
        self.check_sign(input1, target)
        return self.reduced(input1)

    def torch(self, py: TorchWriter, input1: Code, input2: Code, target: Code) -> str:
        return self.source(py, input1, input2, target)

    def onnx(self, g: OnnxBuilder, input1: Ref, input2: Ref, target: Ref) -> Ref:
        kind = input1.type.dtype
        ranked = g.op("Mul", g.op("Sub", input1, input2), g.cast(target, kind))
        return self.lowered(g, g.op("Relu", g.op(
            "Sub", g.const(self.margin, kind), ranked, type=input1.type
        )))  # fmt: skip

    examples = (
        example("N", "N", "±float32: N"),
        example("N T", "N T", "±int64: N T", margin=0.5, reduction="none"),
    )


@op("CosineEmbeddingLoss")
class CosineEmbeddingLoss(SignLoss):
    """`1 - cos` of the angle where the target is 1, `max(0, cos - margin)` where it is -1.

    Shape: `(N, D), (N, D), (N) -> ()`, or `(D), (D), () -> ()`; with `reduction` `none`: `(N)`.
    """

    function = "cosine_embedding_loss"

    def infer(self, input1: TensorType, input2: TensorType, target: TensorType) -> TensorType:
        needs_floating(self.name, input1, "input1")
        if input1.rank not in (1, 2):
            raise OpError("T402", f"`{self.name}` needs inputs of 1 or 2 dimensions, got {input1}")
        same_dtype(self.name, input1, input2)
        same_shape(self.name, input1, input2, "input2")
        rows = input1.with_shape(*input1.shape[:-1])
        self.check_sign(rows, target)
        return self.reduced(rows)

    def torch(self, py: TorchWriter, input1: Code, input2: Code, target: Code) -> str:
        return self.source(py, input1, input2, target)

    def _sum(self, g: OnnxBuilder, a: Ref, b: Ref) -> Ref:
        return reduced(g, "ReduceSum", g.op("Mul", a, b), -1, keepdims=False)

    def onnx(self, g: OnnxBuilder, input1: Ref, input2: Ref, target: Ref) -> Ref:
        kind = input1.type.dtype
        tiny = g.const(1e-12, kind)
        lengths = [g.op("Add", self._sum(g, x, x), tiny) for x in (input1, input2)]
        cosine = g.op("Div", self._sum(g, input1, input2), g.op("Sqrt", g.op("Mul", *lengths)))
        apart = g.op("Sub", g.const(1.0, kind), cosine, type=cosine.type)
        near = g.op("Relu", g.op("Sub", cosine, g.const(self.margin, kind)))
        return self.lowered(g, self.chosen(g, target, apart, near))

    examples = (
        example("N 8", "N 8", "±float32: N"),
        example("N T", "N T", "±int64: N", margin=0.2, reduction="none"),
        example("8", "8", "±float32:"),
    )


@op("MultiMarginLoss")
class MultiMarginLoss(ClassScores):
    """`sum_j max(0, margin - x[y] + x[j])^p / C` over the classes `j` other than the target `y`.

    Shape: `(N, C)` with int64 class indices `(N)`, or `(C)` with `()`; the result is `()`, or that
    of `target` with `reduction` `none`.
    """

    p: int = param(default=1, ge=1, le=2, doc="exponent, 1 or 2")
    margin: float = param(default=1.0, doc="by how much the right class must lead")

    function = "multi_margin_loss"

    def infer(
        self, input: TensorType, target: TensorType, weight: TensorType | None = None
    ) -> TensorType:
        if input.rank > 2:
            raise OpError("T402", f"`{self.name}` needs scores of 1 or 2 dimensions, got {input}")
        self.check_scores(input, weight)
        self.check_indices(input, target)
        return self.reduced(positions(input))

    def torch(self, py: TorchWriter, input: Code, target: Code, weight: Code | None = None) -> str:
        return self.source(py, input, target, weight=weight)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None = None) -> Ref:
        kind, at = input.type.dtype, class_axis(input.type)
        column = input.type.with_shape(*input.type.shape[:at], 1)
        index = g.op("Unsqueeze", target, g.const([-1]), type=column.with_dtype(DType.int64))
        right = g.op("GatherElements", input, index, axis=at, type=column)
        lead = g.op("Sub", right, g.const(self.margin, kind))
        short = g.op("Relu", g.op("Sub", input, lead))
        if self.p == 2:
            short = g.op("Mul", short, short)
        nothing = g.cast(g.op("Sub", index, index), kind)
        others = g.op("ScatterElements", short, index, nothing, axis=at)
        each = reduced(g, "ReduceMean", others, -1, keepdims=False)
        factor = self.onnx_weight(g, weight)
        if factor is not None:
            each = g.op("Mul", each, g.op("Gather", factor, target, type=each.type))
        return self.lowered(g, each)

    examples = (
        example("N 10", "int64<10: N"),
        example("N 4", "int64<4: N", p=2, margin=0.5, weight=(0.5, 1.0, 2.0, 3.0)),
        example("N C", "int64<4: N", "C", reduction="none"),
        example("10", "int64<10:"),
    )


@op("MultiLabelMarginLoss")
class MultiLabelMarginLoss(Loss):
    """`sum max(0, 1 - x[y] + x[j]) / C` over target classes `y` and all other classes `j`.

    Shape: `(N, C), (N, C) -> ()`, or `(C), (C) -> ()`; the int64 targets of a row are class indices
    up to the first -1. With `reduction` `none`: `(N)` or `()`.
    """

    function = "multilabel_margin_loss"

    def infer(self, input: TensorType, target: TensorType) -> TensorType:
        needs_floating(self.name, input, "input")
        if input.rank not in (1, 2):
            raise OpError("T402", f"`{self.name}` needs scores of 1 or 2 dimensions, got {input}")
        if target.dtype is not DType.int64:
            raise OpError(
                "T404", f"`{self.name}` needs int64 class indices, got {target.dtype}",
                input="target",
            )  # fmt: skip
        same_shape(self.name, input, target)
        return self.reduced(input.with_shape(*input.shape[:-1]))

    def torch(self, py: TorchWriter, input: Code, target: Code) -> str:
        return self.source(py, input, target)

    def index_bounds(self, *types: TensorType | None) -> dict[str, tuple[int, int]]:
        x = types[0]
        classes = x.shape[-1] if x else None
        return {"target": (-1, classes)} if isinstance(classes, int) else {}

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        kind, wide = input.type.dtype, (*input.type.shape, input.type.shape[-1])
        pairs, after = input.type.with_shape(*wide), g.const([-1])
        listed = self._listed(g, target, kind)
        safe = g.op("Max", target, g.const(0))
        chosen = g.op("GatherElements", input, safe, axis=input.rank - 1, type=input.type)
        column = input.type.with_shape(*input.type.shape, 1)
        row = input.type.with_shape(*input.type.shape[:-1], 1, input.type.shape[-1])
        chosen, listed = (g.op("Unsqueeze", x, after, type=column) for x in (chosen, listed))
        values = g.const([0.0, 1.0], kind)
        places = g.op("OneHot", safe, onnx_position(g, wide[-1]), values, type=pairs)
        places = g.op("Mul", places, listed)
        others = g.op("Sub", g.const(1.0, kind), reduced(g, "ReduceMax", places, -2), type=row)
        gap = g.op("Sub", g.op("Unsqueeze", input, g.const([-2]), type=row), chosen, type=pairs)
        each = g.op("Relu", g.op("Add", gap, g.const(1.0, kind)))
        each = g.op("Mul", g.op("Mul", each, listed), others)
        each = reduced(g, "ReduceSum", each, -2, keepdims=False)
        return self.lowered(g, reduced(g, "ReduceMean", each, -1, keepdims=False))

    def _listed(self, g: OnnxBuilder, target: Ref, dtype: DType) -> Ref:
        """1 before the first -1 of a row, 0 from there on."""
        flags = target.type.with_dtype(DType.bool)
        ends = g.cast(g.op("Less", target, g.const(0), type=flags), DType.int32)
        seen = g.op("CumSum", ends, g.const(-1))
        return g.cast(g.op("Equal", seen, g.const(0, DType.int32), type=flags), dtype)

    examples = (
        example("N 4", "-1<=int64<4: N 4"),
        example("4", "-1<=int64<4: 4", reduction="sum"),
        example("N 4", "-1<=int64<4: N 4", reduction="none"),
    )
