"""Normalization across neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import product, require_rank


class AcrossChannels(Op):
    """Base of the normalizations across channels: `x / (k + alpha * mean(x²))^beta`."""

    size: int = param(ge=1, doc="how many neighbouring channels count")
    alpha: float = param(default=1e-4, doc="factor of the mean square")
    beta: float = param(default=0.75, doc="exponent of the divisor")
    k: float = param(default=1.0, doc="added to the mean square")

    def floating(self, input: TensorType) -> TensorType:
        """The input; `OpError` unless it holds floating-point values."""
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")
        return input

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        return (self.size + 4) * outputs[0].numel

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{py.layer(f'nn.{self.name}', **self.given())}({input})"


@op("LocalResponseNorm")
class LocalResponseNorm(AcrossChannels):
    """`x / (k + alpha * mean(x²))^beta`, the mean over `size` neighbouring channels.

    Shape: `(N, C, *)` with one axis or more after the channels, unchanged.
    """

    def infer(self, input: TensorType) -> TensorType:
        if input.rank < 3:
            raise OpError("T402", f"`{self.name}` needs 3 dimensions or more, got {input}")
        return self.floating(input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        if self.size % 2 and input.rank == 4:
            return g.op("LRN", input, alpha=self.alpha, beta=self.beta, bias=self.k, size=self.size)
        kind, shape = input.type.dtype, input.type.shape
        # ONNX puts the window of an even size one channel further than PyTorch does.
        planes = (shape[0], 1, shape[1], product(shape[2:]))
        pads = [self.size // 2, 0, (self.size - 1) // 2, 0]
        mean = g.op(
            "AveragePool", g.reshape(g.op("Mul", input, input), planes),
            kernel_shape=[self.size, 1], pads=pads, count_include_pad=1,
        )  # fmt: skip
        base = g.op("Add", g.op("Mul", mean, g.const(self.alpha, kind)), g.const(self.k, kind))
        divisor = g.op("Pow", base, g.const(self.beta, kind))
        quotient = g.op("Div", g.reshape(input, planes), divisor)
        return g.op("Reshape", quotient, g.dims(shape), type=input.type)

    examples = (
        example("N 5 H W", size=3, alpha=0.5),
        example("N 5 H W", size=4, alpha=0.5, beta=0.5, k=2.0),
        example("N 5 T", size=5),
        example("N 5 2 H W", size=3, alpha=1.0),
    )


@op("CrossMapLRN2d")
class CrossMapLRN2d(AcrossChannels):
    """`x / (k + alpha * mean(x²))^beta`, the mean over `size` neighbouring channels.

    From `size` / 2 + 1 channels on, PyTorch's sum also keeps the first channel, whose share it
    never takes away. `LocalResponseNorm` is the newer form, without that.

    Shape: `(N, C, H, W)`, unchanged; `C` must be static.
    """

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, 4, name=self.name)
        input.static(1, "it counts the channels")
        return self.floating(input)

    def _summed(self, channel: int, other: int) -> float:
        reach = (self.size - 1) // 2
        return float((other == 0 and channel > reach) or abs(channel - other) <= reach)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        kind, channels = input.type.dtype, range(input.type.static(1))
        kernel = [[[[self._summed(c, other)]] for other in channels] for c in channels]
        total = g.op("Conv", g.op("Mul", input, input), g.const(kernel, kind))
        scaled = g.op("Mul", total, g.const(self.alpha / self.size, kind))
        base = g.op("Add", scaled, g.const(self.k, kind))
        return g.op("Div", input, g.op("Pow", base, g.const(self.beta, kind)))

    examples = (
        example("N 5 H W", size=3, alpha=0.5), example("N 7 H W", size=4, alpha=0.5, k=2.0),
    )  # fmt: skip
