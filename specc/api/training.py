"""`specc train`: from a model to a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.api.building import write_sources
from specc.api.model import Model
from specc.diagnostics.model import Diagnostic, SpeccError
from specc.ir.graph import Graph
from specc.ops.normalization import Normalization

if TYPE_CHECKING:
    from specc.train.reporter import Reporter, TrainResult


def train(
    model: Model, *, runs: Path = Path("runs"), reporter: Reporter | None = None,
    arrays: Mapping[str, Any] | None = None,
) -> TrainResult:  # fmt: skip
    """Train the model as its spec says; the run is left in `runs/<name>/<stamp>/`.

    `arrays` are the columns of a `memory` source. Raises `SpeccError` for bad data.
    """
    if model.loss is None:
        hint = 'add `"train": { "loss": …, "epochs": … }`'
        raise SpeccError([Diagnostic("L606", f"`{model.name}` has no `train` section", hint=hint)])
    from specc.passes.interface import interface
    from specc.train.data import load_dataset
    from specc.train.run_folder import RunFolder
    from specc.train.settings import class_limits
    from specc.train.setup import TrainJob
    from specc.train.trainer import train as run

    spec, section, data = model.spec, model.section("train", leave=("loss",)), model.section("data")
    shapes = interface(model.graph, model.dims)
    outputs = {name: kind.shape for name, kind in shapes.outputs}
    dataset = load_dataset(
        data, spec.base, shapes, targets=_targets(model), arrays=arrays,
        class_limits=class_limits(section["loss"], outputs), locate=spec.locate,
    )  # fmt: skip
    module = model.compile(seed=section.get("seed", 0))
    loss_inputs = [value.name for value in model.loss.inputs]
    folder = RunFolder.create(runs, model.name)
    write_sources(model, folder.path)
    job = TrainJob(
        module, model.compile_loss(), loss_inputs, shapes, dataset, section, folder.path,
        fit_layers(model.graph), spec.locate,
    )  # fmt: skip
    return run(job, reporter)


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
