"""A model with its loss: what a step of training lowers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from specc.training.batches import Batch


@dataclass(frozen=True)
class Forward:
    """A model and its loss, by the names that the spec gives to tensors."""

    module: nn.Module
    loss_module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    loss_inputs: tuple[str, ...]
    trained: Callable[..., Any] | None = None
    """What training calls in place of `module`: compiled, or with gradients exchanged."""
    memory_format: torch.memory_format | None = None
    """How images, inputs of four axes, lie in memory; None leaves them as they are."""
    adds_up: bool = False
    """Whether the loss of a batch is the sum over its rows, as by `reduction: sum`."""

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """The batch and the model's outputs, which win where names are the same."""
        call = self.trained if self.trained and self.module.training else self.module
        result = call(*[self._laid_out(batch[name]) for name in self.inputs])
        if isinstance(result, dict):
            return {**batch, **result}
        return {**batch, self.outputs[0]: result}

    def _laid_out(self, tensor: Tensor) -> Tensor:
        if self.memory_format is None or tensor.ndim != 4:
            return tensor
        return tensor.contiguous(memory_format=self.memory_format)

    def loss(self, values: Mapping[str, Tensor]) -> Tensor:
        """The loss of these values, a scalar."""
        loss: Tensor = self.loss_module(**{name: values[name] for name in self.loss_inputs})
        return loss

    def part(self, rows: int, whole: int) -> float:
        """What some rows count in the loss of all: a mean by their share, a sum in full."""
        return 1.0 if self.adds_up else rows / whole
