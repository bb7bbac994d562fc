"""A run's numbers as TensorBoard events, in the folder `tensorboard` of the run."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.training.reporter import EpochRecord, Progress, Reporter, RunPlan, TrainResult


class TensorBoard:
    """Writes what it hears, and passes it on.

    Losses and metrics of each epoch stand under `loss/train`, `accuracy/val` and so on, by
    optimizer step; the running loss and the speed come a few times a second. A resumed run
    takes back what it does again.
    """

    writer: Any

    def __init__(self, listener: Reporter) -> None:
        if find_spec("tensorboard") is None:
            message = "events are written with TensorBoard, which is not installed"
            hint = "pip install 'specc[tensorboard]'"
            raise SpeccError([Diagnostic("U806", message, hint=hint)])
        self.listener = listener

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self.listener.on_note(text)

    def on_start(self, plan: RunPlan) -> None:
        """Open the events."""
        from torch.utils.tensorboard import SummaryWriter

        folder = str(plan.folder / "tensorboard")
        self.writer = SummaryWriter(folder, purge_step=plan.done + 1 if plan.done else None)
        self.listener.on_start(plan)

    def on_step(self, progress: Progress) -> None:
        """Write where training is."""
        self._add("running/loss", progress.loss, progress.step)
        self._add("running/samples_per_second", progress.samples_per_second, progress.step)
        self.listener.on_step(progress)

    def on_epoch(self, record: EpochRecord) -> None:
        """Write an epoch's numbers."""
        for part, scores in record.scores.items():
            for name, value in scores.items():
                if isinstance(value, int | float):
                    self._add(f"{name}/{part}", value, record.step)
        self._add("lr", record.lr, record.step)
        self.writer.flush()
        self.listener.on_epoch(record)

    def on_end(self, result: TrainResult) -> None:
        """Close the events."""
        self.writer.close()
        self.listener.on_end(result)

    def _add(self, name: str, value: float, step: int) -> None:
        self.writer.add_scalar(name, value, step)
