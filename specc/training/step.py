"""One step of training: forward, loss, gradients, optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from specc.training.batches import Share
from specc.training.forward import Forward
from specc.training.precision import Precision
from specc.training.replicas import Replicas

Group = Sequence[Share]
"""This rank's shares of the batches whose gradients make one step."""


class TrainStep:
    """Lowers the loss of a group of batches by one step of the optimizer.

    Each share of a batch counts by its rows, so that `accumulate` and any number of ranks
    give the gradient that one large batch would.
    """

    def __init__(
        self, forward: Forward, optimizer: torch.optim.Optimizer, precision: Precision,
        clip_grad_norm: float | None, weights: Replicas,
    ) -> None:  # fmt: skip
        self.forward, self.optimizer, self.precision = forward, optimizer, precision
        self.weights, self.ranks = weights, weights.ranks.size
        self.clip_grad_norm = clip_grad_norm
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._clip = self.clip if clip_grad_norm is not None else None
        self._needs_closure = isinstance(optimizer, torch.optim.LBFGS)

    def __call__(self, group: Group) -> Tensor:
        """The loss before the step, still on the device; what counts is the mean over ranks."""
        if self._needs_closure:
            return self._closure_step(group)
        loss = self.gradients(group)
        self.precision.step(self.optimizer, self._clip)
        return loss

    def _closure_step(self, group: Group) -> Tensor:
        first: list[Tensor] = []

        def closure() -> Tensor:
            first.append(self.gradients(group))
            if self._clip:
                self._clip()
            return first[-1]

        self.optimizer.step(closure)  # type: ignore[arg-type]
        return first[0]

    def clip(self) -> None:
        """Scale the gradients down to the greatest norm allowed."""
        assert self.clip_grad_norm is not None
        nn.utils.clip_grad_norm_(self.parameters, self.clip_grad_norm)

    def gradients(self, group: Group) -> Tensor:
        """Compute the gradients of a group, and no step."""
        # What `zero_grad` does, without its bookkeeping.
        for parameter in self.parameters:
            parameter.grad = None
        if len(group) == 1 and self._weight(group[0], group[0].whole) == 1:
            loss = self.precision.loss(self.forward, group[0].batch)
            self.precision.backward(loss)
            return loss.detach()
        return self._weighted(group)

    def _weighted(self, group: Group) -> Tensor:
        rows = sum(share.whole for share in group)
        total = None
        for share in group:
            with self.weights.summing(last=share is group[-1]):
                loss = self.precision.loss(self.forward, share.batch)
                part = loss * self._weight(share, rows)
                self.precision.backward(part)
            total = part.detach() if total is None else total + part.detach()
        assert total is not None
        return total

    def _weight(self, share: Share, rows: int) -> float:
        """Of a share's loss in that of `rows`, before gradients are averaged over the ranks."""
        return self.forward.part(share.rows, rows) * self.ranks
