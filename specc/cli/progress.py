"""How training and proving show where they are: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from specc.cli.options import Output

if TYPE_CHECKING:
    from specc.training.reporter import EpochRecord, Progress, Reporter, RunPlan, TrainResult

StepListener = Callable[[int, int, str], None]
"""Called with how many steps are done, of how many, and what is next."""


def _bar(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False), transient=True,
    )  # fmt: skip


def _numbers(scores: Any) -> str:
    parts = []
    for split, values in scores.items():
        shown = " ".join(f"{k} {v:.4g}" for k, v in values.items() if isinstance(v, int | float))
        parts.append(f"{split}: {shown}")
    return "  ".join(parts)


class Lines:
    """Says in plain lines how a run goes."""

    def __init__(self, out: Output, name: str) -> None:
        self.out, self.name, self.epochs = out, name, 0
        self.said = time.monotonic()

    def on_note(self, text: str) -> None:
        """Say what is worth knowing."""
        self.say(text)

    def say(self, text: str) -> None:
        """A line for people."""
        self.out.say(text)

    def on_start(self, plan: RunPlan) -> None:
        """Say what is about to happen."""
        rows = ", ".join(f"{count:,} {split}" for split, count in plan.rows.items() if count)
        self.epochs = -(-plan.steps // max(plan.steps_per_epoch, 1))
        self.say(f"training {self.name}: {plan.parameters:,} parameters on {rows} rows")
        if plan.done:
            self.say(f"resumed after step {plan.done:,} of {plan.steps:,}")

    def on_step(self, progress: Progress) -> None:
        """Say something if an epoch takes long."""
        if time.monotonic() - self.said > 15:
            self.said = time.monotonic()
            self.say(
                f"step {progress.step:,} of {progress.steps:,}, loss {progress.loss:.4g}, "
                f"{progress.samples_per_second:,.0f} samples/s"
            )

    def on_epoch(self, record: EpochRecord) -> None:
        """Say an epoch's numbers."""
        self.said = time.monotonic()
        mark = "  *" if record.is_best else ""
        self.say(f"epoch {record.epoch:>3}/{self.epochs}  {_numbers(record.scores)}{mark}")

    def on_end(self, result: TrainResult) -> None:
        """Say how it ended and where it is."""
        best = f", best epoch {result.best_epoch}" if result.best_epoch else ""
        self.say(
            f"{result.stopped.replace('_', ' ')} after {result.epochs} epochs{best}: "
            f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"
        )
        self.say(_numbers(result.metrics))
        self.say(f"run: {result.folder}")


class Bar(Lines):
    """The same lines with a progress bar below them."""

    def __init__(self, out: Output, name: str, bar: Any) -> None:
        super().__init__(out, name)
        self.bar, self.task = bar, None

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def on_start(self, plan: RunPlan) -> None:
        """Start the bar."""
        super().on_start(plan)
        self.task = self.bar.add_task("training", total=plan.steps, completed=plan.done, note="")

    def on_step(self, progress: Progress) -> None:
        """Move the bar."""
        note = f"loss {progress.loss:.4g}, {progress.samples_per_second:,.0f} samples/s"
        self.bar.update(self.task, completed=progress.step, note=note)

    def on_end(self, result: TrainResult) -> None:
        """Take the bar away before the last lines."""
        self.bar.stop()
        super().on_end(result)


def _is_interactive(out: Output) -> bool:
    on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return on_terminal and not out.as_json and not out.quiet


@contextmanager
def reporter(out: Output, name: str) -> Iterator[Reporter]:
    """A reporter for one training run."""
    if not _is_interactive(out):
        yield Lines(out, name)
        return
    with _bar("steps") as bar:
        yield Bar(out, name, bar)


@contextmanager
def steps(out: Output, what: str) -> Iterator[StepListener]:
    """A listener for work of some known number of steps; a line now and then without a terminal."""
    if not _is_interactive(out):
        yield _spoken(out, what)
        return
    with _bar("") as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _spoken(out: Output, what: str) -> StepListener:
    last = time.monotonic()

    def say(done: int, total: int, note: str) -> None:
        nonlocal last
        if time.monotonic() - last > 10:
            last = time.monotonic()
            out.say(f"{what}: {done} of {total}, {note}")

    return say
