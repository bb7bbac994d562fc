"""An exponential moving average of the weights, which is evaluated and kept in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from specc.training.tree import local


class Ema:
    """After each step ``average = decay * average + (1 - decay) * weight``.

    Floating-point buffers (the statistics of a batch normalization) are averaged as well, so
    that they fit the weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        state = module.state_dict(keep_vars=True).values()
        unique = {id(t): t for t in state if t.is_floating_point()}
        self._live = [t.detach() for t in unique.values()]
        self.average = [t.clone() for t in self._live]
        self._live_pieces = [local(t) for t in self._live]
        self._pieces = [local(t) for t in self.average]

    @torch.no_grad()
    def update(self) -> None:
        """Count the weights as they are in."""
        torch._foreach_lerp_(self._pieces, self._live_pieces, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the average in place of its weights while this is entered."""
        trained = [t.clone() for t in self._live]
        self._put(self._live, self.average)
        try:
            yield
        finally:
            self._put(self._live, trained)

    def load(self, average: Sequence[Tensor]) -> None:
        """Go on from an average that was kept."""
        self._put(self.average, average)

    def take_over(self) -> None:
        """Leave the average in the model for good."""
        self._put(self._live, self.average)

    def restart(self) -> None:
        """Begin anew with the weights as they are."""
        self._put(self.average, self._live)

    @staticmethod
    @torch.no_grad()
    def _put(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)
