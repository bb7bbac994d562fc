"""Where a run is: all that decides how it goes on, apart from weights and optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from specc.training.ranks import ALONE, Ranks


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
    loss_sum: float = 0.0
    best: Best = field(default_factory=Best)
    patience: Best = field(default_factory=Best)

    def next_epoch(self) -> None:
        """Count the epoch as complete."""
        self.epoch += 1
        self.batch = self.rows = 0
        self.loss_sum = 0.0

    def to_plain(self) -> dict[str, Any]:
        """A tree of plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> LoopState:
        """The state that `to_plain` described."""
        best, patience = Best(**plain["best"]), Best(**plain["patience"])
        return cls(**{**plain, "best": best, "patience": patience})


class LossSum:
    """Losses of steps that are still on the device, added up without waiting for each one.

    They are added one by one in the order of the steps, so that the sum doesn't depend on
    when it was asked for. Each rank adds its own, and their mean is what counts.
    """

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._losses: list[Tensor] = []
        self._rows: list[int] = []
        self.drained = 0
        self.first_bad: int | None = None
        """Which of all losses was the first that is not finite, counted from 0."""

    def add(self, loss: Tensor, rows: int) -> None:
        """Count a step's mean loss in."""
        self._losses.append(loss)
        self._rows.append(rows)

    def drain(self, total: float) -> float:
        """`total` and the sum over rows of what came since the last call."""
        if self._losses:
            own = torch.stack(self._losses)
            losses = own.tolist() if self._ranks.alone else self._means(own).tolist()
            for loss, rows in zip(losses, self._rows, strict=True):
                if self.first_bad is None and not math.isfinite(loss):
                    self.first_bad = self.drained
                total += loss * rows
                self.drained += 1
            self._losses.clear()
            self._rows.clear()
        return total

    def _means(self, own: Tensor) -> Tensor:
        return self._ranks.summed(own.double()) / self._ranks.size
