"""A model with its loss: what a step of training lowers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
    compiled: Callable[..., Any] | None = None
    """What training calls in place of `module`, if it is compiled."""

    def values(self, batch: Batch) -> dict[str, Tensor]:
        """The batch and the model's outputs, which win where names are the same."""
        call = self.compiled if self.compiled and self.module.training else self.module
        result = call(*[batch[name] for name in self.inputs])
        if isinstance(result, dict):
            return {**batch, **result}
        return {**batch, self.outputs[0]: result}

    def loss(self, values: Mapping[str, Tensor]) -> Tensor:
        """The loss of these values, a scalar."""
        loss: Tensor = self.loss_module(**{name: values[name] for name in self.loss_inputs})
        return loss
