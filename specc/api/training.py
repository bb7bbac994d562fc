"""`specc train`: from a model to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.api.building import write_sources
from specc.api.model import Model
from specc.diagnostics.model import Diagnostic, SpeccError
from specc.ir.graph import Graph
from specc.ops.normalization import Normalization

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from specc.training.reporter import Reporter, TrainResult
    from specc.training.setup import TrainJob


def train(
    model: Model, *, runs: Path = Path("runs"), reporter: Reporter | None = None,
    arrays: Mapping[str, Any] | None = None, resume: Path | None = None,
    device: str = "auto", shard: bool = False, tensorboard: bool = False,
) -> TrainResult:  # fmt: skip
    """Train the model as its spec says; the run is left in `runs/<name>/<stamp>/`.

    `resume` is the folder of a run to go on with, from its last checkpoint. `arrays` are the
    columns of a `memory` source. `device` is `auto` (a GPU if there is one), `cpu`, `cuda`, ….
    Under `torchrun` each process calls this and takes its share of every batch; with `shard`
    each also holds only its share of the weights. The first process writes the run, with
    `tensorboard` its events too. Raises `SpeccError` for bad data, before a folder is made.
    """
    from specc.training.ranks import joined, own_device
    from specc.training.trainer import train as run

    own = own_device(device)
    with joined(own) as ranks:
        mesh = _mesh(own) if shard else None
        with ranks.agreed():
            _check(model, resume if ranks.is_first else None)
            reporter = _with_events(reporter) if tensorboard else reporter
            job = _job(model, arrays, own, lambda: _open_folder(model, runs, resume))
        return run(replace(job, ranks=ranks, mesh=mesh), reporter, resume=resume is not None)


def _mesh(device: str) -> DeviceMesh:
    """All processes in a row; raises `SpeccError` L614 if there is no group of them."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh

    if not distributed.is_initialized():
        hint = "add `--devices N`, or start it with `torchrun`"
        message = "weights can only be sharded among processes"
        raise SpeccError([Diagnostic("L614", message, hint=hint)])
    return init_device_mesh(device.split(":")[0], (distributed.get_world_size(),))


def _with_events(reporter: Reporter | None) -> Reporter:
    from specc.training.events import TensorBoard
    from specc.training.reporter import Silent

    return TensorBoard(reporter or Silent())


def _check(model: Model, resume: Path | None) -> None:
    if model.loss is None:
        hint = 'add `"train": { "loss": …, "epochs": … }`'
        raise SpeccError([Diagnostic("L606", f"`{model.name}` has no `train` section", hint=hint)])
    if resume is not None:
        _check_resumable(resume)


def _check_resumable(folder: Path) -> None:
    """Without a checkpoint all begins anew, which must not cost what has been trained."""
    from specc.api.run_list import RESULT, read_run
    from specc.api.runs import CHECKPOINTS, WEIGHTS
    from specc.runtime.atomic import existing_folder

    run = read_run(folder)
    if existing_folder(folder / CHECKPOINTS / "last") is not None:
        return
    if run.epochs or any((folder / name).exists() for name in (RESULT, WEIGHTS)):
        hint = "start a new run; `train.init_from` begins it with the weights of this one"
        message = f"`{folder}` has no checkpoint to go on from"
        raise SpeccError([Diagnostic("U802", message, hint=hint)])


def _open_folder(model: Model, runs: Path, resume: Path | None) -> Path:
    from specc.training.run_folder import RunFolder

    folder = resume or RunFolder.create(runs, model.name).path
    write_sources(model, folder)
    return folder


def _job(
    model: Model, arrays: Mapping[str, Any] | None, device: str, open_folder: Callable[[], Path]
) -> TrainJob:
    from specc.passes.interface import interface
    from specc.training.data import load_dataset
    from specc.training.settings import class_limits
    from specc.training.setup import TrainJob

    assert model.loss is not None
    spec, section, data = model.spec, model.section("train", leave=("loss",)), model.section("data")
    shapes = interface(model.graph, model.dims)
    outputs = {name: kind.shape for name, kind in shapes.outputs}
    dataset = load_dataset(
        data, spec.base, shapes, targets=_targets(model), arrays=arrays,
        class_limits=class_limits(section["loss"], outputs), locate=spec.locate,
    )  # fmt: skip
    return TrainJob(
        model.compile(seed=section.get("seed", 0)), model.compile_loss(),
        [value.name for value in model.loss.inputs], shapes, dataset, section, open_folder,
        fit_layers(model.graph), spec.locate, device, model.graph, model.loss, spec.base,
    )  # fmt: skip


def _targets(model: Model) -> list[str]:
    """The data columns that the loss and the metrics name."""
    known = {value.name for value in model.graph.inputs} | {name for name, _ in model.graph.outputs}
    named = [value.name for value in model.loss.inputs] if model.loss else []
    for metric in model.spec.section("train", "metrics").values():
        sources = metric.get("from", []) if isinstance(metric, dict) else []
        named += sources if isinstance(sources, list) else [sources]
    return [name for name in dict.fromkeys(named) if name not in known]


def fit_layers(graph: Graph) -> list[str]:
    """The paths of layers that learn their statistics from the data, in graph order."""
    return [
        path
        for path, node in graph.walk()
        if isinstance(node.op, Normalization) and node.op.stats == "data"
    ]
