"""Normalization by the statistics of the data, and to unit length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Raw,
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
from specc.ops.shapes import axis
from specc.ops.spatial import reduced

NORMALIZATION = '''
class Normalization(nn.Module):
    """Shifts and scales each feature by the mean and deviation of the training data."""

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def forward(self, x):
        return (x - self.mean) / self.std
'''

GIVEN_NORMALIZATION = '''
class GivenNormalization(nn.Module):
    """Shifts and scales each feature by a given mean and deviation; `axes` follow the features."""

    def __init__(self, mean, std, axes=0):
        super().__init__()
        shape = (-1,) + (1,) * axes
        self.register_buffer("mean", torch.tensor(mean).view(shape))
        self.register_buffer("std", torch.tensor(std).view(shape))

    def forward(self, x):
        return (x - self.mean) / self.std
'''


@op("Normalization")
class Normalization(Op):
    """`(x - mean) / std` per feature (axis 1), with statistics of the training data.

    Part of the exported graph, so that the ONNX file takes raw values. Statistics that are
    known beforehand are given as lists.

    Shape: `(N, C, *)`, unchanged; `C` must be static.
    """

    stats: Literal["data"] | None = param(
        default="data",
        doc="`data`: learned from the training split before the first step, unless given",
    )
    mean: tuple[float, ...] | None = param(default=None, doc="the mean of each feature")
    std: tuple[float, ...] | None = param(default=None, doc="the deviation of each feature")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        if self.mean is not None:
            self.__dict__["stats"] = None

    def _shape(self, input: TensorType) -> tuple[int, ...]:
        """One value per feature, in the shape that broadcasts over the axes after it."""
        if input.rank < 2:
            raise OpError("T402", f"`Normalization` needs a batch axis and features, got {input}")
        return (input.static(1, "it counts the features"),) + (1,) * (input.rank - 2)

    def infer(self, input: TensorType) -> TensorType:
        count = self._shape(input)[0]
        if not input.dtype.is_floating:
            raise OpError(
                "T404", f"`Normalization` needs floating-point values, got {input.dtype}",
                hint='give the input `"dtype": "float32"`',
            )  # fmt: skip
        if self.stats is None:
            self._check_given(count)
        elif self.std is not None:
            raise OpError("S102", "`Normalization` with `std` needs `mean`", param="std")
        return input

    def _check_given(self, count: int) -> None:
        for name in ("mean", "std"):
            values = self.__dict__[name]
            if values is None:
                raise OpError("S102", f"`Normalization` needs `{name}`", hint="a value per feature")
            if len(values) != count:
                raise OpError(
                    "T401", f"`{name}` has {len(values)} values for {count} features", param=name
                )
        if 0 in (self.std or ()):
            raise OpError("S103", "a deviation of zero cannot be divided by", param="std")

    def weights(self, input: TensorType) -> Weights:
        yield weight("mean", self._shape(input), input.dtype, buffer=True)
        yield weight("std", self._shape(input), input.dtype, buffer=True)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return 2 * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        shape = self._shape(input.type)
        if self.mean is not None and self.std is not None:
            py.support(GIVEN_NORMALIZATION)
            mean, std = (Raw([float(v) for v in values]) for values in (self.mean, self.std))
            behind = {"axes": len(shape) - 1} if len(shape) > 1 else {}
            return f"{py.layer('GivenNormalization', means=mean, stds=std, **behind)}({input})"
        py.support(NORMALIZATION)
        layer = py.layer("Normalization", shape=shape[0] if len(shape) == 1 else shape)
        return f"{layer}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op("Div", g.op("Sub", input, g.weight("mean")), g.weight("std"))

    examples = (
        example("N 8"),
        example("N 3 H W"),
        example("N 3 H W", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        example("N 2", mean=(1, 2), std=(0.5, 4)),
    )


@op("normalize")
class Normalize(Op):
    """`x / max(norm(x), eps)` along one axis: vectors of length one.

    Shape: unchanged.
    """

    p: float = param(default=2.0, gt=0, doc="the exponent of the norm")
    dim: int = param(default=1, doc="the axis of the vectors")
    eps: float = param(default=1e-12, ge=0, doc="the least length to divide by")

    def infer(self, input: TensorType) -> TensorType:
        axis(input, self.dim)
        if not input.dtype.is_floating:
            raise OpError("T404", f"`normalize` needs floating-point values, got {input.dtype}")
        return input

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return 3 * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("F.normalize", input, **self.given())

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        length = g.op("Max", self._norm(g, input), g.const(self.eps, input.type.dtype))
        return g.op("Div", input, length)

    def _norm(self, g: OnnxBuilder, x: Ref) -> Ref:
        if self.p in (1, 2):
            return reduced(g, f"ReduceL{self.p:.0f}", x, self.dim)
        size = g.op("Abs", x)
        if math.isinf(self.p):
            return reduced(g, "ReduceMax", size, self.dim)
        kind = x.type.dtype
        total = reduced(g, "ReduceSum", g.op("Pow", size, g.const(self.p, kind)), self.dim)
        return g.op("Pow", total, g.const(1 / self.p, kind))

    examples = (
        example("N 8"), example("N T 4", dim=-1, p=1.0), example("N 8", p=3, dim=0),
        example("N T 4", dim=2, eps=2.0),
    )  # fmt: skip
