"""How long `specc train` takes from the start of its process to the first step, for a csv."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import mlp, tabular

NAME, ROWS, BATCH, TARGET = "start", 86_000, 64, 4.0
FILE_SIZE = "10 MB"


def prepare(folder: Path) -> None:
    """Write the csv and a spec that takes one step."""
    tabular.write_csv(folder / tabular.FILE, ROWS)
    train = {
        "loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]},
        "optimizer": {"op": "Adam", "lr": 0.001},
        "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
        "steps": 1, "batch_size": BATCH,
    }  # fmt: skip
    model = mlp.model(tabular.FEATURES, tabular.HIDDEN)
    spec: dict[str, Any] = {"specc": 1, "name": NAME, **model}
    spec |= {"data": tabular.data(), "train": train}
    (folder / "spec.json").write_text(json.dumps(spec), "utf-8")


def seconds(folder: Path, environment: Mapping[str, str]) -> float:
    """The time until the command itself says that its one step is done.

    It says so after it has validated and kept the weights, so the step was a little earlier.
    """
    call = [sys.executable, "-m", "specc", "train", "spec.json"]
    with (folder / "errors.txt").open("w+", encoding="utf-8") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            call, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
        )
        assert process.stdout is not None
        said = [(line, time.perf_counter()) for line in process.stdout]
        if process.wait():
            errors.seek(0)
            sys.exit(f"`specc train` failed:\n{errors.read()}")
    return next(when for line, when in said if line.startswith("epoch")) - began
