"""All parts of a run, built and tried on one batch before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specc.ir.graph import Interface
from specc.train.batches import Batches
from specc.train.data.dataset import Dataset
from specc.train.evaluate import evaluation_batch_size
from specc.train.metrics import Metric, build_metrics
from specc.train.monitor import Watched, watch
from specc.train.optimizers import build_optimizer, build_scheduler
from specc.train.problems import Locate, TrainError, nowhere, within
from specc.train.settings import NamedOp, Settings
from specc.train.step import Forward


@dataclass(frozen=True, eq=False)
class TrainJob:
    """What to train, on what, how, and where to leave it.

    `loss_inputs` are the tensors that `loss_module` takes by name; `fit_layers` the paths of
    layers whose `mean` and `std` come from the data. The module's weights are its start, so
    whoever built it has seeded torch.
    """

    module: nn.Module
    loss_module: nn.Module
    loss_inputs: Sequence[str]
    interface: Interface
    dataset: Dataset
    train: Mapping[str, Any]
    folder: Path
    fit_layers: Sequence[str] = ()
    locate: Locate = nowhere
    device: str = "cpu"


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


def build_setup(job: TrainJob, settings: Settings) -> Setup:
    """Build everything; raises `TrainError` with the pointer inside `train`."""
    module, loss_module = job.module.to(job.device), job.loss_module.to(job.device)
    forward = Forward(
        module,
        loss_module,
        tuple(info.name for info in job.interface.inputs),
        tuple(name for name, _ in job.interface.outputs),
        tuple(job.loss_inputs),
    )
    parts, columns = job.dataset.parts, job.dataset.columns
    batches = Batches(parts["train"], columns, settings.batch_size, job.device)
    size = evaluation_batch_size(batches.bytes_per_row, settings.batch_size)
    evaluation = {name: Batches(part, columns, size, job.device) for name, part in parts.items()}
    metrics = _metrics(job, settings, forward, batches)
    with within("checkpoint"):
        watched = watch(settings.checkpoint, "val" in parts, metrics)
    patience = None
    if settings.early_stop:
        with within("early_stop"):
            patience = watch(settings.early_stop.monitor, "val" in parts, metrics)
    optimizer = build_optimizer(module, settings.optimizer)
    scheduler = _scheduler(optimizer, settings, watched)
    return Setup(
        settings, forward, batches, evaluation, metrics, watched, patience, optimizer, scheduler
    )


def _metrics(job: TrainJob, settings: Settings, forward: Forward, batches: Batches) -> list[Metric]:
    columns = job.dataset.columns
    metrics = build_metrics(
        settings.metrics,
        known={*columns, *forward.outputs},
        one_hot={name for name, column in columns.items() if column.encode == "one_hot"},
        probabilities=_probabilities(job.train.get("loss")),
    )
    values = _tried(forward, batches)
    for metric in metrics:
        with within("metrics", metric.name):
            metric.settle(values)
    return metrics


def _probabilities(loss: Any) -> set[str]:
    """The tensors that go into a `BCELoss`, which takes no logits."""
    layers = loss if isinstance(loss, list) else [loss]
    found: set[str] = set()
    for layer in layers:
        if isinstance(layer, Mapping) and layer.get("op") == "BCELoss":
            names = layer.get("from", ())
            found |= set(names.values() if isinstance(names, Mapping) else names)
    return found


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
