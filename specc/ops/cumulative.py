"""Running sums and products."""

from __future__ import annotations

from specc.ops.arithmetic import require_tensor
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import axis


class Cumulative(Op):
    """Base of the running sums and products."""

    dim: int = param(doc="the axis along which it runs")

    def infer(self, input: TensorType) -> TensorType:
        require_tensor(self.name, input)
        axis(input, self.dim)
        return input if input.dtype.is_floating else input.with_dtype(DType.int64)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.{self.name}", dim=self.dim)


@op("cumsum")
class Cumsum(Cumulative):
    """Running sum along an axis; integers and booleans give `int64`.

    Shape: unchanged.
    """

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        x = g.cast(input, out.dtype)
        return g.op("CumSum", x, g.const(axis(input.type, self.dim)), type=out)

    examples = (
        example("N T", dim=1),
        example("N T 4", dim=-2),
        example("bool: N T", dim=-1),
    )


@op("cumprod")
class Cumprod(Cumulative):
    """Running product along an axis; integers and booleans give `int64`.

    Shape: unchanged. ONNX needs a static size of the axis.
    """

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out, at = self.infer(input.type), axis(input.type, self.dim)
        size = out.shape[at]
        if not isinstance(size, int):
            raise OpError(
                "T407", f"`cumprod` has an ONNX form only for a fixed size, not `{size}`",
                param="dim",
            )  # fmt: skip
        x, step = g.cast(input, out.dtype), 1
        # Each element holds the product of the `step` before it, twice as many in each round
        # (Hillis and Steele 1986).
        while step < size:
            x = g.op("Mul", x, _shifted(g, x, at, size, step), type=out)
            step *= 2
        return x

    examples = (
        example("N 8", dim=1),
        example("N 7 T", dim=-2),
        example("int64: N 5", dim=-1),
        example("N 1", dim=-1),
    )


def _shifted(g: OnnxBuilder, x: Ref, at: int, size: int, step: int) -> Ref:
    """The values moved `step` places along the axis, ones filling the start."""
    shape = list(x.type.shape)
    shape[at] = size - step
    kept = g.op(
        "Slice", x, g.const([0]), g.const([size - step]), g.const([at]),
        type=x.type.with_shape(*shape),
    )  # fmt: skip
    pads = [0] * (2 * x.rank)
    pads[at] = step
    return g.op("Pad", kept, g.const(pads), g.const(1, x.type.dtype), type=x.type)
