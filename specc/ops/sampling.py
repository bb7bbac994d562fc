"""Random draws, which are made in training only: an exported model gives the same twice."""

from __future__ import annotations

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
)  # fmt: skip
from specc.ops.shapes import broadcast

NORMAL_SAMPLE = '''
def normal_sample(mean, std, training):
    """Draw from normal distributions in training, so that gradients reach both; else the mean."""
    return mean + std * torch.randn_like(mean) if training else mean
'''


@op("normal_sample")
class NormalSample(Op):
    """A draw from normal distributions in training, `mean + std * noise`; in eval mode the mean.

    Gradients reach `mean` and `std` (https://arxiv.org/abs/1312.6114), unlike with
    `torch.normal`. With a number for `std` it adds noise to what it is given. In an exported
    model it does nothing, and what only `std` needs is left out.

    Shape: that of `mean`, to which `std` broadcasts.
    """

    check = "exact"
    training_only = True
    scalars = ("std",)

    def infer(self, mean: TensorType, std: TensorType) -> TensorType:
        for name, kind in (("mean", mean), ("std", std)):
            if not kind.dtype.is_floating and not (kind.weak and name == "std"):
                raise OpError(
                    "T404", f"`{name}` must be floating-point, got {kind.dtype}", input=name
                )
        if not std.weak and std.dtype is not mean.dtype:
            raise OpError("T404", f"`std` must be {mean.dtype}, got {std.dtype}", input="std")
        if broadcast(mean.shape, std.shape) != mean.shape:
            raise OpError("T401", f"`std` {std} does not broadcast to {mean}", input="std")
        return mean

    def torch(self, py: TorchWriter, mean: Code, std: Code) -> str:
        py.support(NORMAL_SAMPLE)
        return f"normal_sample({mean}, {std}, self.training)"

    def onnx(self, g: OnnxBuilder, mean: Ref, std: Ref) -> Ref:
        return mean

    examples = (
        example("N 8", "N 8"), example("N T 8", "N 1 8"), example("N 8", std=0.1),
    )  # fmt: skip
