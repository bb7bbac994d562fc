"""Mean and deviation of what goes into a layer, over the training rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from specc.training.batches import Batches
from specc.training.forward import Forward
from specc.training.ranks import Ranks


class _Captured(Exception):  # noqa: N818 - ends a forward pass early, and is no error
    """Carries a layer's input out of the forward pass."""


class RunningMoments:
    """Count, mean and sum of squared deviations per feature in float64.

    Parts are joined by the pairwise rule of Chan, Golub and LeVeque (1979).
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Shape: `(n, features)`."""
        values = values.double()
        mean = values.mean(0)
        self.join(len(values), mean, (values - mean).square().sum(0))

    def join(self, count: int, mean: Tensor, squares: Tensor) -> None:
        """Count the moments of more rows in."""
        total, delta = self.count + count, mean - self.mean
        self.squares = self.squares + squares + delta.square() * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.count = total

    def deviation(self) -> Tensor:
        """The population's standard deviation, 1 for a feature that never changes."""
        deviation = (self.squares / self.count).sqrt()
        constant = deviation <= 1e-15 * self.mean.abs()
        return torch.where(constant, 1.0, deviation)


def fit_normalization(forward: Forward, layers: Sequence[str], batches: Batches) -> None:
    """Set `mean` and `std` of these layers, one after the other, from all rows.

    A feature is one entry of axis 1. Each layer sees what the ones before it, already
    fitted, make of the rows.
    """
    forward.module.eval()
    for path in layers:
        layer = forward.module.get_submodule(path)
        moments = _moments(forward, layer, batches)
        with torch.no_grad():
            for name, value in (("mean", moments.mean), ("std", moments.deviation())):
                buffer = layer.get_buffer(name)
                buffer.copy_(value.reshape(buffer.shape))


def _moments(forward: Forward, layer: nn.Module, batches: Batches) -> RunningMoments:
    def capture(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _Captured(inputs[0])

    moments = RunningMoments()
    with torch.no_grad(), layer.register_forward_pre_hook(capture):
        for share in batches.ordered():
            try:
                forward.values(share.batch)
            except _Captured as captured:
                x: Tensor = captured.args[0]
                moments.add(x.movedim(1, -1).flatten(0, -2))
    return _joined(moments, batches.ranks)


def _joined(own: RunningMoments, ranks: Ranks) -> RunningMoments:
    """The moments of all ranks' rows."""
    if ranks.alone:
        return own
    joined = RunningMoments()
    for count, mean, squares in ranks.gathered((own.count, own.mean.cpu(), own.squares.cpu())):
        joined.join(count, mean, squares)
    return joined
