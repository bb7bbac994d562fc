"""The folder of one run, `runs/<name>/<stamp>/`, and what training writes into it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from specc.runtime.atomic import write_bytes, write_json
from specc.runtime.lock import held
from specc.training.problems import TrainError
from specc.training.reporter import EpochRecord, TrainResult


@dataclass(frozen=True)
class RunFolder:
    """Paths inside one run; of several processes only the first one `writes`."""

    path: Path
    writes: bool = True

    @classmethod
    def create(cls, runs: Path, name: str) -> RunFolder:
        """A new, empty folder whose name is the time."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
            path = runs / name / f"{stamp}{suffix}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            return cls(path)
        raise FileExistsError(runs / name / stamp)

    @property
    def last(self) -> Path:
        """The checkpoint that a run goes on from."""
        return self.path / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """The weights of the best epoch."""
        return self.path / "checkpoints" / "best.safetensors"

    def epoch(self, number: int) -> Path:
        """The weights of one epoch, if all are kept."""
        return self.path / "checkpoints" / f"epoch_{number:04d}.safetensors"

    @property
    def weights(self) -> Path:
        """The weights that the run is for."""
        return self.path / "weights.safetensors"

    @property
    def metrics(self) -> Path:
        """One line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def times(self) -> Path:
        """How long each epoch took, apart from the metrics, which are the same in every run."""
        return self.path / "times.jsonl"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the folder for this process; raises `TrainError` L608 if another one has it."""
        with held(self.path / ".lock") as mine:
            if not mine:
                raise TrainError("L608", f"another process is training in `{self.path}`")
            yield

    def prepare(
        self, seed: int, placed: Mapping[str, Any], labels: Mapping[str, list[Any]]
    ) -> None:
        """Write what is known before the first step."""
        if self.writes:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        self.write("environment.json", {**environment(seed), **placed})
        self.write("labels.json", labels)

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file."""
        if self.writes:
            write_json(self.path / name, value)

    def save_result(self, result: TrainResult) -> None:
        """Write how the run ended."""
        plain = {f.name: getattr(result, f.name) for f in fields(result) if f.name != "labels"}
        names = {"folder": result.folder.name, "weights": result.weights.name}
        self.write("result.json", {**plain, **names})

    def add_metrics(self, record: EpochRecord) -> None:
        """Append one epoch's line, and its times elsewhere."""
        if not self.writes:
            return
        place = {"epoch": record.epoch, "step": record.step}
        times = {
            "seconds": round(record.seconds, 3),
            "samples_per_second": round(record.samples_per_second),
        }
        _append(self.times, {**place, **times})
        _append(self.metrics, {**place, **record.scores, "lr": record.lr, "best": record.is_best})

    def keep_metrics_until(self, epoch: int) -> None:
        """Drop the lines after an epoch, and a half-written one: a resumed run writes them anew.

        Not by their step: a checkpoint may be of the last step of an epoch before its line.
        """
        for path in (self.metrics, self.times):
            if self.writes and path.exists():
                kept = [
                    f"{json.dumps(line)}\n" for line in read_lines(path) if line["epoch"] <= epoch
                ]
                write_bytes(path, "".join(kept).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a file that is being written."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def environment(seed: int) -> dict[str, Any]:
    """What the numbers of a run may depend on."""
    packages = ("specc", "torch", "numpy", "pyarrow", "safetensors", "torchmetrics")
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seed": seed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in packages},
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
