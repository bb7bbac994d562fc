"""Small tables, models and losses that the tests of training share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.ir.dims import symbol
from specc.ir.graph import InputInfo, Interface
from specc.ir.types import DType, TensorType
from specc.training.data import Dataset, load_dataset
from specc.training.reporter import Reporter, TrainResult
from specc.training.setup import TrainJob
from specc.training.trainer import train

SPECS_DATA = Path(__file__).resolve().parents[2] / "specs" / "data"
BATCH = symbol("batch")


def interface(
    inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]] | None = None,
    dtype: str = "float32", high: int | None = None,
) -> Interface:  # fmt: skip
    def tensor(shape: Sequence[int], kind: DType = DType.float32) -> TensorType:
        return TensorType(kind, (BATCH, *shape))

    return Interface(
        tuple(
            InputInfo(name, tensor(shape, DType(dtype)), None if high is None else 0, high)
            for name, shape in inputs.items()
        ),
        tuple((name, tensor(shape)) for name, shape in (outputs or {"y": (1,)}).items()),
    )


def write_csv(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return path.name


def failing(call: Callable[[], object]) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpeccError) as caught:
        call()
    return caught.value.diagnostics


def load(
    base: Path, columns: Mapping[str, Any], *, path: str = "t.csv", kind: str = "csv",
    inputs: Mapping[str, Sequence[int]] | None = None, split: Mapping[str, Any] | None = None,
    targets: Sequence[str] | None = None, source: Mapping[str, Any] | None = None, **rest: Any,
) -> Dataset:  # fmt: skip
    given = interface(inputs or {}, dtype=rest.pop("dtype", "float32"), high=rest.pop("high", None))
    names = {info.name for info in given.inputs}
    data = {
        "source": {"kind": kind, "path": path, **(source or {})},
        "columns": columns,
        "split": split or {"train": 1.0, "shuffle": False},
    }
    wanted = [name for name in columns if name not in names] if targets is None else targets
    return load_dataset(data, base, given, targets=wanted, **rest)


class CrossEntropy(nn.Module):
    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, label)


class SquaredError(nn.Module):
    def forward(self, y: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(y, target)


class Normalization(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        return (x - self.mean.view(shape)) / self.std.view(shape)


def classifier(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)
    )


def blobs(rows: int = 203, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds of points."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, rows)
    x = rng.normal(size=(rows, 4)) + np.eye(4)[label] * 2
    return x.astype(np.float32), label.astype(np.int64)


BLOBS = interface({"x": (4,)}, {"logits": (3,)})


def blob_data(rows: int = 203, split: Mapping[str, Any] | None = None) -> Dataset:
    x, label = blobs(rows)
    data = {
        "source": {"kind": "memory"},
        "columns": {"label": {"dtype": "int64"}},
        "split": split or {"train": 0.7, "val": 0.15, "test": 0.15},
    }
    return load_dataset(data, Path(), BLOBS, targets=["label"], arrays={"x": x, "label": label})


def blob_job(
    folder: Path, train_section: Mapping[str, Any], module: nn.Module | None = None, **rest: Any
) -> TrainJob:
    settings = {"loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]}, **train_section}
    return TrainJob(
        **{
            "module": module or classifier(),
            "loss_module": CrossEntropy(),
            "loss_inputs": ["logits", "label"],
            "interface": BLOBS,
            "dataset": blob_data(),
            "train": settings,
            "open_folder": lambda: folder,
            **rest,
        }
    )


def run(
    folder: Path, train_section: Mapping[str, Any], reporter: Reporter | None = None,
    *, resume: bool = False, **rest: Any,
) -> TrainResult:  # fmt: skip
    return train(blob_job(folder, train_section, **rest), reporter, resume=resume)
