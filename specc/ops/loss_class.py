"""Losses of class scores: one right class, or a distribution over classes, per position."""

from __future__ import annotations

from typing import ClassVar

from specc.ops.index import limits, onnx_position
from specc.ops.loss import Loss, needs_floating, same_shape
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


def class_axis(x: TensorType) -> int:
    """The axis of the classes: the second of a batch, the only one of a single sample."""
    return 0 if x.rank == 1 else 1


def positions(x: TensorType) -> TensorType:
    """The type of the scores without the axis of the classes."""
    at = class_axis(x)
    return x.with_shape(*x.shape[:at], *x.shape[at + 1 :])


class ClassScores(Loss):
    """Base of the losses of class scores with class indices as target."""

    weight: tuple[float, ...] | None = param(default=None, doc="a factor for each class")

    tensors: ClassVar[tuple[str, ...]] = ("weight",)

    def check_scores(self, input: TensorType, weight: TensorType | None) -> None:
        """Check the scores, and that there is a weight per class."""
        if not input.rank:
            raise OpError("T402", f"`{self.name}` needs an axis of classes, got {input}")
        needs_floating(self.name, input, "input")
        self.once(weight=weight)
        count = weight.shape if weight else self.weight and (len(self.weight),)
        classes = input.shape[class_axis(input)]
        if count and count != (classes,):
            raise OpError(
                "T401", f"`weight` needs one value for each of {classes} classes, got "
                f"{count[0] if len(count) == 1 else count}",
                **({"input": "weight"} if weight else {"param": "weight"}),
            )  # fmt: skip

    def check_indices(self, input: TensorType, target: TensorType) -> None:
        """Check a target of class indices."""
        wanted = positions(input)
        if target.dtype is not DType.int64:
            raise OpError(
                "T404", f"`{self.name}` needs int64 class indices as its `target`, got "
                f"{target.dtype}", input="target",
                hint='`"encode": "class"` makes a column class indices',
            )  # fmt: skip
        if target.shape != wanted.shape:
            raise OpError(
                "T401", f"`{self.name}` needs a `target` of shape "
                f"{wanted.with_dtype(DType.int64)} for an `input` {input}, got {target}",
                input="target",
                hint="the classes are axis 1 of `input`, and `target` has no such axis",
            )  # fmt: skip

    def index_bounds(self, *types: TensorType | None) -> dict[str, tuple[int, int]]:
        x, target = types[:2]
        indices = x and target and not target.dtype.is_floating
        return limits("target", x, class_axis(x)) if x and indices else {}

    def onnx_weight(self, g: OnnxBuilder, given: Ref | None) -> Ref | None:
        """The weights of the classes, if there are any."""
        return g.weight("weight") if self.weight is not None else given


class ClassLoss(ClassScores):
    """Base of the losses of class scores that may leave positions out."""

    ignore_index: int = param(default=-100, doc="a target that does not count")

    def onnx_indices(
        self, g: OnnxBuilder, op_type: str, input: Ref, target: Ref, weight: Ref | None
    ) -> Ref:
        """One of ONNX's own losses of class indices, which need a batch axis."""
        out = self.reduced(positions(input.type))
        if input.rank > 1:
            return g.op(
                op_type, input, target, weight, reduction=self.reduction,
                ignore_index=self.ignore_index, type=out,
            )  # fmt: skip
        batch, label = g.reshape(input, (1, *input.type.shape)), g.reshape(target, (1,))
        kept = g.op(
            op_type, batch, label, weight, reduction=self.reduction,
            ignore_index=self.ignore_index,
            type=out.with_shape(1) if self.reduction == "none" else out,
        )  # fmt: skip
        return g.reshape(kept, ()) if self.reduction == "none" else kept


@op("CrossEntropyLoss")
class CrossEntropyLoss(ClassLoss):
    """`-log softmax(input)` of the target class; or summed with the target's probabilities.

    Shape: `(N, C, *)` scores with int64 class indices `(N, *)`, or with floating-point
    probabilities `(N, C, *)`; the result is `()`, or `(N, *)` with `reduction` `none`. Without
    a batch axis: `(C)` with `()` or `(C)`.
    """

    label_smoothing: float = param(
        default=0.0, ge=0, le=1, doc="share of the target that is spread over all classes"
    )

    function = "cross_entropy"

    def infer(
        self, input: TensorType, target: TensorType, weight: TensorType | None = None
    ) -> TensorType:
        self.check_scores(input, weight)
        if target.dtype.is_floating:
            same_shape(self.name, input, target)
            if self.ignore_index != -100:
                raise OpError(
                    "S103", "`ignore_index` has no meaning for a `target` of probabilities",
                    param="ignore_index",
                )  # fmt: skip
        else:
            self.check_indices(input, target)
        return self.reduced(positions(input))

    def torch(self, py: TorchWriter, input: Code, target: Code, weight: Code | None = None) -> str:
        return self.source(py, input, target, weight=weight)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None = None) -> Ref:
        weight = self.onnx_weight(g, weight)
        if target.type.dtype.is_floating:
            return self._probabilities(g, input, target, weight)
        if not self.label_smoothing:
            return self.onnx_indices(g, "SoftmaxCrossEntropyLoss", input, target, weight)
        return self._smoothed(g, input, target, weight)

    def _weighted(self, g: OnnxBuilder, values: Ref, weight: Ref | None) -> Ref:
        if weight is None:
            return values
        classes = values.type.shape[class_axis(values.type)]
        behind = values.rank - 1 - class_axis(values.type)
        return g.op("Mul", values, g.reshape(weight, (classes, *(1,) * behind)))

    def _probabilities(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None) -> Ref:
        at, kind = class_axis(input.type), input.type.dtype
        if self.label_smoothing:
            even = self._even(g, input)
            kept = g.op("Mul", target, g.const(1 - self.label_smoothing, kind))
            target = g.op("Add", kept, even)
        logs = self._weighted(g, g.op("LogSoftmax", input, axis=at), weight)
        summed = self._class_sum(g, g.op("Mul", logs, target))
        return self.lowered(g, g.op("Neg", summed))

    def _even(self, g: OnnxBuilder, input: Ref) -> Ref:
        """`label_smoothing / C`."""
        kind, classes = input.type.dtype, input.type.shape[class_axis(input.type)]
        if isinstance(classes, int):
            return g.const(self.label_smoothing / classes, kind)
        count = g.cast(onnx_position(g, classes), kind)
        return g.op("Div", g.const(self.label_smoothing, kind), count)

    def _class_sum(self, g: OnnxBuilder, values: Ref) -> Ref:
        at = g.const([class_axis(values.type)])
        return g.op("ReduceSum", values, at, keepdims=0, type=positions(values.type))

    def _smoothed(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None) -> Ref:
        """`(1 - s) * loss of the class + s / C * loss of all classes`, as PyTorch weighs them."""
        kind, at = input.type.dtype, class_axis(input.type)
        logs = g.op("LogSoftmax", input, axis=at)
        counts = g.op("Not", g.op(
            "Equal", target, g.const(self.ignore_index), type=target.type.with_dtype(DType.bool)
        ))  # fmt: skip
        mask = g.cast(counts, kind)
        safe = g.op("Where", counts, target, g.const(0), type=target.type)
        factor = mask
        if weight is not None:
            own = g.op("Gather", weight, safe, type=mask.type)
            factor = g.op("Mul", mask, own)
        index = g.op("Unsqueeze", safe, g.const([at]), type=target.type.with_shape(
            *input.type.shape[:at], 1, *input.type.shape[at + 1 :]
        ))  # fmt: skip
        picked = g.op("GatherElements", logs, index, axis=at, type=index.type.with_dtype(kind))
        chosen = g.op("Squeeze", picked, g.const([at]), type=mask.type)
        nll = g.op("Mul", g.op("Mul", chosen, factor), g.const(self.label_smoothing - 1, kind))
        spread = g.op("Mul", self._class_sum(g, self._weighted(g, logs, weight)), mask)
        each = g.op("Sub", nll, g.op("Mul", spread, self._even(g, input)))
        if self.reduction == "none":
            return each
        total = g.op("ReduceSum", each, keepdims=0, type=each.type.with_shape())
        if self.reduction == "sum":
            return total
        return g.op("Div", total, g.op("ReduceSum", factor, keepdims=0, type=total.type))

    examples = (
        example("N 10", "int64<10: N"),
        example("N 10 T", "int64<10: N T", reduction="none"),
        example("N 4", "int64<4: N", weight=(0.5, 1.0, 2.0, 3.0)),
        example("N 10", "int64<10: N", "10"),
        example("N 4 H W", "int64<4: N H W", ignore_index=1, weight=(0.5, 1.0, 2.0, 3.0)),
        example("N 10", "int64<10: N", label_smoothing=0.1),
        example("N 4 T", "int64<4: N T", label_smoothing=0.2, ignore_index=2, reduction="sum"),
        example("N 4 T", "int64<4: N T", "4", label_smoothing=0.2, ignore_index=2),
        example("N 4 T", "int64<4: N T", label_smoothing=0.2, reduction="none"),
        example("N T", "0<=float32<1: N T", label_smoothing=0.3),
        example("N 4 T", "0<=float32<1: N 4 T", "4", reduction="none"),
        example("N 4", "0<=float32<1: N 4", weight=(0.5, 1.0, 2.0, 3.0)),
        example("10", "int64<10:", reduction="none"),
        example("10", "0<=float32<1: 10", label_smoothing=0.1),
        example("T", "int64<2:", label_smoothing=0.2, reduction="none"),
    )


@op("NLLLoss")
class NLLLoss(ClassLoss):
    """`-input` of the target class; `input` holds logarithms of probabilities.

    Shape: `(N, C, *)` with int64 class indices `(N, *)`, or `(C)` with `()`; the result is `()`,
    or that of `target` with `reduction` `none`.
    """

    function = "nll_loss"

    def infer(
        self, input: TensorType, target: TensorType, weight: TensorType | None = None
    ) -> TensorType:
        self.check_scores(input, weight)
        self.check_indices(input, target)
        return self.reduced(positions(input))

    def torch(self, py: TorchWriter, input: Code, target: Code, weight: Code | None = None) -> str:
        return self.source(py, input, target, weight=weight)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None = None) -> Ref:
        chosen = self.onnx_weight(g, weight)
        return self.onnx_indices(g, "NegativeLogLikelihoodLoss", input, target, chosen)

    examples = (
        example("N 10", "int64<10: N"),
        example("N 4 T", "int64<4: N T", weight=(0.5, 1.0, 2.0, 3.0), ignore_index=1),
        example("N 10", "int64<10: N", "10", reduction="none"),
        example("10", "int64<10:", reduction="sum"),
    )
