"""Which number decides what is best, and which way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specc.training.metrics import Metric
from specc.training.problems import TrainError, did_you_mean, listed
from specc.training.settings import Monitor


@dataclass(frozen=True)
class Watched:
    """A score of one part of the data."""

    part: str
    score: str
    mode: str

    def value(self, scores: Mapping[str, Mapping[str, Any]]) -> float:
        """Its value, NaN where it has none."""
        value = scores[self.part][self.score]
        return float(value) if isinstance(value, int | float) else math.nan


def watch(monitor: Monitor, has_val: bool, metrics: Sequence[Metric]) -> Watched:
    """The score that `monitor` names: `val.accuracy`, or `accuracy` for short.

    Without a name it is the loss, of the validation part if there is one. Of the training
    part only the loss is known while training. Raises `TrainError` L603.
    """
    by_name = {metric.name: metric for metric in metrics}
    part = "val" if has_val else "train"
    known = ["train.loss", *(f"val.{name}" for name in ("loss", *by_name) if has_val)]
    name = monitor.name or "loss"
    full = name if "." in name else f"{part}.{name}"
    if full not in known:
        hint = did_you_mean(full, known) or f"known: {listed(known)}"
        raise TrainError("L603", f"there is no score `{name}` to watch", "monitor", hint=hint)
    part, score = full.split(".", 1)
    rises = score in by_name and by_name[score].higher_is_better
    return Watched(part, score, monitor.mode or ("max" if rises else "min"))
