"""The training loop: epochs, checkpoints, and an end that leaves the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import islice

import safetensors.torch
import torch

from specc.diagnostics.model import SpeccError
from specc.train.checkpoint import (
    load_checkpoint,
    load_weights,
    random_state,
    restore_random_state,
    save_checkpoint,
    save_weights,
)
from specc.train.evaluate import evaluate
from specc.train.interrupt import StopRequest
from specc.train.normalization import fit_normalization
from specc.train.problems import TrainError
from specc.train.reporter import (
    EpochRecord,
    Progress,
    Reporter,
    RunPlan,
    Scores,
    Silent,
    TrainResult,
)
from specc.train.run_folder import RunFolder
from specc.train.settings import parse_settings
from specc.train.setup import TrainJob, build_setup
from specc.train.state import LoopState, LossSum
from specc.train.step import Group, TrainStep
from specc.train.tree import all_finite

REPORT_SECONDS = 0.25
SAVE_SECONDS = 300.0
"""Within an epoch, a checkpoint is due this long after the last one."""


def train(job: TrainJob, reporter: Reporter | None = None, *, resume: bool = False) -> TrainResult:
    """Train a model; with `resume`, from the run folder's last checkpoint if it has one.

    Stops after the current step on the first Ctrl-C or SIGTERM. Raises `SpeccError` with
    codes L602 to L611.
    """
    try:
        with StopRequest() as stop:
            return Trainer(job, reporter or Silent(), stop).run(resume=resume)
    except TrainError as problem:
        raise SpeccError([problem.under("train").diagnostic(job.locate)]) from problem.__cause__


class Trainer:
    """One run. All that a later run needs to go on stands in `state` and the optimizer."""

    def __init__(self, job: TrainJob, reporter: Reporter, stop: StopRequest) -> None:
        self.job, self.reporter, self.stop = job, reporter, stop
        self.settings = parse_settings(job.train)
        torch.manual_seed(self.settings.seed)
        self.folder = RunFolder(job.folder)
        self.setup = build_setup(job, self.settings)
        self.step = TrainStep(
            self.setup.forward, self.setup.optimizer, self.settings.clip_grad_norm
        )
        self.device = torch.device(job.device)
        self.state = LoopState()
        self._losses = LossSum()
        self.scores: dict[str, Scores] = {}
        self._started = self._saved = time.perf_counter()
        self._kept = 0  # the step of the last checkpoint
        self._training_seconds, self._trained_rows = 0.0, 0

    def run(self, *, resume: bool = False) -> TrainResult:
        """Train to the end."""
        self.folder.prepare(self.settings.seed, self.job.dataset.labels)
        if not (resume and self._restore()):
            fit_normalization(
                self.setup.forward, self.job.fit_layers, self.setup.evaluation["train"]
            )
        self.reporter.on_start(self._plan())
        while (reason := self._reason_to_stop()) is None:
            if self._train_epoch():
                self._end_epoch()
            elif self._reason_to_stop() == "finished":
                self._record()
                self._save()
        if reason == "interrupted" and self._kept != self.state.step:
            self._save()
        result = self._finish(reason)
        self.reporter.on_end(result)
        return result

    def _reason_to_stop(self) -> str | None:
        settings, state = self.settings, self.state
        if settings.epochs is not None and state.epoch >= settings.epochs:
            return "finished"
        if settings.steps is not None and state.step >= settings.steps:
            return "finished"
        if settings.early_stop and state.patience.stale >= settings.early_stop.patience:
            return "early_stop"
        return "interrupted" if self.stop.requested else None

    def _plan(self) -> RunPlan:
        parameters = sum(p.numel() for p in self.job.module.parameters())
        rows = self.job.dataset.rows
        return RunPlan(
            self.job.folder, rows, parameters, self._steps, self._steps_per_epoch, self.state.step
        )

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(self.setup.batches.per_epoch / self.settings.accumulate)

    @property
    def _steps(self) -> int:
        if self.settings.steps is not None:
            return self.settings.steps
        return self._steps_per_epoch * (self.settings.epochs or 0)

    # ── one epoch ───────────────────────────────────────────────────────────────────────────

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch or the request to stop; whether the epoch is complete."""
        self.job.module.train()
        self.job.loss_module.train()
        state, per_step = self.state, self._scheduler_per_step()
        started, first_row = time.perf_counter(), state.rows
        self._reported = (started, first_row)
        try:
            for group in self._groups():
                rows = sum(n for _, n in group)
                self._losses.add(self.step(group), rows)
                state.rows += rows
                state.batch += len(group)
                state.step += 1
                if per_step:
                    per_step.step()
                if time.perf_counter() - self._reported[0] > REPORT_SECONDS:
                    self._report()
                if self.stop.requested or state.step == self.settings.steps:
                    break
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            message = str(error).splitlines()[0].rstrip(".")
            raise TrainError("L611", f"step {state.step + 1} failed: {message}") from error
        self._training_seconds += time.perf_counter() - started
        self._trained_rows += state.rows - first_row
        return state.batch >= self.setup.batches.per_epoch

    def _groups(self) -> Iterator[Group]:
        size = self.settings.accumulate
        batches = self.setup.batches.epoch(self.settings.seed, self.state.epoch, self.state.batch)
        while group := tuple(islice(batches, size)):
            yield group

    def _scheduler_per_step(self) -> torch.optim.lr_scheduler.LRScheduler | None:
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = self.setup.scheduler
        return scheduler if self.settings.interval == "step" else None

    def _report(self) -> None:
        now, (before, rows) = time.perf_counter(), self._reported
        speed = (self.state.rows - rows) / (now - before)
        self._reported = (now, self.state.rows)
        loss = self._epoch_loss()
        self.reporter.on_step(
            Progress(self.state.epoch + 1, self.state.step, self._steps, loss, speed)
        )
        if now - self._saved > SAVE_SECONDS:
            self._save()

    def _epoch_loss(self) -> float:
        """The mean loss of the epoch so far; raises `TrainError` L605 if it is not finite."""
        self.state.loss_sum = self._losses.drain(self.state.loss_sum)
        loss = self.state.loss_sum / self.state.rows
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss:g}")
        return loss

    def _diverged(self, what: str) -> TrainError:
        kept = f"the checkpoint of step {self._kept} is kept" if self._kept else "none is kept"
        return TrainError(
            "L605", f"{what} in epoch {self.state.epoch + 1}, step {self.state.step}", "loss",
            notes=(kept,), hint="lower `lr`, or set `clip_grad_norm`",
        )  # fmt: skip

    # ── between epochs ──────────────────────────────────────────────────────────────────────

    def _end_epoch(self) -> None:
        self._record()
        scheduler = self.setup.scheduler
        if scheduler is not None and self.settings.interval == "epoch":
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(self.setup.watched.value(self.scores))
            else:
                scheduler.step()
        self.state.next_epoch()
        if self.state.epoch % self.settings.every == 0 or self._reason_to_stop():
            self._save()

    def _record(self) -> None:
        """Evaluate, write the epoch's line, and keep its weights if they are the best."""
        state, setup, epoch = self.state, self.setup, self.state.epoch + 1
        self.scores = {"train": {"loss": self._epoch_loss()}}
        if "val" in setup.evaluation:
            val = evaluate(setup.forward, setup.evaluation["val"], setup.metrics)
            self.scores["val"] = val
        best = state.best.offer(setup.watched.value(self.scores), epoch, setup.watched.mode)
        if setup.patience and (early := self.settings.early_stop):
            value = setup.patience.value(self.scores)
            state.patience.offer(value, epoch, setup.patience.mode, early.min_delta)
        if best:
            self._check_weights()
            save_weights(self.folder.best, self.job.module.state_dict())
        lr = float(setup.optimizer.param_groups[0]["lr"])
        seconds = time.perf_counter() - self._started
        record = EpochRecord(epoch, state.step, self.scores, lr, seconds, best)
        self.folder.add_metrics(record)
        self.reporter.on_epoch(record)

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────

    def _check_weights(self) -> None:
        if not all_finite(self.job.module.state_dict()):
            raise self._diverged("a weight is not finite")

    def _save(self) -> None:
        self._check_weights()
        self.state.loss_sum = self._losses.drain(self.state.loss_sum)
        scheduler = self.setup.scheduler
        plain = {
            "loop": self.state.to_plain(),
            "optimizer": self.setup.optimizer.state_dict(),
            "scheduler": scheduler.state_dict() if scheduler else None,
            "random": random_state(self.device),
            "rows": self.job.dataset.rows,
            "scores": self.scores,
        }
        save_checkpoint(self.folder.last, self.job.module.state_dict(), plain)
        self._saved, self._kept = time.perf_counter(), self.state.step

    def _restore(self) -> bool:
        """Go on from the last checkpoint; whether there is one."""
        loaded = load_checkpoint(self.folder.last, self.device)
        if loaded is None:
            self.folder.keep_metrics_until(0)
            return False
        weights, plain = loaded
        if plain["rows"] != self.job.dataset.rows:
            message = f"the data has {self.job.dataset.rows} rows and had {plain['rows']}"
            raise TrainError("L608", message)
        load_weights(self.job.module, weights)
        self.setup.optimizer.load_state_dict(plain["optimizer"])
        if self.setup.scheduler:
            self.setup.scheduler.load_state_dict(plain["scheduler"])
        self.state = LoopState.from_plain(plain["loop"])
        self.scores, self._kept = plain["scores"], self.state.step
        self.folder.keep_metrics_until(self.state.step)
        # Last, since building models and metrics may have drawn random numbers.
        restore_random_state(plain["random"], self.device)
        return True

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _finish(self, reason: str) -> TrainResult:
        if self.state.best.epoch is not None:
            self._load_best()
        save_weights(self.folder.weights, self.job.module.state_dict())
        scores: dict[str, Scores] = dict(self.scores)
        if reason != "interrupted":
            scores = {
                name: evaluate(self.setup.forward, batches, self.setup.metrics)
                for name, batches in self.setup.evaluation.items()
            }
        self.job.module.eval()
        result = TrainResult(
            folder=self.job.folder,
            weights=self.folder.weights,
            metrics=scores,
            best_epoch=self.state.best.epoch,
            epochs=self.state.epoch,
            steps=self.state.step,
            stopped=reason,
            seconds=time.perf_counter() - self._started,
            samples_per_second=self._trained_rows / max(self._training_seconds, 1e-9),
            labels=self.job.dataset.labels,
        )
        self.folder.save_result(result)
        return result

    def _load_best(self) -> None:
        weights = safetensors.torch.load_file(self.folder.best, str(self.device))
        load_weights(self.job.module, weights)
