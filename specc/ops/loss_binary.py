"""Losses of yes-or-no answers: probabilities or scores, one per value."""

from __future__ import annotations

from typing import ClassVar

from specc.ops.activation import softplus
from specc.ops.loss import Loss, Pairwise, fits, needs_floating, same_shape
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


class BinaryLoss(Loss):
    """Base of the binary losses, with a factor per value."""

    weight: tuple[float, ...] | None = param(
        default=None, doc="a factor for each value along the last axis"
    )

    tensors: ClassVar[tuple[str, ...]] = ("weight",)

    def check_values(
        self, input: TensorType, target: TensorType, **factors: TensorType | None
    ) -> None:
        """Check both tensors, and the factors that come as inputs or as lists."""
        self.once(**factors)
        for name, kind in (("input", input), ("target", target)):
            needs_floating(self.name, kind, name)
        same_dtype(self.name, input, target)
        same_shape(self.name, input, target)
        for name in self.tensors:
            values = self.__dict__[name]
            shape = (len(values),) if isinstance(values, tuple) else ()
            listed = TensorType(DType.float32, shape) if values is not None else None
            fits(self.name, name, input, listed or factors.get(name))

    def factor(self, g: OnnxBuilder, name: str, given: Ref | None) -> Ref | None:
        """A factor: the buffer, the input, or none."""
        return g.weight(name) if self.__dict__[name] is not None else given

    def times(self, g: OnnxBuilder, each: Ref, weight: Ref | None) -> Ref:
        """The loss per value times `weight`, reduced."""
        factor = self.factor(g, "weight", weight)
        return self.lowered(g, g.op("Mul", each, factor) if factor else each)


@op("BCEWithLogitsLoss")
class BCEWithLogitsLoss(BinaryLoss):
    """Binary cross entropy of `sigmoid(input)`: `(1 - t) x + (1 + (p - 1) t) log(1 + exp(-x))`.

    `t` is the target, between 0 and 1, and `p` the `pos_weight`.

    Shape: `(*), (*) -> ()`, both of one shape and floating-point; with `reduction` `none`: `(*)`.
    """

    pos_weight: float | tuple[float, ...] | None = param(
        default=None, doc="a factor for positive targets: one, or one per value of the last axis"
    )

    function = "binary_cross_entropy_with_logits"
    tensors = ("weight", "pos_weight")

    def infer(
        self, input: TensorType, target: TensorType, weight: TensorType | None = None,
        pos_weight: TensorType | None = None,
    ) -> TensorType:  # fmt: skip
        self.check_values(input, target, weight=weight, pos_weight=pos_weight)
        return self.reduced(input)

    def torch(
        self, py: TorchWriter, input: Code, target: Code, weight: Code | None = None,
        pos_weight: Code | None = None,
    ) -> str:  # fmt: skip
        return self.source(py, input, target, weight=weight, pos_weight=pos_weight)

    def onnx(
        self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None = None,
        pos_weight: Ref | None = None,
    ) -> Ref:  # fmt: skip
        kind = input.type.dtype
        one = g.const(1.0, kind)
        tail = softplus(g, g.op("Neg", input))
        if positive := self.factor(g, "pos_weight", pos_weight):
            extra = g.op("Mul", g.op("Sub", positive, one), target, type=input.type)
            tail = g.op("Mul", tail, g.op("Add", extra, one))
        each = g.op("Add", g.op("Mul", g.op("Sub", one, target, type=input.type), input), tail)
        return self.times(g, each, weight)

    examples = (
        example("N 8", "0<=float32<1: N 8"),
        example("N", "0<=float32<1: N", pos_weight=3.0, reduction="sum"),
        example("N 3", "0<=float32<1: N 3", pos_weight=(1.0, 2.0, 3.0), weight=(0.5, 1.0, 2.0)),
        example("N T", "0<=float32<1: N T", "N 1", "T", reduction="none"),
        example("N 3", "0<=float32<1: N 3", "3", reduction="sum"),
    )


@op("BCELoss")
class BCELoss(BinaryLoss):
    """Binary cross entropy of probabilities, `-t log(p) - (1 - t) log(1 - p)`.

    Both logarithms are at least -100, as in PyTorch. `BCEWithLogitsLoss` is the stabler form.

    Shape: `(*), (*) -> ()`, both of one shape and between 0 and 1; with `reduction` `none`: `(*)`.
    """

    function = "binary_cross_entropy"

    def infer(
        self, input: TensorType, target: TensorType, weight: TensorType | None = None
    ) -> TensorType:
        self.check_values(input, target, weight=weight)
        return self.reduced(input)

    def torch(self, py: TorchWriter, input: Code, target: Code, weight: Code | None = None) -> str:
        return self.source(py, input, target, weight=weight)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None = None) -> Ref:
        kind = input.type.dtype
        one, least = g.const(1.0, kind), g.const(-100.0, kind)
        yes = g.op("Max", g.op("Log", input), least)
        no = g.op("Max", g.op("Log", g.op("Sub", one, input, type=input.type)), least)
        no = g.op("Mul", g.op("Sub", target, one), no)
        return self.times(g, g.op("Sub", no, g.op("Mul", target, yes)), weight)

    examples = (
        example("0<=float32<1: N 8", "0<=float32<1: N 8"),
        example("0<=float32<1: N 3", "0<=float32<1: N 3", weight=(0.5, 1.0, 2.0)),
        example("0<=float32<1: N T", "0<=float32<1: N T", "N T", reduction="none"),
        example("0<=float32<1: N", "0<=float32<1: N", reduction="sum"),
    )


@op("SoftMarginLoss")
class SoftMarginLoss(Pairwise):
    """Logistic loss, `log(1 + exp(-target * input))`; targets are -1 or 1.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    function = "soft_margin_loss"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        return self.lowered(g, softplus(g, g.op("Mul", g.op("Neg", target), input)))

    examples = (
        example("N 8", "±float32: N 8"),
        example("N T", "±float32: N T", reduction="none"),
    )


@op("MultiLabelSoftMarginLoss")
class MultiLabelSoftMarginLoss(BinaryLoss):
    """Mean over classes of the binary cross entropy of `sigmoid(input)`.

    Shape: `(*, C), (*, C) -> ()`, both of one shape, the targets floating-point or integers;
    with `reduction` `none`: `(*)`.
    """

    function = "multilabel_soft_margin_loss"

    def infer(
        self, input: TensorType, target: TensorType, weight: TensorType | None = None
    ) -> TensorType:
        counts = target.dtype.is_integer
        self.check_values(
            input, target.with_dtype(input.dtype) if counts else target, weight=weight
        )
        if not input.rank:
            raise OpError("T402", f"`{self.name}` needs an axis of classes, got {input}")
        return self.reduced(input.with_shape(*input.shape[:-1]))

    def torch(self, py: TorchWriter, input: Code, target: Code, weight: Code | None = None) -> str:
        return self.source(py, input, target, weight=weight)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref, weight: Ref | None = None) -> Ref:
        one = g.const(1.0, input.type.dtype)
        target = g.cast(target, input.type.dtype)
        yes = g.op("Mul", target, softplus(g, g.op("Neg", input)))
        no = g.op("Mul", g.op("Sub", one, target, type=input.type), softplus(g, input))
        each = g.op("Add", yes, no)
        if factor := self.factor(g, "weight", weight):
            each = g.op("Mul", each, factor)
        return self.lowered(g, reduced(g, "ReduceMean", each, -1, keepdims=False))

    examples = (
        example("N 8", "0<=float32<1: N 8"),
        example("N 3", "0<=float32<1: N 3", weight=(0.5, 1.0, 2.0), reduction="none"),
        example("N T", "0<=float32<1: N T", "T", reduction="sum"),
        example("N 8", "int64<2: N 8"),
    )
