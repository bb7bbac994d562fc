"""Finding runs, and what a run or a spec gives to an export: model, weights, labels, rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.api.model import Model, load
from specc.diagnostics.model import Diagnostic, SpeccError

if TYPE_CHECKING:
    import numpy as np
    import torch

SPEC, WEIGHTS, LABELS = "spec.resolved.json", "weights.safetensors", "labels.json"
METRICS, CHECKPOINTS = "metrics.jsonl", "checkpoints"
DATA_ROWS = 256
"""How many rows of real data take part in a proof."""


@dataclass
class Subject:
    """A model with weights: trained in a run, or fresh from a spec."""

    model: Model
    module: torch.nn.Module
    folder: Path
    fresh: bool
    labels: Mapping[str, list[Any]]

    @cached_property
    def exported(self) -> torch.nn.Module:
        """The module of what is exported: without what exists in training only."""
        return exported_module(self.model, self.module)


def newest_run(runs: Path) -> Path:
    """The run folder that was finished last; raises `SpeccError` if there is none."""
    found = [path.parent for path in runs.glob(f"*/*/{WEIGHTS}")]
    if not found:
        hint = "train a model first, or name a run or a spec"
        raise SpeccError([Diagnostic("U802", f"there is no finished run in `{runs}`", hint=hint)])
    return max(found, key=lambda path: ((path / WEIGHTS).stat().st_mtime, path.name))


def subject(source: Path | None, sets: Sequence[str], runs: Path, weights: Path | None) -> Subject:
    """What to export: the newest run, a run folder, or a spec with fresh or given weights."""
    if source is None:
        source = newest_run(runs)
    if source.is_dir():
        if not (source / SPEC).is_file() or not (weights or (source / WEIGHTS).is_file()):
            message = f"`{source}` is not a finished run: it has no `{SPEC}` and `{WEIGHTS}`"
            raise SpeccError([Diagnostic("U802", message)])
        model = load(source / SPEC, sets)
        module = with_weights(model, weights or source / WEIGHTS)
        return Subject(model, module, source, False, _labels(source))
    model = load(source, sets)
    folder = Path("build") / model.name
    if weights is not None:
        return Subject(model, with_weights(model, weights), folder, False, _labels(weights.parent))
    seed = model.section("train", leave=("loss",)).get("seed", 0)
    return Subject(model, model.compile(seed=seed).eval(), folder, True, {})


def _labels(folder: Path) -> dict[str, list[Any]]:
    path = folder / LABELS
    found = read_object(path)
    if not all(isinstance(labels, list) for labels in found.values()):
        raise damaged(path, "not all labels are lists")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty if there is no file; raises `SpeccError` P705."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise damaged(path, error) from None
    if not isinstance(found, dict):
        raise damaged(path, "it does not hold an object")
    return found


def damaged(path: Path, reason: object) -> SpeccError:
    """The error of a file that is not what its name says."""
    return SpeccError([Diagnostic("P705", f"`{path}` is damaged: {reason}")])


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run."""
    return (folder / METRICS).exists() or (folder / CHECKPOINTS).exists()


def with_weights(model: Model, path: Path) -> torch.nn.Module:
    """The module with the weights of a safetensors file, which must fit exactly."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise SpeccError([Diagnostic("U807", f"no weights `{path}`")])
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from None
    module = model.compile().eval()
    faults = misfits(module.state_dict(), state)
    if faults:
        message = f"`{path.name}` does not fit the spec"
        raise SpeccError([Diagnostic("P709", message, notes=tuple(faults))])
    module.load_state_dict(state, strict=False)
    return module


def exported_module(model: Model, module: torch.nn.Module) -> torch.nn.Module:
    """The module of the exported part of a model, with the weights of the whole."""
    if model.exported.nodes == model.graph.nodes and model.exported.outputs == model.graph.outputs:
        return module
    part = model.compile_exported().eval()
    state = module.state_dict()
    part.load_state_dict({name: state[name] for name in part.state_dict()})
    return part


def misfits(
    wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], most: int = 8
) -> list[str]:
    """How two state dicts differ in names and shapes; tied weights may be stored once."""
    stored = {tensor.data_ptr() for name, tensor in wanted.items() if name in given}
    missing = [
        n
        for n, t in wanted.items()
        if n not in given and (t.data_ptr() not in stored or not t.numel())
    ]
    faults = [f"missing: `{name}`" for name in missing]
    faults += [f"not in the spec: `{name}`" for name in given if name not in wanted]
    faults += [
        f"`{name}` is {tuple(given[name].shape)}, the spec says {tuple(tensor.shape)}"
        for name, tensor in wanted.items() if name in given and given[name].shape != tensor.shape
    ]  # fmt: skip
    return faults if len(faults) <= most else [*faults[:most], f"… and {len(faults) - most} more"]


def data_rows(model: Model) -> dict[str, np.ndarray[Any, Any]] | None:
    """Rows of the test part of the model's own data, if the data is there."""
    data = model.section("data")
    if not data or data.get("source", {}).get("kind") == "memory":
        return None
    from specc.training.data import load_dataset

    try:
        dataset = load_dataset(data, model.spec.base, model.interface)
    except SpeccError:
        return None
    part = next(name for name in ("test", "val", "train") if name in dataset.parts)
    rows = dataset.first(part, DATA_ROWS)
    wanted = {info.name: str(info.type.dtype) for info in model.interface.inputs}
    return {name: rows[name].astype(dtype) for name, dtype in wanted.items()}
