"""Losses that measure a predicted distribution against values or another distribution."""

from __future__ import annotations

import math
from typing import Literal

from specc.ops.loss import Loss, Pairwise, needs_floating, same_shape
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import same_dtype


def _where_above(g: OnnxBuilder, x: Ref, limit: float, value: Ref) -> Ref:
    """`value` where `x` is above `limit`, else 0."""
    kind = x.type.dtype
    above = g.op("Greater", x, g.const(limit, kind), type=x.type.with_dtype(DType.bool))
    return g.op("Where", above, value, g.const(0.0, kind), type=x.type)


@op("KLDivLoss")
class KLDivLoss(Pairwise):
    """Kullback-Leibler divergence, `target * (log(target) - input)`.

    `input` holds logarithms of probabilities; `batchmean` is the sum divided by the size of the
    batch, which is the divergence as mathematics defines it.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    reduction: Literal["none", "batchmean", "sum", "mean"] = param(  # type: ignore[assignment]
        default="mean", doc="`mean` or `sum` of all values, `batchmean`: sum over batch size"
    )
    log_target: bool = param(default=False, doc="whether `target` holds logarithms too")

    function = "kl_div"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        if self.log_target:
            each = g.op("Mul", g.op("Exp", target), g.op("Sub", target, input))
        else:
            zero = g.const(0.0, target.type.dtype)
            none = g.op("Equal", target, zero, type=target.type.with_dtype(DType.bool))
            own = g.op("Mul", target, g.op("Log", target))
            own = g.op("Where", none, zero, own, type=target.type)
            each = g.op("Sub", own, g.op("Mul", target, input))
        if self.reduction != "batchmean":
            return self.lowered(g, each)
        total = g.op("ReduceSum", each, keepdims=0, type=each.type.with_shape())
        if not input.rank:
            return total
        rows = g.op("Squeeze", g.dims(input.type.shape[:1]), type=TensorType(DType.int64, ()))
        return g.op("Div", total, g.cast(rows, total.type.dtype))

    examples = (
        example("N 8", "0<=float32<1: N 8"),
        example("N T", "N T", log_target=True, reduction="batchmean"),
        example("3 T", "0<=float32<1: 3 T", reduction="batchmean"),
        example("N T", "0<=float32<1: N T", reduction="none"),
        example("N T", "N T", reduction="none"),
        example("", "0<=float32<1:", reduction="batchmean"),
    )


@op("PoissonNLLLoss")
class PoissonNLLLoss(Pairwise):
    """Negative log likelihood of counts under a Poisson distribution: `exp(x) - t x`.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    log_input: bool = param(default=True, doc="whether `input` is the logarithm of the rate")
    full: bool = param(default=False, doc="add Stirling's form of `log(t!)` where `t` is above 1")
    eps: float = param(default=1e-8, ge=0, doc="added to a rate before its logarithm")

    function = "poisson_nll_loss"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        kind = input.type.dtype
        if self.log_input:
            each = g.op("Sub", g.op("Exp", input), g.op("Mul", target, input))
        else:
            logs = g.op("Log", g.op("Add", input, g.const(self.eps, kind)))
            each = g.op("Sub", input, g.op("Mul", target, logs))
        if self.full:
            each = g.op("Add", each, self._stirling(g, target))
        return self.lowered(g, each)

    def _stirling(self, g: OnnxBuilder, t: Ref) -> Ref:
        """`t log(t) - t + log(2 pi t) / 2`."""
        kind = t.type.dtype
        main = g.op("Sub", g.op("Mul", t, g.op("Log", t)), t)
        tail = g.op("Log", g.op("Mul", t, g.const(2 * math.pi, kind)))
        tail = g.op("Mul", tail, g.const(0.5, kind))
        return _where_above(g, t, 1.0, g.op("Add", main, tail))

    examples = (
        example("N 8", "0<=float32<4: N 8"),
        example("N T", "0<=float32<4: N T", full=True, reduction="none"),
        example("0<=float32<2: N", "0<=float32<4: N", log_input=False, reduction="sum"),
    )


@op("GaussianNLLLoss")
class GaussianNLLLoss(Loss):
    """Negative log likelihood under normal distributions: `(log(var) + (x - t)² / var) / 2`.

    Shape: `(*), (*), (*) -> ()`; `var` may have size 1 along one axis, or lack the last one. With
    `reduction` `none`: `(*)`.
    """

    full: bool = param(default=False, doc="add the constant `log(2 pi) / 2`")
    eps: float = param(default=1e-6, gt=0, doc="the least variance")

    function = "gaussian_nll_loss"

    def infer(self, input: TensorType, target: TensorType, var: TensorType) -> TensorType:
        for name, kind in (("input", input), ("target", target), ("var", var)):
            needs_floating(self.name, kind, name)
        same_dtype(self.name, input, target, var)
        same_shape(self.name, input, target)
        if var.shape != input.shape[:-1] and not self._fits(input, var):
            same_shape(self.name, input, var, "var")
        return self.reduced(input)

    def _fits(self, input: TensorType, var: TensorType) -> bool:
        """Whether at most one axis of `var` differs, and that has size 1."""
        if var.rank != input.rank:
            return False
        other = [b for a, b in zip(input.shape, var.shape, strict=True) if a != b]
        return other in ([], [1])

    def torch(self, py: TorchWriter, input: Code, target: Code, var: Code) -> str:
        return self.source(py, input, target, var)

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref, var: Ref) -> Ref:
        kind = input.type.dtype
        if var.rank < input.rank:
            column = var.type.with_shape(*var.type.shape, 1)
            var = g.op("Unsqueeze", var, g.const([-1]), type=column)
        safe = g.op("Max", var, g.const(self.eps, kind))
        gap = g.op("Sub", input, target)
        ratio = g.op("Div", g.op("Mul", gap, gap), safe)
        both = g.op("Add", g.op("Log", safe), ratio, type=input.type)
        each = g.op("Mul", both, g.const(0.5, kind))
        if self.full:
            each = g.op("Add", each, g.const(math.log(2 * math.pi) / 2, kind))
        return self.lowered(g, each)

    examples = (
        example("N 8", "N 8", "0<=float32<1: N 8"),
        example("N T", "N T", "0<=float32<1: N 1", full=True),
        example("N T", "N T", "0<=float32<1: N", reduction="none", eps=0.3),
        example("N 4 T", "N 4 T", "0<=float32<1: N 1 T"),
    )
