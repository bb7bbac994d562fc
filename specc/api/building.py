"""`specc build`: the generated source, the resolved spec and the summary in one folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from specc.api.model import Model
from specc.passes.summary import Summary


def build(model: Model, folder: Path | None = None) -> Path:
    """Write what `built_files` names; returns the folder.

    Default folder: `build/<name>`. Every file appears complete or not at all.
    """
    folder = folder or Path("build") / model.name
    write_sources(model, folder)
    from specc.runtime.atomic import write_json

    write_json(folder / "summary.json", summary_json(model.summary()))
    return folder


def built_files(model: Model) -> list[str]:
    """The names of the files that `build` writes."""
    names = ["model.py", "spec.resolved.json", "summary.json"]
    return names if model.loss is None else ["loss.py", *names]


def write_sources(model: Model, folder: Path) -> None:
    """The resolved spec, the model's source, and that of its loss."""
    from specc.runtime.atomic import write_bytes, write_json
    from specc.runtime.build import source_of

    source = model.source()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "spec.resolved.json", model.resolved(folder))
    write_bytes(folder / "model.py", source.encode())
    if model.loss is not None:
        write_bytes(folder / "loss.py", source_of(model.loss, "The training loss.").encode())


def summary_json(summary: Summary) -> dict[str, Any]:
    """The summary as plain data; symbolic FLOPs as text beside their value at the example."""
    return {
        "name": summary.name, "parameters": summary.parameters, "trainable": summary.trainable,
        "buffers": summary.buffers, "flops": str(summary.flops), "example": summary.example,
        "example_flops": summary.example_flops,
        "layers": [asdict(row) | {"flops": str(row.flops)} for row in summary.rows],
    }  # fmt: skip
