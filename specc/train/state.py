"""Where a run is: all that decides how it goes on, apart from weights and optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Best:
    """The best value of a monitored number so far, and for how many epochs there was no better."""

    value: float | None = None
    epoch: int | None = None
    stale: int = 0

    def offer(self, value: float, epoch: int, mode: str, min_delta: float = 0.0) -> bool:
        """Whether the value is the best so far; it is kept if it is."""
        sign = 1.0 if mode == "max" else -1.0
        better = math.isfinite(value) and (
            self.value is None or sign * (value - self.value) > min_delta
        )
        if better:
            self.value, self.epoch, self.stale = value, epoch, 0
        else:
            self.stale += 1
        return better


@dataclass
class LoopState:
    """Counters of the loop and the running sum of an unfinished epoch's loss."""

    epoch: int = 0
    """Epochs that are complete."""
    batch: int = 0
    """Batches of the current epoch that are used up."""
    step: int = 0
    """Optimizer steps."""
    rows: int = 0
    """Rows of the current epoch that are used up."""
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    best: Best = field(default_factory=Best)
    patience: Best = field(default_factory=Best)

    def next_epoch(self) -> None:
        """Count the epoch as complete."""
        self.epoch += 1
        self.batch = self.rows = 0
        self.loss_sum.zero_()

    def to_plain(self) -> dict[str, Any]:
        """A tree of plain values and tensors."""
        return {**asdict(self), "loss_sum": self.loss_sum.clone()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], device: torch.device) -> LoopState:
        """The state that `to_plain` described."""
        best, patience = Best(**plain["best"]), Best(**plain["patience"])
        loss_sum = plain["loss_sum"].to(device)
        return cls(**{**plain, "best": best, "patience": patience, "loss_sum": loss_sum})
