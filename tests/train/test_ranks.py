"""Several processes that train one model: the curve of one, whatever happens to any of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from specc.runtime.lock import is_held
from specc.training.interrupt import StopRequest
from specc.training.pace import Pace
from specc.training.ranks import ALONE, Ranks
from specc.training.settings import parse_settings
from specc.training.setup import build_setup
from tests.train.cases import blob_job
from tests.train.ranked import run_all
from tests.train.test_killed import SPEC, the_run
from tests.train.test_loop import lines

RANKS = 2
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
NAMES = [
    "plain", "twice", "summed", "regression", "unused", "streamed", "bfloat16", "compiled",
    "shards, whole", "shards, parts", "shards, twice", "shards, average", "shards, tied",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    call = [sys.executable, *TORCHRUN, "-m", "tests.train.ranked", str(together)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return run_all(alone, alone=True), json.loads((together / "found.json").read_text())


def numbers(line: dict[str, Any]) -> dict[str, float]:
    return {f"{part}.{k}": v for part in ("train", "val") for k, v in line[part].items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_train_as_one_does(
    runs: tuple[dict[str, Any], dict[str, Any]], name: str
) -> None:
    alone, together = (Path(found[name]["folder"]) for found in runs)
    # Half a number has fewer digits.
    tolerance = 0.02 if name == "bfloat16" else 1e-4
    assert len(lines(alone)) == len(lines(together)) > 0
    for ours, theirs in zip(lines(together), lines(alone), strict=True):
        assert ours["step"] == theirs["step"] and ours["lr"] == theirs["lr"]
        assert numbers(ours) == pytest.approx(numbers(theirs), rel=tolerance, abs=tolerance)
    for weights in ("weights", "checkpoints/best"):
        mine, other = (
            safetensors.torch.load_file(f / f"{weights}.safetensors") for f in (together, alone)
        )
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)
    ends = [json.loads((folder / "result.json").read_text()) for folder in (together, alone)]
    for part, scores in ends[1]["metrics"].items():
        assert ends[0]["metrics"][part] == pytest.approx(scores, rel=tolerance, abs=tolerance)
    matrices = [folder / "confusion_matrix.json" for folder in (together, alone)]
    if name != "bfloat16" and matrices[1].exists():
        assert matrices[0].read_text() == matrices[1].read_text()


@pytest.mark.slow
def test_shards_are_written_by_every_rank_and_whole_weights_by_the_first(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    last = Path(runs[1]["shards, parts"]["folder"]) / "checkpoints/last"
    shards = sorted(last.glob("shard-*.safetensors"))
    assert len(shards) == RANKS
    sizes = [path.stat().st_size for path in shards]
    # Weights of 1024 x 1024 and two moments of each, one half in either file.
    assert all(0.5 < size / (3 * 4 * 1024 * 1024 / 2) < 1.1 for size in sizes)
    assert not list(last.glob("*.pkl")) and not list(last.glob("*.distcp"))


@pytest.mark.slow
def test_a_step_of_several_processes_is_not_compiled_and_says_so(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    assert runs[1]["compiled"]["notes"] == [
        "the step is not compiled: it is shared by several processes"
    ]


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "specc", "train", "spec.json", *arguments]
    return subprocess.Popen(
        call, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, output + errors
    return output, errors


def digits(folder: Path, epochs: int, **train: Any) -> Path:
    section = {**SPEC["train"], "epochs": epochs, **train}
    spec = {**SPEC, "train": {k: v for k, v in section.items() if v is not None}}
    folder.mkdir(exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


def children(process: subprocess.Popen[str]) -> list[int]:
    """The training processes by rank."""
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
    )
    ranks = {}
    for pid in map(int, found.stdout.split()):
        text = Path(f"/proc/{pid}/environ").read_bytes().decode()
        ranks[int(re.search(r"\0RANK=(\d+)", text).group(1))] = pid  # type: ignore[union-attr]
    return [ranks[rank] for rank in sorted(ranks)]


def wait_for_training(folder: Path, process: subprocess.Popen[str]) -> None:
    locks = folder / "runs/killed"
    while not any(map(is_held, locks.glob("*/.lock"))):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_and_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    folder = digits(tmp_path, 5000, scheduler=None)
    process = started(folder, "--devices", "2")
    wait_for_training(folder, process)
    os.kill(children(process)[1], signal.SIGKILL)
    output, errors = ended(process, 1)
    assert "process 1 was killed by SIGKILL" in errors and "--resume" in errors
    assert "Traceback" not in output + errors
    epochs = lines(the_run(folder))[-1]["epoch"]
    for number, devices in enumerate(("3", "1"), 1):
        more = f"train.epochs={epochs + number}"
        run = str(the_run(folder))
        output, _ = ended(started(folder, "--resume", run, "--devices", devices, "--set", more), 0)
        assert "resumed after step" in output and output.count("finished after") == 1
    assert [line["epoch"] for line in lines(the_run(folder))] == list(range(1, epochs + 3))


@pytest.mark.slow
@pytest.mark.parametrize("shard", [(), ("--shard",)], ids=["replicas", "shards"])
def test_an_interrupted_run_of_two_ranks_goes_on_in_the_same_bits(
    tmp_path: Path, shard: Sequence[str]
) -> None:
    whole, parts = digits(tmp_path / "whole", 14), digits(tmp_path / "parts", 14)
    process = started(parts, "--devices", "2", *shard)
    wait_for_training(parts, process)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    output, errors = ended(process, 1)
    assert output.count("interrupted after") == 1 and not errors
    ended(started(parts, "--resume", "--devices", "2", *shard), 0)
    ended(started(whole, "--devices", "2", *shard), 0)
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (the_run(parts) / name).read_bytes() == (the_run(whole) / name).read_bytes(), name


@pytest.mark.slow
def test_shards_go_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    folder = digits(tmp_path, 2, scheduler=None)
    ended(started(folder, "--devices", "2", "--shard"), 0)
    run = the_run(folder)
    before = lines(run)[-1]["train"]["loss"]
    more = ("--resume", str(run), "--set", "train.epochs=3")
    ended(started(folder, *more, "--devices", "3", "--shard"), 0)
    after = lines(run)[-1]
    assert after["epoch"] == 3 and after["train"]["loss"] < before
    _, errors = ended(started(folder, *more), 2)
    assert "the checkpoint is in shards" in errors and "--shard" in errors and "L608" in errors


@pytest.mark.slow
def test_what_every_rank_finds_is_told_once(tmp_path: Path) -> None:
    folder = digits(tmp_path, 1, optimizer={"op": "Adamm"})
    _, errors = ended(started(folder, "--devices", "2"), 2)
    assert errors.count("error[L602]") == 1 and "Traceback" not in errors
    bad = json.loads((folder / "spec.json").read_text())
    del bad["layers"]
    (folder / "spec.json").write_text(json.dumps(bad))
    _, errors = ended(started(folder, "--devices", "2"), 2)
    assert errors.count("error[") == 1 and "`layers`" in errors


@pytest.mark.slow
def test_a_bad_row_that_training_comes_upon_is_told_once(tmp_path: Path) -> None:
    rows = ["a,b,label", *(f"{i % 7},{i % 5},{i % 3}" for i in range(500)), "1,oops,2"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    spec = {
        "specc": 1, "name": "killed", "inputs": {"x": {"shape": ["batch", 2]}},
        "layers": [{"name": "fc", "op": "Linear", "out_features": 3}], "outputs": {"logits": "fc"},
        "data": {
            "source": {"kind": "csv", "path": "t.csv", "memory": False, "buffer": 40},
            "columns": {"x": {"from": ["a", "b"]}, "label": {"encode": "class"}},
            "split": {"train": 1.0},
        },
        "train": {"loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]}, "epochs": 1},
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    _, errors = ended(started(tmp_path, "--devices", "2"), 2)
    assert errors.count("`oops`") == errors.count("error[") == 1 and "Traceback" not in errors


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_blamed_once(tmp_path: Path) -> None:
    folder = digits(tmp_path, 3, optimizer={"op": "SGD", "lr": 1e30}, clip_grad_norm=None,
                    scheduler=None, ema=None)  # fmt: skip
    _, errors = ended(started(folder, "--devices", "2"), 1)
    assert errors.count("error[L605]") == 1
    assert "fc1" in errors or "bn" in errors or "fc2" in errors


@pytest.mark.slow
def test_a_bad_value_that_one_rank_has_is_found_beside_batch_normalization(tmp_path: Path) -> None:
    rows = ["a,b,label", *(f"{i % 7},{i % 5},{i % 3}" for i in range(200))]
    rows[120] = "-1,2,0"
    (tmp_path / "t.csv").write_text("\n".join(rows))
    spec = {
        "specc": 1, "name": "killed", "inputs": {"x": {"shape": ["batch", 2]}},
        "layers": [
            {"name": "root", "formula": "sqrt(x)"}, "BatchNorm1d",
            {"name": "fc", "op": "Linear", "out_features": 3},
        ],
        "outputs": {"logits": "fc"},
        "data": {
            "source": {"kind": "csv", "path": "t.csv"},
            "columns": {"x": {"from": ["a", "b"]}, "label": {"encode": "class"}},
            "split": {"train": 1.0},
        },
        "train": {"loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]}, "epochs": 1},
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    _, errors = ended(started(tmp_path, "--devices", "2"), 1)
    assert errors.count("`root` (sqrt) gives the first value that is not finite") == 1


@pytest.mark.slow
def test_shards_of_the_very_start_can_be_resumed(tmp_path: Path) -> None:
    # One row for each rank, which batch normalization refuses in the first step.
    folder = digits(tmp_path, 1, batch_size=2, scheduler=None)
    _, errors = ended(started(folder, "--devices", "2", "--shard"), 1)
    assert errors.count("error[L611]") == 1
    again = ("--resume", "--devices", "2", "--shard", "--set", "train.batch_size=64")
    output, errors = ended(started(folder, *again), 0)
    assert "finished after 1 epochs" in output and not errors


@pytest.mark.slow
def test_too_few_rows_for_the_ranks_are_refused(tmp_path: Path) -> None:
    _, errors = ended(started(digits(tmp_path, 1, batch_size=2), "--devices", "3"), 2)
    assert "a batch of 2 can't be shared by 3 processes" in errors
    _, errors = ended(started(digits(tmp_path, 1), "--shard"), 2)
    assert "L614" in errors


@pytest.mark.slow
def test_machines_that_share_no_disk_train_together(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    nodes = [digits(tmp_path / str(node), 2) for node in range(2)]
    call = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
        "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=1",
        "-m", "specc", "train", "spec.json",
    ]  # fmt: skip
    both = [subprocess.Popen(call, cwd=node, text=True, stdout=subprocess.PIPE) for node in nodes]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(text.count("finished after 2 epochs") for text in said) == [0, 1]
    assert len([node for node in nodes if (node / "runs").exists()]) == 1


# ── parts ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_all_rows_and_differ_by_one_at_most(size: int) -> None:
    for low, high in ((0, 16), (5, 22), (3, 3), (1, 4)):
        shares = [Ranks(rank, size).share(low, high) for rank in range(size)]
        assert [row for share in shares for row in range(*share)] == list(range(low, high))
        lengths = [end - start for start, end in shares]
        assert max(lengths) - min(lengths) <= 1


def test_a_patient_request_outlasts_a_second_signal() -> None:
    with StopRequest(patient=True) as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
    with StopRequest(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_the_pace_stops_when_any_rank_was_asked_to() -> None:
    class Pair(Ranks):
        asked = False

        def gathered(self, value: Any) -> list[Any]:
            return [value, (*value[:-1], self.asked)]

    ranks = Pair(0, 2)
    pace = Pace(ranks, StopRequest())
    pace.begin(0)
    pace.look(1)
    assert not pace.stopping
    object.__setattr__(ranks, "asked", True)
    seen = [
        step for step in range(2, 500) if not pace.stopping and pace.look(step) and pace.stopping
    ]
    assert len(seen) == 1
    alone = Pace(ALONE, StopRequest())
    alone.request.requested = True
    alone.begin(0)
    alone.look(1)
    assert alone.stopping


def test_the_shares_of_a_batch_are_its_rows() -> None:
    from specc.training.batches import Batches
    from specc.training.data.columns import ColumnSpec

    column = {"x": ColumnSpec("x", "x", "float32")}
    data = {"x": np.arange(23, dtype=np.float32)}
    whole = [b.batch["x"].tolist() for b in Batches(data, column, 8).epoch(1, 2)]
    for first in range(3):
        made = [Batches(data, column, 8, "cpu", Ranks(rank, 3)) for rank in range(3)]
        shares = [[b.batch["x"].tolist() for b in own.epoch(1, 2, first)] for own in made]
        assert [[*a, *b, *c] for a, b, c in zip(*shares, strict=True)] == whole[first:]


def test_every_rank_cuts_evaluation_at_the_same_rows(tmp_path: Path) -> None:
    class Table(torch.nn.Module):
        """Its largest result has the same size whatever the batch is."""

        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = torch.nn.Embedding(1 << 17, 4), torch.nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x + self.table(torch.arange(1 << 17)).mean(0))

    def starts(rank: int) -> list[int]:
        section = {"epochs": 1, "batch_size": 15}
        job = blob_job(tmp_path, section, Table(), ranks=Ranks(rank, 2))
        setup = build_setup(job, parse_settings(job.train), print)
        return setup.evaluation["train"].starts

    assert starts(0) == starts(1) and len(starts(0)) > 2
