"""One step of training: forward, loss, gradients, optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from specc.training.batches import Batch
from specc.training.forward import Forward
from specc.training.precision import Precision

Group = Sequence[tuple[Batch, int]]
"""The batches whose gradients make one step, with their numbers of rows."""


class TrainStep:
    """Lowers the loss of a group of batches by one step of the optimizer.

    Each batch counts by its rows, so that `accumulate` gives the gradient that one large
    batch would.
    """

    def __init__(
        self, forward: Forward, optimizer: torch.optim.Optimizer, precision: Precision,
        clip_grad_norm: float | None,
    ) -> None:  # fmt: skip
        self.forward, self.optimizer, self.precision = forward, optimizer, precision
        self.clip_grad_norm = clip_grad_norm
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._clip = self.clip if clip_grad_norm is not None else None
        self._needs_closure = isinstance(optimizer, torch.optim.LBFGS)

    def __call__(self, group: Group) -> Tensor:
        """The mean loss of the group before the step, still on the device."""
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
        if len(group) == 1:
            loss = self.precision.loss(self.forward, group[0][0])
            self.precision.backward(loss)
            return loss.detach()
        return self._accumulated(group)

    def _accumulated(self, group: Group) -> Tensor:
        rows = sum(n for _, n in group)
        total = None
        for batch, n in group:
            part = self.precision.loss(self.forward, batch) * (n / rows)
            self.precision.backward(part)
            total = part.detach() if total is None else total + part.detach()
        assert total is not None
        return total
