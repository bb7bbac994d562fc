"""Distances and similarities of vectors, and the bilinear form."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
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
from specc.ops.shapes import axis, broadcast, product, same_dtype, same_size


def _floating(name: str, *inputs: TensorType) -> None:
    same_dtype(name, *inputs)
    if not inputs[0].dtype.is_floating:
        raise OpError("T404", f"`{name}` needs floating-point values, got {inputs[0].dtype}")


def _without(shape: Sequence[Size], index: int, *, keepdim: bool = False) -> tuple[Size, ...]:
    rest = list(shape)
    rest[index : index + 1] = [1] if keepdim else []
    return tuple(rest)


def _reduced(g: OnnxBuilder, op_type: str, x: Ref, index: int, *, keepdim: bool) -> Ref:
    kind = x.type.with_shape(*_without(x.type.shape, index, keepdim=keepdim))
    if op_type != "ReduceSum" and g.opset < 18:
        return g.op(op_type, x, axes=[index], keepdims=keepdim, type=kind)
    return g.op(op_type, x, g.const([index]), keepdims=keepdim, type=kind)


def onnx_norm(g: OnnxBuilder, x: Ref, p: float, index: int, *, keepdim: bool) -> Ref:
    """`sum(|x|^p)^(1/p)` along one axis, with its limits for 0 and infinity."""
    dtype = x.type.dtype
    named = "ReduceL1" if p == 1 else "ReduceL2" if p == 2 else None
    if named:
        return _reduced(g, named, x, index, keepdim=keepdim)
    if p == 0:
        counted = g.cast(g.cast(x, DType.bool), dtype)
        return _reduced(g, "ReduceSum", counted, index, keepdim=keepdim)
    size = g.op("Abs", x)
    if p == inf:
        return _reduced(g, "ReduceMax", size, index, keepdim=keepdim)
    powers = g.op("Pow", size, g.const(p, dtype))
    return g.op(
        "Pow", _reduced(g, "ReduceSum", powers, index, keepdim=keepdim), g.const(1 / p, dtype)
    )


class Cosine(Op):
    """Base of the module and the function."""

    dim: int = param(default=1, doc="the axis of the vectors")
    eps: float = param(default=1e-8, ge=0, doc="least length that is divided by")

    def infer(self, x1: TensorType, x2: TensorType) -> TensorType:
        _floating(self.name, x1, x2)
        whole = x1.with_shape(*broadcast(x1.shape, x2.shape))
        return x1.with_shape(*_without(whole.shape, axis(whole, self.dim)))

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """Two squared lengths and a scalar product, with the two divisions: 8 per element."""
        x1, x2 = inputs
        assert x1
        assert x2
        return 8 * product(broadcast(x1.shape, x2.shape))

    def onnx(self, g: OnnxBuilder, x1: Ref, x2: Ref) -> Ref:
        whole = x1.type.with_shape(*broadcast(x1.type.shape, x2.type.shape))
        index = axis(whole, self.dim)
        units = [self._unit(g, x, whole, index) for x in (x1, x2)]
        return _reduced(g, "ReduceSum", g.op("Mul", *units, type=whole), index, keepdim=False)

    def _unit(self, g: OnnxBuilder, x: Ref, whole: TensorType, index: int) -> Ref:
        own = index - whole.rank + x.rank
        if own < 0 or x.type.shape[own] != whole.shape[index]:
            # The length is that of the broadcast vector.
            x, own = g.op("Expand", x, g.dims(whole.shape), type=whole), index
        length = _reduced(g, "ReduceL2", x, own, keepdim=True)
        return g.op("Div", x, g.op("Max", length, g.const(self.eps, x.type.dtype)))

    examples = (
        example("N 8", "N 8"),
        example("N 4 T", "N 4 1", dim=-2, eps=1e-6),
        example("N T 8", "8", dim=2),
        example("N T 8", "1 8", dim=0),
        example("N T 8", "T 1", dim=-1),
    )


@op("CosineSimilarity")
class CosineSimilarity(Cosine):
    """Cosine of the angle between vectors, `x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`.

    Shape: both broadcast; the result lacks axis `dim`.
    """

    def torch(self, py: TorchWriter, x1: Code, x2: Code) -> str:
        return py.apply(
            "nn.CosineSimilarity", "F.cosine_similarity", x1, x2, dim=self.dim, eps=self.eps
        )


@op("cosine_similarity")
class CosineSimilarityFunction(Cosine):
    """Cosine of the angle between vectors, `x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`.

    Shape: both broadcast; the result lacks axis `dim`.
    """

    def torch(self, py: TorchWriter, x1: Code, x2: Code) -> str:
        return py.call("F.cosine_similarity", x1, x2, **self.given())


class Pairwise(Op):
    """Base of the module and the function."""

    p: float = param(default=2.0, ge=0, doc="exponent of the norm")
    eps: float = param(default=1e-6, doc="added to every difference")
    keepdim: bool = param(default=False, doc="keep the last axis with size 1")

    def infer(self, x1: TensorType, x2: TensorType) -> TensorType:
        _floating(self.name, x1, x2)
        shape = broadcast(x1.shape, x2.shape)
        if not shape:
            raise OpError("T402", f"`{self.name}` needs at least one axis")
        return x1.with_shape(*_without(shape, len(shape) - 1, keepdim=self.keepdim))

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """A difference, the `eps`, a power and a sum per element."""
        x1, x2 = inputs
        assert x1
        assert x2
        return 4 * product(broadcast(x1.shape, x2.shape))

    def onnx(self, g: OnnxBuilder, x1: Ref, x2: Ref) -> Ref:
        whole = x1.type.with_shape(*broadcast(x1.type.shape, x2.type.shape))
        difference = g.op("Sub", x1, x2, type=whole)
        if self.eps:
            difference = g.op("Add", difference, g.const(self.eps, whole.dtype))
        return onnx_norm(g, difference, self.p, whole.rank - 1, keepdim=self.keepdim)

    examples = (
        example("N 8", "N 8"),
        example("N T 8", "8", p=1.0, keepdim=True),
        example("8", "8", p=3.0, eps=1e-3),
        example("N 8", "1 8", p=inf),
        example("N 8", "N 8", p=0),
    )


@op("PairwiseDistance")
class PairwiseDistance(Pairwise):
    """Length of the difference of two vectors, `norm(x1 - x2 + eps, p)`.

    Shape: both broadcast; the result lacks the last axis.
    """

    def torch(self, py: TorchWriter, x1: Code, x2: Code) -> str:
        return py.apply("nn.PairwiseDistance", "F.pairwise_distance", x1, x2, **{
            name: getattr(self, name) for name in self.params
        })  # fmt: skip


@op("pairwise_distance")
class PairwiseDistanceFunction(Pairwise):
    """Length of the difference of two vectors, `norm(x1 - x2 + eps, p)`.

    Shape: both broadcast; the result lacks the last axis.
    """

    def torch(self, py: TorchWriter, x1: Code, x2: Code) -> str:
        return py.call("F.pairwise_distance", x1, x2, **self.given())


@op("cdist")
class CDist(Op):
    """Distance of every row of one matrix to every row of the other.

    Shape: `(*, P, M), (*, R, M) -> (*, P, R)`; the axes before broadcast.
    """

    p: float = param(default=2.0, ge=0, doc="exponent of the norm")
    compute_mode: Literal[
        "use_mm_for_euclid_dist_if_necessary",
        "use_mm_for_euclid_dist",
        "donot_use_mm_for_euclid_dist",
    ] = param(
        default="use_mm_for_euclid_dist_if_necessary",
        doc="how PyTorch computes it; the exported file always takes differences",
    )

    def infer(self, x1: TensorType, x2: TensorType) -> TensorType:
        for kind in (x1, x2):
            if kind.rank < 2:
                raise OpError("T402", f"`{self.name}` needs at least 2 dimensions, got {kind}")
        _floating(self.name, x1, x2)
        same_size(self.name, (x1, -1), (x2, -1))
        batch = broadcast(x1.shape[:-2], x2.shape[:-2])
        return x1.with_shape(*batch, x1.shape[-2], x2.shape[-2])

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        x1 = inputs[0]
        assert x1
        return 3 * outputs[0].numel * x1.shape[-1]

    def torch(self, py: TorchWriter, x1: Code, x2: Code) -> str:
        return py.call("torch.cdist", x1, x2, **self.given())

    def onnx(self, g: OnnxBuilder, x1: Ref, x2: Ref) -> Ref:
        out, width = self.infer(x1.type, x2.type), x1.type.shape[-1]
        rows = g.op(
            "Unsqueeze", x1, g.const([-2]), type=x1.type.with_shape(*x1.type.shape[:-1], 1, width)
        )
        columns = g.op(
            "Unsqueeze",
            x2,
            g.const([-3]),
            type=x2.type.with_shape(*x2.type.shape[:-2], 1, *x2.type.shape[-2:]),
        )
        difference = g.op("Sub", rows, columns, type=out.with_shape(*out.shape, width))
        return onnx_norm(g, difference, self.p, out.rank, keepdim=False)

    examples = (
        example("N T 8", "N L 8"),
        example("N 4 T 8", "L 8", p=1.0),
        example("N 8", "T 8", p=inf),
        example("N 8", "T 8", p=1.5, compute_mode="donot_use_mm_for_euclid_dist"),
    )


@op("Bilinear")
class Bilinear(Op):
    """Bilinear form, `y_o = x1 @ W_o @ x2 + b_o`.

    Shape: `(*, in1), (*, in2) -> (*, out_features)`; `in1` and `in2` must be static.
    """

    out_features: int = param(ge=1, doc="size of the last output axis")
    bias: bool = param(default=True, doc="add a learned bias")

    inferred = ("in1_features", "in2_features")

    def infer(self, input1: TensorType, input2: TensorType) -> TensorType:
        _floating(self.name, input1, input2)
        input1.static(-1), input2.static(-1)
        if input1.shape[:-1] != input2.shape[:-1]:
            raise OpError("T401", f"`Bilinear` needs equal leading axes, got {input1} and {input2}")
        return input1.with_shape(*input1.shape[:-1], self.out_features)

    def weights(self, input1: TensorType, input2: TensorType) -> Weights:
        sizes = (self.out_features, input1.static(-1), input2.static(-1))
        yield weight("weight", sizes, input1.dtype)
        if self.bias:
            yield weight("bias", (self.out_features,), input1.dtype)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        x1, x2 = inputs
        assert x1
        assert x2
        return outputs[0].numel * (2 * x2.static(-1) * (x1.static(-1) + 1) + self.bias)

    def torch(self, py: TorchWriter, input1: Code, input2: Code) -> str:
        layer = py.layer(
            "nn.Bilinear", in1_features=input1.type.static(-1),
            in2_features=input2.type.static(-1), out_features=self.out_features, bias=self.bias,
        )  # fmt: skip
        return f"{layer}({input1}, {input2})"

    def onnx(self, g: OnnxBuilder, input1: Ref, input2: Ref) -> Ref:
        out = self.infer(input1.type, input2.type)
        lead = "abcdefgh"[: out.rank - 1]
        equation = f"{lead}i,oij,{lead}j->{lead}o"
        made = g.op("Einsum", input1, g.weight("weight"), input2, equation=equation, type=out)
        return g.op("Add", made, g.weight("bias")) if self.bias else made

    examples = (
        example("N 4", "N 5", out_features=3),
        example("N T 4", "N T 5", out_features=1, bias=False),
        example("4", "5", out_features=3),
    )
