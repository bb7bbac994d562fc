"""What training computes in: full precision, or autocast with gradients scaled where it must be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available

from specc.training.batches import Batch
from specc.training.forward import Forward
from specc.training.problems import TrainError

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """The forward pass of training under autocast; the loss itself is computed in float32.

    Small gradients of float16 would vanish, so a scaler multiplies the loss and divides the
    gradients; it leaves out a step whose gradients are not finite.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.device, self.dtype = device.type, DTYPES.get(name)
        if self.dtype and not _supported(self.dtype, self.device):
            raise TrainError("L610", f"`{name}` is not supported on `{self.device}`", "precision")
        self.scaler = torch.amp.GradScaler(self.device) if name == "float16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """What the forward pass runs in."""
        return torch.autocast(self.device, self.dtype) if self.dtype else nullcontext()

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """The loss of a batch."""
        if self.dtype is None:
            return forward.loss(forward.values(batch))
        with self.autocast():
            values = forward.values(batch)
        return forward.loss({name: _widened(value, self.dtype) for name, value in values.items()})

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the weights."""
        scaled = self.scaler.scale(loss) if self.scaler else loss
        scaled.backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer, clip: Callable[[], object] | None) -> None:
        """The optimizer's step, on gradients that are first clipped."""
        if self.scaler is None:
            if clip:
                clip()
            optimizer.step()
            return
        if clip:
            self.scaler.unscale_(optimizer)
            clip()
        self.scaler.step(optimizer)
        self.scaler.update()


def _supported(dtype: torch.dtype, device: str) -> bool:
    if not is_autocast_available(device):
        return False
    return device != "cuda" or dtype != torch.bfloat16 or torch.cuda.is_bf16_supported()


def _widened(value: Tensor, narrow: torch.dtype) -> Tensor:
    return value.float() if value.dtype == narrow else value
