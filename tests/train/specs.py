"""Small specs that tests train through the public interface."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import Tensor

import specc
from specc.training.reporter import Silent, TrainResult
from tests.train.cases import blobs

LAYERS: list[Any] = [
    {"name": "fc1", "op": "Linear", "out_features": 16},
    {"name": "act", "op": "ReLU"},
    {"name": "fc2", "op": "Linear", "out_features": 3},
]
LOSS = {"op": "CrossEntropyLoss", "from": ["logits", "label"]}
TRAIN = {"epochs": 2, "batch_size": 16, "optimizer": {"op": "SGD", "lr": 0.1}}


def spec(
    train: Mapping[str, Any], layers: list[Any] | None = None, name: str = "small",
    loss: Any = LOSS, columns: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    chosen = LAYERS if layers is None else layers
    return {
        "specc": 1, "name": name, "inputs": {"x": {"shape": ["batch", 4]}}, "layers": chosen,
        "outputs": {"logits": next(x["name"] for x in reversed(chosen))},
        "data": {"source": {"kind": "memory"},
                 "columns": columns or {"x": {}, "label": {"dtype": "int64"}},
                 "split": {"train": 0.7, "val": 0.15, "test": 0.15}},
        "train": {"loss": loss, **TRAIN, **train},
    }  # fmt: skip


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_note(self, text: str) -> None:
        self.texts.append(text)


def trained(
    runs: Path, made: dict[str, Any], arrays: Mapping[str, Any] | None = None, **rest: Any
) -> TrainResult:
    x, label = blobs()
    model = specc.load(made)
    return specc.train(model, runs=runs, arrays=arrays or {"x": x, "label": label}, **rest)


def weights(result: TrainResult, name: str = "checkpoints/last/weights") -> dict[str, Tensor]:
    return dict(safetensors.torch.load_file(result.folder / f"{name}.safetensors"))


def train_part(result: TrainResult) -> tuple[np.ndarray, np.ndarray]:
    """The training rows that the run saw."""
    from tests.train.cases import blob_data

    part = blob_data().parts["train"]
    assert result.folder.is_dir()
    return part["x"], part["label"]
