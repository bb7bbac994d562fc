"""What training tells whoever started it. The package itself never prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Scores = Mapping[str, Any]
"""`loss` and the metrics of one part of the data."""


@dataclass(frozen=True)
class RunPlan:
    """What is about to happen."""

    folder: Path
    rows: Mapping[str, int]
    parameters: int
    steps: int
    """How many optimizer steps there are at most."""
    steps_per_epoch: int
    done: int = 0
    """Steps of an earlier run that this one goes on from."""


@dataclass(frozen=True)
class Progress:
    """Where training is, a few times a second."""

    epoch: int
    step: int
    steps: int
    loss: float
    """Mean over the epoch so far."""
    samples_per_second: float


@dataclass(frozen=True)
class EpochRecord:
    """One line of `metrics.jsonl`; its times go into `times.jsonl`."""

    epoch: int
    step: int
    scores: Mapping[str, Scores]
    lr: float
    is_best: bool
    seconds: float
    samples_per_second: float


@dataclass(frozen=True)
class TrainResult:
    """How training went; `metrics` are those of the kept weights on each part of the data."""

    folder: Path
    weights: Path
    metrics: Mapping[str, Scores]
    best_epoch: int | None
    epochs: int
    steps: int
    stopped: str
    """`finished`, `early_stop` or `interrupted`."""
    seconds: float
    samples_per_second: float
    labels: Mapping[str, list[Any]] = field(default_factory=dict)


class Reporter(Protocol):
    """Hears of a run's course."""

    def on_note(self, text: str) -> None:
        """Something worth knowing, at any time: weights loaded, a step that is not compiled."""

    def on_start(self, plan: RunPlan) -> None:
        """Data and model are ready."""

    def on_step(self, progress: Progress) -> None:
        """A few times a second."""

    def on_epoch(self, record: EpochRecord) -> None:
        """After each epoch, evaluated and saved."""

    def on_end(self, result: TrainResult) -> None:
        """Once, unless an error ends the run."""


class Silent:
    """A reporter that says nothing; a base for those that say something."""

    def on_note(self, text: str) -> None:
        """Say nothing."""

    def on_start(self, plan: RunPlan) -> None:
        """Say nothing."""

    def on_step(self, progress: Progress) -> None:
        """Say nothing."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Say nothing."""

    def on_end(self, result: TrainResult) -> None:
        """Say nothing."""
