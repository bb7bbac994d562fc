"""All parts of a run, built and tried on one batch before the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specc.ir.graph import Graph, Interface
from specc.training.batches import Batches, batches_of
from specc.training.compiling import Compiled, Note
from specc.training.confusion import confusion_matrix
from specc.training.data.dataset import Dataset
from specc.training.ema import Ema
from specc.training.evaluate import evaluation_batch_size
from specc.training.forward import Forward
from specc.training.metrics import Metric, build_metrics
from specc.training.monitor import Watched, watch
from specc.training.optimizers import build_optimizer, build_scheduler
from specc.training.precision import Precision
from specc.training.problems import Locate, TrainError, nowhere, within
from specc.training.settings import NamedOp, Settings, compared
from specc.training.step import TrainStep


@dataclass(frozen=True, eq=False)
class TrainJob:
    """What to train, on what, how, and where to leave it.

    `loss_inputs` are the tensors that `loss_module` takes by name; `fit_layers` the paths of
    layers whose `mean` and `std` come from the data. The module's weights are its start, so
    whoever built it has seeded torch. `open_folder` makes the run's folder once nothing is
    found wrong. `graph` and `loss_graph`, if given, say which layer makes a value NaN; `base`
    is what paths in the section are relative to.
    """

    module: nn.Module
    loss_module: nn.Module
    loss_inputs: Sequence[str]
    interface: Interface
    dataset: Dataset
    train: Mapping[str, Any]
    open_folder: Callable[[], Path]
    fit_layers: Sequence[str] = ()
    locate: Locate = nowhere
    device: str = "cpu"
    graph: Graph | None = None
    loss_graph: Graph | None = None
    base: Path = Path()


@dataclass(frozen=True, eq=False)
class Setup:
    """The parts of a run."""

    settings: Settings
    forward: Forward
    batches: Batches
    evaluation: Mapping[str, Batches]
    metrics: Sequence[Metric]
    watched: Watched
    patience: Watched | None
    optimizer: torch.optim.Optimizer
    scheduler: Any
    step: TrainStep
    ema: Ema | None
    confusion: Metric | None


def build_setup(job: TrainJob, settings: Settings, note: Note) -> Setup:
    """Build everything; raises `TrainError` with the pointer inside `train`."""
    module, loss_module = job.module.to(job.device), job.loss_module.to(job.device)
    precision = Precision(settings.precision, torch.device(job.device))
    forward = Forward(
        module,
        loss_module,
        tuple(info.name for info in job.interface.inputs),
        tuple(name for name, _ in job.interface.outputs),
        tuple(job.loss_inputs),
        Compiled(module, note, module) if settings.compile == "model" else None,
    )
    parts, columns = job.dataset.parts, job.dataset.columns
    batches = batches_of(parts["train"], columns, settings.batch_size, job.device)
    size = evaluation_batch_size(batches.bytes_per_row, settings.batch_size)
    evaluation = {name: batches_of(part, columns, size, job.device) for name, part in parts.items()}
    values = _tried(forward, batches)
    metrics = _metrics(job, settings, forward, values)
    with within("checkpoint"):
        watched = watch(settings.checkpoint, "val" in parts, metrics)
    patience = None
    if settings.early_stop:
        with within("early_stop"):
            patience = watch(settings.early_stop.monitor, "val" in parts, metrics)
    optimizer = build_optimizer(module, settings.optimizer)
    if precision.scaler and isinstance(optimizer, torch.optim.LBFGS):
        raise TrainError("L603", "`LBFGS` can't be used with `float16`", "precision")
    return Setup(
        settings, forward, batches, evaluation, metrics, watched, patience, optimizer,
        _scheduler(optimizer, settings, watched),
        TrainStep(forward, optimizer, precision, settings.clip_grad_norm),
        Ema(module, settings.ema) if settings.ema else None,
        confusion_matrix(job.train.get("loss"), values),
    )  # fmt: skip


def _metrics(
    job: TrainJob, settings: Settings, forward: Forward, values: Mapping[str, Tensor]
) -> list[Metric]:
    columns = job.dataset.columns
    metrics = build_metrics(
        settings.metrics,
        known={*columns, *forward.outputs},
        one_hot={name for name, column in columns.items() if column.encode == "one_hot"},
        # `BCELoss` takes no logits.
        probabilities={p.output for p in compared(job.train.get("loss")) if p.op == "BCELoss"},
    )
    for metric in metrics:
        with within("metrics", metric.name):
            metric.settle(values)
    return metrics


def _tried(forward: Forward, batches: Batches) -> dict[str, Tensor]:
    """The values of a first batch, so that what doesn't fit is found before training."""
    batch, _ = next(batches.ordered())
    forward.module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            values = forward.values(batch)
            loss = forward.loss(values)
    except KeyError as error:
        message = f"there is no output, input or column {error.args[0]!r}"
        raise TrainError("L609", message.replace("'", "`"), "loss", "from") from error
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        message = str(error).splitlines()[0].rstrip(".")
        raise TrainError("L609", f"the loss can't be computed: {message}", "loss") from error
    if loss.ndim:
        message = f"the loss has shape {tuple(loss.shape)}, and training needs a single number"
        raise TrainError("L604", message, "loss")
    return values


def _scheduler(optimizer: torch.optim.Optimizer, settings: Settings, watched: Watched) -> Any:
    spec = settings.scheduler
    if spec is None:
        return None
    if spec.op == "ReduceLROnPlateau":
        if settings.interval == "step":
            message = "`ReduceLROnPlateau` follows a score, which is known once an epoch"
            raise TrainError("L603", message, "scheduler", "interval")
        spec = replace(spec, arguments={"mode": watched.mode, **spec.arguments})
    return build_scheduler(optimizer, NamedOp(spec.op, spec.arguments))
