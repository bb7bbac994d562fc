"""Real training processes, killed at random moments and resumed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from specc.runtime.lock import is_held
from tests.train.test_images import write_images
from tests.train.test_resume import OUTCOME

ROOT = Path(__file__).resolve().parents[2]
SPEC: dict[str, Any] = {
    "specc": 1,
    "name": "killed",
    "inputs": {"image": {"shape": ["batch", 64]}},
    "layers": [
        {"name": "norm", "op": "Normalization", "stats": "data"},
        {"name": "fc1", "op": "Linear", "out_features": 32},
        {"name": "bn", "op": "BatchNorm1d"},
        "ReLU",
        {"op": "Dropout", "p": 0.3},
        {"name": "fc2", "op": "Linear", "out_features": 10},
    ],
    "outputs": {"logits": "fc2"},
    "data": {
        "source": {"kind": "csv", "path": str(ROOT / "specs/data/digits.csv")},
        "columns": {
            "image": {"from": "pixel_*", "dtype": "float32"},
            "label": {"from": "digit", "encode": "class"},
        },
        "split": {"train": 0.8, "val": 0.1, "test": 0.1, "seed": 0},
    },
    "train": {
        "loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]},
        "optimizer": {"op": "AdamW", "lr": 0.002},
        "scheduler": {"op": "OneCycleLR", "max_lr": 0.01, "total_steps": 1150, "interval": "step"},
        "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
        "epochs": 50, "batch_size": 64, "ema": 0.95, "clip_grad_norm": 1.0,
        "checkpoint": {"every": 3, "every_steps": 7},
    },
}  # fmt: skip
HALF = {
    "precision": "float16", "accumulate": 2,
    "scheduler": {"op": "ReduceLROnPlateau", "patience": 1},
}  # fmt: skip
IMAGES: dict[str, Any] = {
    "inputs": {"image": {"shape": ["batch", 3, 8, 6]}},
    "layers": [
        {"name": "conv", "op": "Conv2d", "out_channels": 8, "kernel_size": 3},
        "BatchNorm2d", "ReLU", "Flatten", {"op": "Dropout", "p": 0.3},
        {"name": "fc", "op": "Linear", "out_features": 2},
    ],
    "outputs": {"logits": "fc"},
    "data": {
        "source": {
            "kind": "image_folder", "path": "pets", "augment": [{"op": "RandomHorizontalFlip"}],
        },
        "split": {"train": 0.8, "val": 0.1, "test": 0.1, "seed": 0},
    },
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": SPEC,
    "float16": {**SPEC, "train": {**SPEC["train"], **HALF}},
    "image workers": {**SPEC, **IMAGES},
}


def command(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    call = [sys.executable, "-m", "specc", "train", "spec.json", *arguments]
    return subprocess.Popen(call, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()
    return output.decode()


def the_run(folder: Path) -> Path:
    (run,) = (folder / "runs" / "killed").iterdir()
    return run


def kill_while_training(process: subprocess.Popen[bytes], folder: Path, moment: float) -> bool:
    """Kill the process so long after it has begun to train; whether it was still at work."""
    locks = folder / "runs/killed"
    while not any(map(is_held, locks.glob("*/.lock"))) and process.poll() is None:
        time.sleep(0.02)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path, variant: str) -> None:
    seed = random.randrange(10**6)
    print(f"moments from seed {seed}")
    moments = random.Random(seed)
    folders = tmp_path / "whole", tmp_path / "parts"
    for folder in folders:
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps(VARIANTS[variant]))
        write_images(folder, 240)
    whole, parts = folders
    undisturbed = command(whole)
    kills, resume = 0, []
    for _ in range(5):
        killed = kill_while_training(command(parts, *resume), parts, moments.uniform(0.0, 0.6))
        if not killed:
            break
        kills += 1
        resume = ["--resume"]
    assert kills >= 2
    finish(undisturbed)
    if not (the_run(parts) / "result.json").exists():
        assert "finished" in finish(command(parts, "--resume"))
    for name in OUTCOME:
        assert (the_run(whole) / name).read_bytes() == (the_run(parts) / name).read_bytes(), name
    losses = [json.loads(x)["epoch"] for x in (the_run(parts) / "metrics.jsonl").open()]
    assert losses == list(range(1, 51))
