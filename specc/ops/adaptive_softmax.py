"""Softmax over very many classes, the rare ones in clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from specc.ops.loss import needs_floating
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
from specc.ops.shapes import require_rank
from specc.ops.spatial import reduced


@op("AdaptiveLogSoftmaxWithLoss")
class AdaptiveLogSoftmaxWithLoss(Op):
    """Log probability of the target among many classes (https://arxiv.org/abs/1609.04309).

    Classes are numbered by falling frequency; those from a cutoff on share a smaller projection.

    Shape: `(N, in)` and int64 class indices `(N)` `-> output (N), loss ()`, or `(in)` and `()`;
    `in` must be static.
    """

    n_classes: int = param(ge=2, doc="how many classes there are")
    cutoffs: tuple[int, ...] = param(doc="the first class of each cluster, rising")
    div_value: float = param(default=4.0, gt=0, doc="by what the width shrinks from one cluster on")
    head_bias: bool = param(default=False, doc="add a learned bias to the frequent classes")

    inferred = ("in_features",)

    def infer(self, input: TensorType, target: TensorType) -> dict[str, TensorType]:
        require_rank(input, 2, 1, name=self.name)
        needs_floating(self.name, input, "input")
        input.static(-1, "it is the size of the features")
        if target.dtype is not DType.int64:
            raise OpError(
                "T404", f"`target` holds int64 class indices, got {target.dtype}", input="target"
            )
        if target.shape != input.shape[:-1]:
            raise OpError(
                "T401", f"`target` {target} must have one class per row of {input}", input="target"
            )
        self._check_cutoffs()
        return {
            "output": input.with_shape(*input.shape[:-1]), "loss": input.with_shape(),
        }  # fmt: skip

    def _check_cutoffs(self) -> None:
        rising = (0, *self.cutoffs, self.n_classes)
        if not self.cutoffs or any(a >= b for a, b in pairwise(rising)):
            raise OpError(
                "S103", f"`cutoffs` must rise from above 0 to below {self.n_classes}",
                param="cutoffs",
            )  # fmt: skip

    def _clusters(self, input: TensorType) -> Iterator[tuple[int, int]]:
        """Width and number of classes of each cluster."""
        ends = (*self.cutoffs[1:], self.n_classes)
        for i, (low, high) in enumerate(zip(self.cutoffs, ends, strict=True)):
            yield int(input.static(-1) // self.div_value ** (i + 1)), high - low

    def weights(self, input: TensorType, *_: TensorType | None) -> Weights:
        features, kind = input.static(-1), input.dtype
        head = self.cutoffs[0] + len(self.cutoffs)
        yield weight("head.weight", (head, features), kind)
        if self.head_bias:
            yield weight("head.bias", (head,), kind)
        for i, (width, classes) in enumerate(self._clusters(input)):
            yield weight(f"tail.{i}.0.weight", (width, features), kind)
            yield weight(f"tail.{i}.1.weight", (classes, width), kind)

    def index_bounds(self, *_: TensorType | None) -> dict[str, tuple[int, int]]:
        return {"target": (0, self.n_classes)}

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        x = inputs[0]
        assert x
        sizes = sum(w.type.shape[0] * w.type.shape[1] for w in self.weights(x) if w.type.rank == 2)
        return 2 * sizes * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code, target: Code) -> str:
        layer = py.layer(
            f"nn.{self.name}", in_features=input.type.static(-1), n_classes=self.n_classes,
            cutoffs=self.cutoffs, **self.given("div_value", "head_bias"),
        )  # fmt: skip
        return f"{layer}({input}, {target})"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> tuple[Ref, Ref]:
        out, kind = self.infer(input.type, target.type)["output"], input.type.dtype
        logs = self._all_classes(g, input)
        column = out.with_shape(*out.shape, 1)
        index = g.op("Unsqueeze", target, g.const([-1]), type=column.with_dtype(DType.int64))
        picked = g.op("GatherElements", logs, index, axis=input.rank - 1, type=column)
        output = g.op("Squeeze", picked, g.const([-1]), type=out)
        axes = range(output.rank)
        mean = reduced(g, "ReduceMean", output, *axes, keepdims=False) if output.rank else output
        return output, g.op("Neg", mean, type=TensorType(kind, ()))

    def _linear(self, g: OnnxBuilder, x: Ref, name: str) -> Ref:
        kernel = g.transposed(g.weight(name))
        out = x.type.with_shape(*x.type.shape[:-1], kernel.type.shape[-1])
        return g.op("MatMul", x, kernel, type=out)

    def _all_classes(self, g: OnnxBuilder, x: Ref) -> Ref:
        """The log probabilities of all classes."""
        head = self._linear(g, x, "head.weight")
        if self.head_bias:
            head = g.op("Add", head, g.weight("head.bias"))
        head = g.op("LogSoftmax", head, axis=-1)
        lead, count = x.type.shape[:-1], len(self.cutoffs)
        sizes = [self.cutoffs[0], *[1] * count]
        kinds = [x.type.with_shape(*lead, size) for size in sizes]
        frequent, *clusters = g.ops("Split", head, g.const(sizes), types=kinds, axis=-1)
        parts = [frequent]
        for i, cluster in enumerate(clusters):
            narrow = self._linear(g, x, f"tail.{i}.0.weight")
            own = g.op("LogSoftmax", self._linear(g, narrow, f"tail.{i}.1.weight"), axis=-1)
            parts.append(g.op("Add", own, cluster))
        return g.op("Concat", *parts, axis=-1, type=x.type.with_shape(*lead, self.n_classes))

    examples = (
        example("N 16", "int64<20: N", n_classes=20, cutoffs=(5, 10)),
        example("N 16", "int64<9: N", n_classes=9, cutoffs=(2,), head_bias=True, div_value=2.0),
        example("8", "int64<9:", n_classes=9, cutoffs=(3, 6), div_value=2),
    )
