"""Losses of triplets: an anchor must be nearer to its like than to another."""

from __future__ import annotations

from specc.ops.loss import Loss, needs_floating, same_shape
from specc.ops.op import (
    Code,
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


class Triplet(Loss):
    """Base of the losses of triplets: `max(0, margin + d(a, p) - d(a, n))`."""

    margin: float = param(default=1.0, gt=0, doc="how much nearer the positive must be")
    swap: bool = param(
        default=False, doc="measure from the positive where it is nearer to the negative"
    )

    def infer(self, anchor: TensorType, positive: TensorType, negative: TensorType) -> TensorType:
        needs_floating(self.name, anchor, "anchor")
        if not anchor.rank:
            raise OpError("T402", f"`{self.name}` needs vectors, got {anchor}")
        same_dtype(self.name, anchor, positive, negative)
        for name, kind in (("positive", positive), ("negative", negative)):
            if kind.shape != anchor.shape:
                same_shape(self.name, anchor, kind, name)
        return self.reduced(anchor.with_shape(*anchor.shape[:-1]))

    def torch(self, py: TorchWriter, anchor: Code, positive: Code, negative: Code) -> str:
        return self.source(py, anchor, positive, negative)

    def onnx_distance(self, g: OnnxBuilder, a: Ref, b: Ref, p: float, eps: float) -> Ref:
        """The norm of `a - b + eps` along the last axis."""
        kind = a.type.dtype
        gap = g.op("Add", g.op("Sub", a, b), g.const(eps, kind))
        if p in (1, 2):
            return reduced(g, f"ReduceL{p:.0f}", gap, -1, keepdims=False)
        powers = g.op("Pow", g.op("Abs", gap), g.const(p, kind))
        total = reduced(g, "ReduceSum", powers, -1, keepdims=False)
        return g.op("Pow", total, g.const(1 / p, kind))

    def onnx_triplet(
        self, g: OnnxBuilder, anchor: Ref, positive: Ref, negative: Ref, p: float, eps: float
    ) -> Ref:
        """The loss by distances with exponent `p`."""
        near = self.onnx_distance(g, anchor, positive, p, eps)
        far = self.onnx_distance(g, anchor, negative, p, eps)
        if self.swap:
            far = g.op("Min", far, self.onnx_distance(g, positive, negative, p, eps))
        ahead = g.op("Add", g.op("Sub", near, far), g.const(self.margin, near.type.dtype))
        return self.lowered(g, g.op("Relu", ahead))


@op("TripletMarginLoss")
class TripletMarginLoss(Triplet):
    """`max(0, margin + |a - p| - |a - n|)`: the anchor `a` is nearer to `p` than to `n`.

    Shape: `(N, D), (N, D), (N, D) -> ()`, all of one shape; with `reduction` `none`: `(N)`.
    """

    p: float = param(default=2.0, gt=0, doc="exponent of the distance")
    eps: float = param(default=1e-6, ge=0, doc="added to the differences")

    function = "triplet_margin_loss"

    def onnx(self, g: OnnxBuilder, anchor: Ref, positive: Ref, negative: Ref) -> Ref:
        return self.onnx_triplet(g, anchor, positive, negative, self.p, self.eps)

    examples = (
        example("N 8", "N 8", "N 8"),
        example("N T", "N T", "N T", swap=True, p=1.0, reduction="none"),
        example("8", "8", "8", margin=0.5, p=3.0),
        example("N 8", "N 8", "N 8", swap=True, margin=2.0, reduction="sum"),
    )


@op("TripletMarginWithDistanceLoss")
class TripletMarginWithDistanceLoss(Triplet):
    """`max(0, margin + d(a, p) - d(a, n))` with PyTorch's default distance, the Euclidean.

    A `distance_function` of one's own is not data, so a spec cannot give it; write the formula
    out as `layers` instead.

    Shape: `(N, D), (N, D), (N, D) -> ()`, all of one shape; with `reduction` `none`: `(N)`.
    """

    function = "triplet_margin_with_distance_loss"

    def onnx(self, g: OnnxBuilder, anchor: Ref, positive: Ref, negative: Ref) -> Ref:
        return self.onnx_triplet(g, anchor, positive, negative, 2, 1e-6)

    examples = (
        example("N 8", "N 8", "N 8"),
        example("N T", "N T", "N T", swap=True, margin=2.0, reduction="none"),
    )
