"""When the loop looks up from training: to report, to save, to stop."""

from __future__ import annotations

import time
from typing import NamedTuple

from specc.training.interrupt import StopRequest
from specc.training.ranks import Ranks

REPORT_SECONDS = 0.25
SAVE_SECONDS = 300.0
"""Within an epoch, a checkpoint is due this long after the last one."""


class Pause(NamedTuple):
    """What is due now, the same on every rank."""

    report: bool
    save: bool


class Pace:
    """Looks at the clock after each step; ranks do so together, as often as reports are due.

    Each rank by itself would see another time, and stop at another step. So they agree on
    the step at which they look next, and there on what is due: by the first rank's clock, and
    whether any of them was asked to stop.
    """

    def __init__(self, ranks: Ranks, request: StopRequest) -> None:
        self.ranks, self.request = ranks, request
        self.stopping = False
        self._next, self._seen = 0, (0, time.perf_counter())
        self._reported = self._saved = time.perf_counter()

    def saved(self) -> None:
        """A checkpoint was made just now."""
        self._saved = time.perf_counter()

    def begin(self, step: int) -> None:
        """Steps go on from here."""
        self._reported = time.perf_counter()
        self._next, self._seen = step + 1, (step, self._reported)

    def look(self, step: int, *, now: bool = False) -> Pause:
        """What is due after this step; `now` looks even if it isn't time for that."""
        if step < self._next and not now:
            return Pause(report=False, save=False)
        clock = time.perf_counter()
        due = Pause(clock - self._reported > REPORT_SECONDS, clock - self._saved > SAVE_SECONDS)
        if self.ranks.alone:
            self.stopping = self.request.requested
        else:
            due = self._agreed(due, step, clock)
        if due.report:
            self._reported = clock
        return due

    def _agreed(self, due: Pause, step: int, clock: float) -> Pause:
        plans = self.ranks.gathered(
            (due, self._steps_until_next(step, clock), self.request.requested)
        )
        due, steps, _ = plans[0]
        self.stopping = any(stop for *_, stop in plans)
        self._next, self._seen = step + steps, (step, clock)
        return due

    def _steps_until_next(self, step: int, clock: float) -> int:
        before, then = self._seen
        rate = (step - before) / max(clock - then, 1e-6)
        # At most twice as far as last time, since the first steps may be fast by chance.
        return max(1, min(int(rate * REPORT_SECONDS), 2 * max(1, step - before)))
