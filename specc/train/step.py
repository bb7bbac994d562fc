"""One step of training: forward, loss, gradients, optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from specc.train.batches import Batch

Group = Sequence[tuple[Batch, int]]
"""The batches whose gradients make one step, with their numbers of rows."""


@dataclass(frozen=True)
class Forward:
    """A model and its loss, by the names that the spec gives to tensors."""

    module: nn.Module
    loss_module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    loss_inputs: tuple[str, ...]

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """The batch and the model's outputs, which win where names are the same."""
        result = self.module(*[batch[name] for name in self.inputs])
        if isinstance(result, dict):
            return {**batch, **result}
        return {**batch, self.outputs[0]: result}

    def loss(self, values: Mapping[str, Tensor]) -> Tensor:
        """The loss of these values, a scalar."""
        loss: Tensor = self.loss_module(**{name: values[name] for name in self.loss_inputs})
        return loss


class TrainStep:
    """Lowers the loss of a group of batches by one step of the optimizer.

    Each batch counts by its rows, so that `accumulate` gives the gradient that one large
    batch would.
    """

    def __init__(
        self, forward: Forward, optimizer: torch.optim.Optimizer, clip_grad_norm: float | None
    ) -> None:
        self.forward, self.optimizer, self.clip = forward, optimizer, clip_grad_norm
        groups = optimizer.param_groups
        self._parameters = [p for group in groups for p in group["params"]]
        self._needs_closure = isinstance(optimizer, torch.optim.LBFGS)

    def __call__(self, group: Group) -> Tensor:
        """The mean loss of the group before the step, still on the device."""
        if self._needs_closure:
            first: list[Tensor] = []

            def closure() -> Tensor:
                first.append(self._gradients(group))
                return first[-1]

            self.optimizer.step(closure)  # type: ignore[arg-type]
            return first[0]
        loss = self._gradients(group)
        self.optimizer.step()
        return loss

    def _gradients(self, group: Group) -> Tensor:
        # What `zero_grad` does, without its bookkeeping.
        for parameter in self._parameters:
            parameter.grad = None
        if len(group) == 1:
            loss = self._loss(group[0][0])
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        else:
            loss = self._accumulated(group)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.clip)
        return loss

    def _accumulated(self, group: Group) -> Tensor:
        rows = sum(n for _, n in group)
        total = None
        for batch, n in group:
            part = self._loss(batch) * (n / rows)
            part.backward()  # type: ignore[no-untyped-call]
            total = part.detach() if total is None else total + part.detach()
        assert total is not None
        return total

    def _loss(self, batch: Batch) -> Tensor:
        return self.forward.loss(self.forward.values(batch))
