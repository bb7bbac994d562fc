"""The training loop: epochs, checkpoints, and an end that leaves the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from specc.diagnostics.model import SpeccError
from specc.training.blame import Blame, Replay
from specc.training.checkpoint import save_weights
from specc.training.confusion import NAME as CONFUSION
from specc.training.course import Course
from specc.training.evaluate import evaluate
from specc.training.init_from import load_initial
from specc.training.interrupt import StopRequest
from specc.training.normalization import fit_normalization
from specc.training.pace import Pace
from specc.training.page import write_page
from specc.training.problems import TrainError
from specc.training.ranks import lost_another
from specc.training.reporter import (
    EpochRecord,
    Progress,
    Reporter,
    RunPlan,
    Scores,
    Silent,
    TrainResult,
)
from specc.training.run_folder import RunFolder
from specc.training.settings import parse_settings
from specc.training.setup import TrainJob, build_setup

TELL_SECONDS = 2.0
"""A rank tells its error after this time, if the first one has not found the same and ended all."""


def train(job: TrainJob, reporter: Reporter | None = None, *, resume: bool = False) -> TrainResult:
    """Train a model; with `resume`, from the run folder's last checkpoint if it has one.

    The folder is opened only once settings and data are found to be good. Stops after the
    current step on the first Ctrl-C or SIGTERM. Raises `SpeccError` with codes L602 to L613.
    """
    ranks = job.ranks
    reporter = reporter if reporter and ranks.is_first else Silent()
    with _told_as_found(job), StopRequest(patient=not ranks.alone) as stop, ExitStack() as stack:
        path = None
        with ranks.agreed():
            trainer = Trainer(job, reporter, stop)
            if ranks.is_first:
                path = job.open_folder()
                stack.enter_context(RunFolder(path).in_use())
        path = ranks.from_first(path)
        assert path is not None
        return trainer.run(RunFolder(path, writes=ranks.is_first), resume=resume)


@contextmanager
def _told_as_found(job: TrainJob) -> Iterator[None]:
    try:
        yield
    except TrainError as problem:
        if not job.ranks.is_first:
            time.sleep(TELL_SECONDS)
        raise SpeccError([problem.under("train").diagnostic(job.locate)]) from problem.__cause__


class Trainer:
    """One run: drives the course, and tells and keeps what becomes of it."""

    folder: RunFolder

    def __init__(self, job: TrainJob, reporter: Reporter, stop: StopRequest) -> None:
        self.job, self.reporter, self.ranks = job, reporter, job.ranks
        self.settings = parse_settings(job.train)
        start = self.settings.init_from
        self.initial = load_initial(job.module, start, job.base) if start else None
        torch.manual_seed(self.settings.seed)
        self.setup = build_setup(job, self.settings, reporter.on_note)
        self.course = Course(self.setup, reporter.on_note)
        self.pace = Pace(job.ranks, stop)
        self.scores: dict[str, Scores] = {}
        self._started = time.perf_counter()
        self._kept = 0  # the step of the last checkpoint
        self._watched: list[float] = []  # what the scheduler was told since then
        self._training_seconds, self._trained_rows = 0.0, 0

    def run(self, folder: RunFolder, *, resume: bool = False) -> TrainResult:
        """Train to the end."""
        self.folder = folder
        self.course.join()
        placed = {"device": str(self.job.device), "processes": self.ranks.size}
        folder.prepare(self.settings.seed, placed, self.job.dataset.labels)
        if not (resume and self._restore()):
            self._begin()
        self.reporter.on_start(self._plan())
        while (reason := self._reason_to_stop()) is None:
            if self._train_epoch():
                self._end_epoch()
            elif self._reason_to_stop() == "finished":
                self._record()
                self._save()
        if reason == "interrupted" and self._kept != self.course.state.step:
            self._save()
        result = self._finish(reason)
        self.reporter.on_end(result)
        return result

    def _begin(self) -> None:
        """What comes before the first step, and a checkpoint of it to go back to."""
        self.folder.keep_metrics_until(0)
        loaded = self.initial.loaded if self.initial else ()
        if self.initial:
            self.reporter.on_note(str(self.initial))
            self.folder.write("init_from.json", self.initial.as_json())
        # Statistics that came with the weights fit them, not this data.
        fresh = [path for path in self.job.fit_layers if f"{path}.mean" not in loaded]
        fit_normalization(self.setup.forward, fresh, self.setup.evaluation["train"])
        if self.setup.ema:
            self.setup.ema.restart()
        self.course.draw_from()
        self._save()

    def _reason_to_stop(self) -> str | None:
        settings, state = self.settings, self.course.state
        if settings.epochs is not None and state.epoch >= settings.epochs:
            return "finished"
        if settings.steps is not None and state.step >= settings.steps:
            return "finished"
        if settings.early_stop and state.patience.stale >= settings.early_stop.patience:
            return "early_stop"
        return "interrupted" if self.pace.stopping else None

    def _plan(self) -> RunPlan:
        parameters = sum(p.numel() for p in self.job.module.parameters())
        course = self.course
        return RunPlan(
            self.folder.path, self.job.dataset.rows, parameters, course.steps,
            course.steps_per_epoch, course.state.step,
        )  # fmt: skip

    # ── one epoch ───────────────────────────────────────────────────────────────────────────

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch or the request to stop; whether the epoch is complete."""
        course, state = self.course, self.course.state
        started, first_row = time.perf_counter(), state.rows
        self._reported = self._epoch_started = (started, first_row)
        self.pace.begin(state.step)
        with self._step_errors():
            for group in course.groups():
                course.advance(group)
                due = self.pace.look(state.step)
                if due.report:
                    self._report()
                if due.save or self._is_due():
                    self._save()
                if self.pace.stopping or state.step == self.settings.steps:
                    break
        self._training_seconds += time.perf_counter() - started
        self._trained_rows += state.rows - first_row
        return course.epoch_is_complete

    @contextmanager
    def _step_errors(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if not self.ranks.alone and lost_another(error):
                raise
            message = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            step = self.course.state.step + 1
            raise TrainError("L611", f"step {step} failed: {message}") from error

    def _is_due(self) -> bool:
        """Whether a checkpoint within the epoch is due by steps."""
        every = self.settings.every_steps
        return every is not None and self.course.state.step % every == 0

    def _report(self) -> None:
        now, (before, rows) = time.perf_counter(), self._reported
        state = self.course.state
        speed = (state.rows - rows) / (now - before)
        self._reported = (now, state.rows)
        progress = Progress(
            state.epoch + 1, state.step, self.course.steps, self._epoch_loss(), speed
        )
        self.reporter.on_step(progress)

    def _epoch_loss(self) -> float:
        """The mean loss of the epoch so far; raises `TrainError` L605 if it is not finite."""
        loss = self.course.mean_loss()
        if not math.isfinite(loss):
            raise self.ranks.told_once(self._diverged("loss", loss))
        return loss

    # ── between epochs ──────────────────────────────────────────────────────────────────────

    def _end_epoch(self) -> None:
        self._record()
        self.pace.look(self.course.state.step, now=True)
        self._watched.append(self.setup.watched.value(self.scores))
        self.course.end_epoch(self._watched[-1])
        if self.course.state.epoch % self.settings.every == 0 or self._reason_to_stop():
            self._save()

    def _record(self) -> None:
        """Evaluate, write the epoch's line, and keep its weights if they are the best."""
        state, setup, epoch = self.course.state, self.setup, self.course.state.epoch + 1
        self.scores = {"train": {"loss": self._epoch_loss()}}
        with setup.ema.applied() if setup.ema else nullcontext():
            setup.weights.settle()
            if "val" in setup.evaluation:
                val = evaluate(setup.forward, setup.evaluation["val"], setup.metrics)
                self.scores["val"] = val
            best = state.best.offer(setup.watched.value(self.scores), epoch, setup.watched.mode)
            self._keep_epoch(epoch, best)
        setup.weights.settle()
        if setup.patience and (early := self.settings.early_stop):
            value = setup.patience.value(self.scores)
            state.patience.offer(value, epoch, setup.patience.mode, early.min_delta)
        now, (started, first_row) = time.perf_counter(), self._epoch_started
        speed = (state.rows - first_row) / max(now - started, 1e-9)
        lr = float(setup.optimizer.param_groups[0]["lr"])
        record = EpochRecord(epoch, state.step, self.scores, lr, best, now - started, speed)
        self.folder.add_metrics(record)
        self.reporter.on_epoch(record)

    def _keep_epoch(self, epoch: int, best: bool) -> None:
        paths = [self.folder.best] if best else []
        paths += [self.folder.epoch(epoch)] if self.settings.keep == "all" else []
        if paths:
            self._check_weights()
            self._write_weights(*paths)

    def _write_weights(self, *paths: Path) -> None:
        weights = self.setup.weights.whole()
        for path in paths if self.folder.writes else ():
            save_weights(path, weights)

    # ── what is not finite ──────────────────────────────────────────────────────────────────

    def _check_weights(self) -> None:
        if not self.course.is_finite:
            raise self.ranks.told_once(self._diverged("a weight", None))

    def _diverged(self, what: str, loss: float | None) -> TrainError:
        course = self.course
        bad, before = course.losses.first_bad, course.state.step - course.losses.drained
        failed = None if loss is None or bad is None else before + bad + 1
        step, epoch = failed or course.state.step, course.state.epoch + 1
        if loss is None and course.state.batch == 0:  # found at the end of an epoch
            epoch = max(epoch - 1, 1)
        is_what = f"the {what} is {loss:g}" if loss is not None else f"{what} is not finite"
        blame = self._blame(failed)
        kept = f"the checkpoint of step {self._kept} is kept"
        return TrainError(
            "L605", f"{is_what} in epoch {epoch}, step {step}", "loss",
            notes=(blame.note, kept) if blame else (kept,), label=blame.label if blame else None,
            hint="lower `lr`, or set `clip_grad_norm`",
        )  # fmt: skip

    def _blame(self, failed: int | None) -> Blame | None:
        graph, loss_graph = self.job.graph, self.job.loss_graph
        if graph is None or loss_graph is None or self.setup.weights.sharded:
            return None
        self.reporter.on_note("looking for the first value that is not finite")
        replay = Replay(self.course, self._go_back, tuple(self._watched), graph, loss_graph)
        try:
            return replay.blame(failed)
        # The search must never hide what it searches for.
        except Exception:
            return None

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────

    def _save(self) -> None:
        self._check_weights()
        self.setup.weights.settle()
        plain = {
            **self.course.snapshot(), "rows": self.job.dataset.rows, "scores": self.scores,
        }  # fmt: skip
        self.setup.weights.save(self.folder.last, plain)
        self.pace.saved()
        self._kept = self.course.state.step
        self._watched.clear()

    def _restore(self) -> bool:
        """Go on from the last checkpoint; whether there is one."""
        if not self._go_back():
            return False
        self._kept = self.course.state.step
        self.folder.keep_metrics_until(self.course.state.epoch)
        return True

    def _go_back(self) -> bool:
        setup = self.setup
        plain = setup.weights.load(self.folder.last, setup.optimizer, self.course.snapshot)
        if plain is None:
            return False
        with self.ranks.agreed():
            if plain["rows"] != self.job.dataset.rows:
                message = f"the data has {self.job.dataset.rows} rows and had {plain['rows']}"
                raise TrainError("L608", message)
            self.course.restore(plain)
        self.scores = plain["scores"]
        return True

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _finish(self, reason: str) -> TrainResult:
        if self.course.state.best.epoch is not None:
            self._load_best()
        elif self.setup.ema:
            self.setup.ema.take_over()
        self._write_weights(self.folder.weights)
        scores: Mapping[str, Scores] = dict(self.scores)
        if reason != "interrupted":
            scores = self._final_scores()
        self.job.module.eval()
        result = self._result(reason, scores)
        self.folder.save_result(result)
        if self.folder.writes:
            write_page(self.folder.path)
        return result

    def _result(self, reason: str, scores: Mapping[str, Scores]) -> TrainResult:
        state = self.course.state
        return TrainResult(
            folder=self.folder.path,
            weights=self.folder.weights,
            metrics=scores,
            best_epoch=state.best.epoch,
            epochs=state.epoch,
            steps=state.step,
            stopped=reason,
            seconds=time.perf_counter() - self._started,
            samples_per_second=self._trained_rows / max(self._training_seconds, 1e-9),
            labels=self.job.dataset.labels,
        )

    def _final_scores(self) -> dict[str, Scores]:
        """The kept weights on every part; the confusion matrices go into a file of their own."""
        scores: dict[str, Any] = {}
        matrices: dict[str, Any] = {}
        metrics = list(self.setup.metrics)
        self.setup.weights.settle()
        for part, batches in self.setup.evaluation.items():
            confusion = [self.setup.confusion] if self.setup.confusion else []
            scores[part] = evaluate(self.setup.forward, batches, [*metrics, *confusion])
            if confusion:
                matrices[part] = scores[part].pop(CONFUSION)
        if self.setup.confusion:
            target = self.setup.confusion.target
            labels = self.job.dataset.labels.get(target)
            found = {"target": target, "labels": labels, "rows_are": "true classes", **matrices}
            self.folder.write("confusion_matrix.json", found)
        return scores

    def _load_best(self) -> None:
        own = self.folder.writes
        self.setup.weights.put(safetensors.torch.load_file(self.folder.best) if own else None)
