"""All parts of a run, built and tried on one batch before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from specc.ir.graph import Graph, Interface
from specc.training.batches import Batch, Batches, batches_of
from specc.training.compiling import Compiled, Note
from specc.training.confusion import confusion_matrix
from specc.training.data.dataset import Dataset
from specc.training.ema import Ema
from specc.training.evaluate import evaluation_batch_size, watching_sizes
from specc.training.forward import Forward
from specc.training.metrics import Metric, build_metrics
from specc.training.monitor import Watched, watch
from specc.training.optimizers import build_optimizer, build_scheduler
from specc.training.precision import Precision
from specc.training.problems import Locate, TrainError, nowhere, within
from specc.training.ranks import ALONE, Ranks
from specc.training.replicas import Replicas
from specc.training.settings import NamedOp, Settings, compared
from specc.training.step import TrainStep

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


@dataclass(frozen=True, eq=False)
class TrainJob:
    """What to train, on what, how, and where to leave it.

    `loss_inputs` are the tensors that `loss_module` takes by name; `fit_layers` the paths of
    layers whose `mean` and `std` come from the data. The module's weights are its start, so
    whoever built it has seeded torch. `open_folder` makes the run's folder once nothing is
    found wrong. `graph` and `loss_graph`, if given, say which layer makes a value NaN; `base`
    is what paths in the section are relative to. `ranks` are the processes that share the
    work, and `mesh` the devices that share the weights, if each is to hold only a part.
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
    ranks: Ranks = ALONE
    mesh: DeviceMesh | None = None


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
    weights: Replicas


def build_setup(job: TrainJob, settings: Settings, note: Note) -> Setup:
    """Build everything; raises `TrainError` with the pointer inside `train`.

    Ranks don't talk here, so that one that fails leaves no other waiting.
    """
    precision = Precision(settings.precision, torch.device(job.device))
    _check_shares(job, settings)
    forward = _forward(job, settings)
    with watching_sizes(forward.module) as largest:
        values = _tried(forward, _trial(job, settings))
    batches, evaluation = _batches(job, settings, largest() // len(next(iter(values.values()))))
    weights = _weights(job)
    if settings.accumulate > 1 or not job.ranks.alone:
        forward = replace(forward, adds_up=_adds_up(forward, values))
    forward = replace(forward, trained=_trained(weights, settings, note))
    metrics = _metrics(job, settings, forward, values)
    has_val = "val" in evaluation
    with within("checkpoint"):
        watched = watch(settings.checkpoint, has_val, metrics)
    patience = None
    if settings.early_stop:
        with within("early_stop"):
            patience = watch(settings.early_stop.monitor, has_val, metrics)
    optimizer = _optimizer(job, settings, weights, precision)
    return Setup(
        settings, forward, batches, evaluation, metrics, watched, patience, optimizer,
        _scheduler(optimizer, settings, watched),
        TrainStep(forward, optimizer, precision, settings.clip_grad_norm, weights),
        Ema(job.module, settings.ema) if settings.ema else None,
        confusion_matrix(job.train.get("loss"), values), weights,
    )  # fmt: skip


def _forward(job: TrainJob, settings: Settings) -> Forward:
    return Forward(
        job.module.to(job.device),
        job.loss_module.to(job.device),
        tuple(info.name for info in job.interface.inputs),
        tuple(name for name, _ in job.interface.outputs),
        tuple(job.loss_inputs),
        memory_format=_memory_format(job, settings),
    )


def _batches(
    job: TrainJob, settings: Settings, result_bytes: int
) -> tuple[Batches, dict[str, Batches]]:
    """Those to train on, and those to evaluate each part with, by a row's largest result."""
    parts, columns = job.dataset.parts, job.dataset.columns
    batches = batches_of(parts["train"], columns, settings.batch_size, job.device, job.ranks)
    per_row = max(batches.bytes_per_row, result_bytes)
    size = evaluation_batch_size(per_row, settings.batch_size)
    return batches, {
        name: batches_of(part, columns, size, job.device, job.ranks) for name, part in parts.items()
    }


def _optimizer(
    job: TrainJob, settings: Settings, weights: Replicas, precision: Precision
) -> torch.optim.Optimizer:
    optimizer = build_optimizer(job.module, settings.optimizer, sharded=weights.sharded)
    if isinstance(optimizer, torch.optim.LBFGS):
        if precision.scaler:
            raise TrainError("L603", "`LBFGS` can't be used with `float16`", "precision")
        if not job.ranks.alone:
            message = "`LBFGS` takes a step by the loss of all rows, which no process has"
            raise TrainError("L603", message, "optimizer")
    return optimizer


@torch.no_grad()
def _adds_up(forward: Forward, values: Mapping[str, Tensor]) -> bool:
    """Whether the loss is a sum over rows: twice the rows have twice the loss."""
    forward.loss_module.eval()
    given = {name: values[name] for name in forward.loss_inputs}
    try:
        twice = {name: torch.cat([value, value]) for name, value in given.items()}
        once, double = forward.loss(given).item(), forward.loss(twice).item()
    except (RuntimeError, ValueError, IndexError, TypeError):  # it wants as many rows as there are
        return False
    return once != 0 and math.isclose(double, 2 * once, rel_tol=1e-3)


def _memory_format(job: TrainJob, settings: Settings) -> torch.memory_format | None:
    """The format of images, in which the weights of convolutions are put; raises `TrainError`."""
    if settings.memory_format != "channels_last":
        return None
    if job.mesh is not None:
        message = "weights in shards can't be `channels_last`"
        raise TrainError("L603", message, "memory_format")
    job.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return torch.channels_last


def _check_shares(job: TrainJob, settings: Settings) -> None:
    """Raises `TrainError` L603 or D506 where a process would have no row."""
    ranks = job.ranks.size
    if settings.batch_size < ranks:
        message = f"a batch of {settings.batch_size} can't be shared by {ranks} processes"
        raise TrainError(
            "L603", message, "batch_size", hint="it is the size of all shares together"
        )
    for part, rows in job.dataset.rows.items():
        if rows < ranks:
            message = f"the `{part}` part has {rows} rows, fewer than there are processes, {ranks}"
            raise TrainError("D506", message, "data", "split").rooted()


def _weights(job: TrainJob) -> Replicas:
    if job.mesh is None:
        return Replicas(job.module, job.ranks)
    from specc.training.shards import Shards

    return Shards(job.module, job.ranks, job.mesh)


def _trained(weights: Replicas, settings: Settings, note: Note) -> Callable[..., Any] | None:
    if settings.compile == "model":
        return Compiled(weights.call, note, weights.call)
    return None if weights.ranks.alone else weights.call


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


def _trial(job: TrainJob, settings: Settings) -> Batch:
    """The first rows, as many as a rank has of a batch: the same for all, so that all conclude
    the same from them."""
    rows = -(-settings.batch_size // job.ranks.size)
    first = job.dataset.first("train", rows)
    return next(batches_of(first, job.dataset.columns, rows, job.device).ordered()).batch


def _tried(forward: Forward, batch: Batch) -> dict[str, Tensor]:
    """The values of a first batch, so that what doesn't fit is found before training."""
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
