"""Regularization that acts in training only."""

from __future__ import annotations

from typing import ClassVar, Literal

from specc.ops.activation import as_function
from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Raw,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import require_rank


class TrainingOnly(Op):
    """Base of the operators that do nothing in eval mode."""

    p: float = param(default=0.5, ge=0, le=1, doc="probability of an element to be zeroed")

    check = "exact"
    training_only = True
    function: ClassVar[str]
    """The function that PyTorch has beside the module."""

    def infer(self, input: TensorType) -> TensorType:
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        training = Raw("self.training")
        if self.name[0].isupper():
            return py.apply(f"nn.{self.name}", self.function, input, p=self.p, training=training)
        return py.call(self.function, input, **self.given(), training=training)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return input

    examples = (example("N 8", p=0.2), example("N T 8"))


@op("Dropout")
class Dropout(TrainingOnly):
    """Zeroes elements with probability `p` in training and scales the rest by `1 / (1 - p)`.

    Shape: unchanged. In eval mode it does nothing.
    """

    function = "F.dropout"


class ChannelDropout(TrainingOnly):
    """Base of the dropouts of whole channels."""

    p: float = param(default=0.5, ge=0, le=1, doc="probability of a channel to be zeroed")

    axes: ClassVar[int]

    def infer(self, input: TensorType) -> TensorType:
        require_rank(input, self.axes + 2, self.axes + 1, name=self.name)
        return super().infer(input)


@op("Dropout1d")
class Dropout1d(ChannelDropout):
    """Zeroes whole channels with probability `p` in training and scales the rest.

    Shape: `(N, C, L)` or `(C, L)`, unchanged. In eval mode it does nothing.
    """

    axes = 1
    function = "F.dropout1d"
    examples = (example("N 8 T", p=0.2), example("8 T"))


@op("Dropout2d")
class Dropout2d(ChannelDropout):
    """Zeroes whole channels with probability `p` in training and scales the rest.

    Shape: `(N, C, H, W)`, unchanged. In eval mode it does nothing.
    """

    axes = 2
    function = "F.dropout2d"
    examples = (example("N 8 H W", p=0.2), example("N 3 4 4"))

    def infer(self, input: TensorType) -> TensorType:
        if input.rank != 4:
            # Of 3 axes PyTorch takes the first for the batch, against what its pooling does.
            require_rank(input, 4, name=self.name)
        return super().infer(input)


@op("Dropout3d")
class Dropout3d(ChannelDropout):
    """Zeroes whole channels with probability `p` in training and scales the rest.

    Shape: `(N, C, D, H, W)` or `(C, D, H, W)`, unchanged. In eval mode it does nothing.
    """

    axes = 3
    function = "F.dropout3d"
    examples = (example("N 8 T H W", p=0.2), example("8 T H W"))


@op("AlphaDropout")
class AlphaDropout(TrainingOnly):
    """Dropout that keeps mean and variance, for `SELU` (https://arxiv.org/abs/1706.02515).

    Shape: unchanged. In eval mode it does nothing.
    """

    function = "F.alpha_dropout"


@op("FeatureAlphaDropout")
class FeatureAlphaDropout(TrainingOnly):
    """`AlphaDropout` of whole channels.

    Shape: `(N, C, *)`, unchanged. In eval mode it does nothing.
    """

    p: float = param(default=0.5, ge=0, le=1, doc="probability of a channel to be masked")

    function = "F.feature_alpha_dropout"

    def infer(self, input: TensorType) -> TensorType:
        if input.rank < 2:
            raise OpError("T402", f"`{self.name}` needs a batch axis and channels, got {input}")
        return super().infer(input)


STOCHASTIC_DEPTH = '''
class StochasticDepth(nn.Module):
    """Zeroes whole samples (or, in mode "batch", the batch) in training, and scales the rest."""

    def __init__(self, p, mode):
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        rows = x.shape[0] if self.mode == "row" else 1
        shape = (rows,) + (1,) * (x.ndim - 1)
        kept = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        if self.p < 1:
            kept = kept / (1 - self.p)
        return x * kept
'''


@op("StochasticDepth")
class StochasticDepth(TrainingOnly):
    """Zeroes whole samples in training, so that a residual branch is left out.

    The rest is scaled by `1 / (1 - p)` (https://arxiv.org/abs/1603.09382).

    Shape: `(N, *)`, unchanged. In eval mode it does nothing.
    """

    p: float = param(ge=0, le=1, doc="probability of a sample to be zeroed")
    mode: Literal["batch", "row"] = param(
        doc="`row`: each sample by itself, `batch`: all or none of them"
    )

    def infer(self, input: TensorType) -> TensorType:
        if not input.rank:
            raise OpError("T402", "`StochasticDepth` needs a batch axis")
        return super().infer(input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        py.support(STOCHASTIC_DEPTH)
        return f"{py.layer('StochasticDepth', p=self.p, mode=self.mode)}({input})"

    examples = (
        example("N 8", p=0.2, mode="row"), example("N 3 H W", p=0.0, mode="batch"),
    )  # fmt: skip


for _module, _function in {
    Dropout: "dropout", Dropout1d: "dropout1d", Dropout2d: "dropout2d", Dropout3d: "dropout3d",
    AlphaDropout: "alpha_dropout", FeatureAlphaDropout: "feature_alpha_dropout",
}.items():  # fmt: skip
    as_function(_module, _function)
