from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from specc.api.model import load as load_model
from specc.api.training import train as train_model
from specc.training.batches import batches_of
from specc.training.data import Dataset
from specc.training.data.memory import in_memory, machine_memory
from specc.training.data.streaming import Stream
from tests.train.cases import (
    Normalization,
    blobs,
    classifier,
    failing,
    load,
    run,
    write_csv,
)
from tests.train.test_resume import Stops, same_outcome

COLUMNS = {
    "x": {"from": ["a", "b"]}, "label": {"from": "word", "encode": "class"},
    "n": {"from": "n", "dtype": "int64"},
}  # fmt: skip


def table(rows: int = 1000) -> pa.Table:
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)]
    return pa.table({
        "a": rng.normal(size=rows), "b": rng.normal(size=rows).astype(np.float32), "word": words,
        "n": np.arange(rows), "group": np.arange(rows) // 10,
    })  # fmt: skip


@pytest.fixture(params=["csv", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def streamed(
    folder: Path, kind: str, split: Mapping[str, Any] | None = None, *, rows: int = 1000,
    source: Mapping[str, Any] | None = None, memory: bool = False,
    columns: Mapping[str, Any] = COLUMNS, made: pa.Table | None = None,
) -> Dataset:  # fmt: skip
    data = table(rows) if made is None else made
    if kind == "csv":
        pa.csv.write_csv(data, folder / "t.csv")
    else:
        pq.write_table(data, folder / "t.parquet", row_group_size=130)
    shares = split or {"train": 0.8, "val": 0.1, "test": 0.1}
    return load(
        folder, columns, path=f"t.{kind}", kind=kind, split=shares,
        source={"memory": memory, **(source or {})},
    )  # fmt: skip


def part(data: Dataset, name: str) -> dict[str, np.ndarray]:
    rows = data.parts[name]
    assert isinstance(rows, Stream)
    chunks = list(rows.ordered())
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}


def order(data: Dataset, epoch: int, *, seed: int = 0, first: int = 0, size: int = 16) -> list[int]:
    batches = batches_of(data.parts["train"], data.columns, size)
    return [int(n) for batch, *_ in batches.epoch(seed, epoch, first) for n in batch["n"]]


def test_streamed_rows_are_those_in_memory(tmp_path: Path, kind: str) -> None:
    shares = {"train": 0.7, "val": 0.3, "shuffle": False}
    stream = streamed(tmp_path, kind, shares)
    held = streamed(tmp_path, kind, shares, memory=True)
    assert stream.labels == held.labels == {"label": ["blue", "green", "red"]}
    assert stream.rows == held.rows == {"train": 700, "val": 300}
    for name in ("train", "val"):
        rows, expected = part(stream, name), held.parts[name]
        for key in expected:
            np.testing.assert_array_equal(rows[key], expected[key])
            assert rows[key].dtype == expected[key].dtype


def test_a_row_is_in_one_part_whatever_the_chunks(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("train", "val", "test")
    parts = {name: part(streamed(tmp_path, kind), name)["n"].tolist() for name in names}
    assert sorted(n for rows in parts.values() for n in rows) == list(range(1000))
    assert 760 < len(parts["train"]) < 840
    assert streamed(tmp_path, kind).rows == {name: len(rows) for name, rows in parts.items()}
    monkeypatch.setattr("specc.training.data.chunks.CHUNK_BYTES", 700)
    again = streamed(tmp_path, kind)
    assert {name: part(again, name)["n"].tolist() for name in names} == parts
    other = streamed(tmp_path, kind, {"train": 0.8, "val": 0.1, "test": 0.1, "seed": 1})
    assert part(other, "val")["n"].tolist() != parts["val"]


def test_fractions_may_leave_rows_out(tmp_path: Path, kind: str) -> None:
    assert sum(streamed(tmp_path, kind, {"train": 0.3, "val": 0.2}).rows.values()) < 600


def test_groups_stay_together(tmp_path: Path, kind: str) -> None:
    data = streamed(tmp_path, kind, {"train": 0.6, "val": 0.4, "group": "group"})
    train, val = (set((part(data, name)["n"] // 10).tolist()) for name in ("train", "val"))
    assert train | val == set(range(100))
    assert not train & val
    assert 40 < len(train) < 80


def test_files_for_each_part(tmp_path: Path, kind: str) -> None:
    streamed(tmp_path, kind)
    files = {"train": f"t.{kind}", "val": [f"v_1.{kind}", f"v_2.{kind}"]}
    for name in files["val"]:
        (tmp_path / name).write_bytes((tmp_path / f"t.{kind}").read_bytes())
    data = load(tmp_path, COLUMNS, kind=kind, split=files, source={"memory": False})
    assert data.rows == {"train": 1000, "val": 2000}
    assert part(data, "val")["n"].tolist() == [*range(1000)] * 2


@pytest.mark.parametrize("buffer", [None, 64, 100_000])
def test_an_epoch_has_each_row_once_in_an_order_of_its_own(
    tmp_path: Path, kind: str, buffer: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specc.training.data.chunks.CHUNK_BYTES", 2000)
    data = streamed(tmp_path, kind, source={"buffer": buffer} if buffer else {})
    rows = part(data, "train")["n"].tolist()
    first, second = order(data, 0), order(data, 1)
    assert sorted(first) == sorted(second) == rows
    assert first != second
    assert first == order(streamed(tmp_path, kind, source={"buffer": buffer} if buffer else {}), 0)
    assert first != order(data, 0, seed=1)
    # Neighbours in the file must not stay neighbours.
    assert sum(abs(a - b) == 1 for a, b in pairwise(first)) < 30


def test_an_epoch_goes_on_from_any_batch(tmp_path: Path, kind: str) -> None:
    data = streamed(tmp_path, kind, source={"buffer": 200})
    whole = order(data, 3)
    for batch in (1, 7, 30):
        assert (
            order(streamed(tmp_path, kind, source={"buffer": 200}), 3, first=batch)
            == (whole[16 * batch :])
        )


def test_row_groups_come_in_random_order(tmp_path: Path) -> None:
    data = streamed(tmp_path, "parquet", {"train": 1.0}, source={"buffer": 1})
    starts = [order(data, epoch)[0] // 130 for epoch in range(12)]
    assert len(set(starts)) > 3


def test_the_label_of_a_batch_stays_with_its_row(tmp_path: Path, kind: str) -> None:
    data = streamed(tmp_path, kind, source={"buffer": 50})
    source = table()
    words, values = source["word"].to_pylist(), source["a"].to_numpy().astype(np.float32)
    batches = batches_of(data.parts["train"], data.columns, 32)
    for batch, *_ in batches.epoch(0, 0):
        for n, label, x in zip(batch["n"], batch["label"], batch["x"], strict=True):
            assert data.labels["label"][label] == words[n]
            assert x[0] == torch.tensor(values[n])


def test_vocabularies_are_those_of_the_training_part(tmp_path: Path, kind: str) -> None:
    texts = [f"all w{i % 7} only{i}" for i in range(300)]
    made = pa.table({"t": texts, "n": np.arange(300)})
    columns = {"x": {"from": "t", "encode": "multi_hot", "shape": [5]}, "n": {"dtype": "int64"}}
    data = streamed(tmp_path, kind, {"train": 0.5, "val": 0.5}, made=made, columns=columns)
    counts: dict[str, int] = {}
    for n in part(data, "train")["n"].astype(int):
        for word in texts[n].split():
            counts[word] = counts.get(word, 0) + 1
    assert data.labels["x"] == sorted(counts, key=lambda word: (-counts[word], word))[:5]


def test_a_number_far_down_a_csv_file_may_turn_out_to_be_a_fraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specc.training.data.chunks.CHUNK_BYTES", 1000)
    write_csv(tmp_path / "t.csv", "a\n" + "12345\n" * 5000 + "0.5\n")
    data = load(tmp_path, {"x": {"from": "a"}}, source={"memory": False})
    assert part(data, "train")["x"][-2:].tolist() == [12345, 0.5]


def bad_row(folder: Path, kind: str, source: Mapping[str, Any]) -> str:
    values = [str(n) for n in range(1000)]
    values[700] = "many"
    made = pa.table({"a": values, "word": values})
    data = streamed(
        folder, kind, {"train": 1.0}, made=made, columns={"x": {"from": "a"}}, source=source
    )
    (found,) = failing(lambda: list(data_order(data)))
    assert found.code == "D503"
    return found.message


def data_order(data: Dataset) -> list[Any]:
    from specc.diagnostics.model import SpeccError
    from specc.training.problems import TrainError, nowhere

    try:
        return list(batches_of(data.parts["train"], data.columns, 8).epoch(0, 0))
    except TrainError as problem:
        assert problem.under("train").at == ("data", "columns", "x", "from")
        raise SpeccError([problem.diagnostic(nowhere)]) from problem


def test_a_bad_cell_is_named_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specc.training.data.chunks.CHUNK_BYTES", 1000)
    place = "row 701, column `a`: `many` is not a number"
    assert bad_row(tmp_path, "parquet", {}) == f"`t.parquet`, {place}"
    message = bad_row(tmp_path, "csv", {})
    assert message == f"`t.csv`, {place.replace(',', ' (line 702),', 1)}"


def test_training_stops_at_a_bad_cell_and_shows_its_column_in_the_spec(tmp_path: Path) -> None:
    values = [str(n % 7) for n in range(1000)]
    values[900] = "many"
    pq.write_table(pa.table({"a": values, "y": np.ones(1000)}), tmp_path / "t.parquet", 100)
    spec = {
        "specc": 1, "name": "late", "inputs": {"x": {"shape": ["batch", 1]}},
        "layers": [{"op": "Linear", "out_features": 1}],
        "data": {
            "source": {"kind": "parquet", "path": "t.parquet", "memory": False, "buffer": 1},
            "columns": {"x": {"from": "a"}, "y": {"shape": [1]}}, "split": {"train": 1.0},
        },
        "train": {"loss": {"op": "MSELoss", "from": ["output", "y"]}, "epochs": 1,
                  "batch_size": 50},
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec, indent=1))
    model = load_model(tmp_path / "spec.json")
    (found,) = failing(lambda: train_model(model, runs=tmp_path / "runs"))
    assert found.message == "`t.parquet`, row 901, column `a`: `many` is not a number"
    assert found.primary is not None
    span = found.primary.span
    assert span.source.text[span.start : span.end] == '"a"'


@pytest.mark.parametrize(
    ("split", "code", "message"),
    [
        ({"train": 0.8, "val": 0.2, "stratify": "label"}, "D509",
         "rows that are streamed can't be stratified"),
        ({"train": 0.8, "val": 0.3}, "D509", "the parts add up to 1.1, more than 1"),
        ({"train": 1.2, "val": -0.2}, "D509", "`val` is -0.2, less than 0"),
        ({"train": 0.9, "val": 1e-9}, "D506", "the `val` part is empty"),
        ({"val": 0.5}, "D509", "the split has no `train` part"),
        ({"train": 0.5, "group": "grop"}, "D502", "has no column `grop`"),
    ],
)  # fmt: skip
def test_a_bad_split_is_reported(
    tmp_path: Path, kind: str, split: dict[str, Any], code: str, message: str
) -> None:
    (found,) = failing(lambda: streamed(tmp_path, kind, split))
    assert found.code == code
    assert message in found.message


def test_what_a_csv_file_can_be_is_found_out_before_training(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a,b\n1,2\n3\n")
    (found,) = failing(lambda: load(tmp_path, {"x": {"from": "a"}}, source={"memory": False}))
    assert found.message == "`t.csv`, row 2 (line 3) has 1 cells and the header has 2"
    (tmp_path / "t").write_bytes(b"PAR1 but no more")
    (found,) = failing(
        lambda: load(tmp_path, {}, path="t", kind="parquet", source={"memory": False})
    )
    assert "`t` can't be read as parquet" in found.message


def test_the_spec_or_the_machine_decides_where_data_is_held() -> None:
    assert in_memory({}, machine_memory() // 4)
    assert not in_memory({}, machine_memory())
    assert in_memory({"memory": True}, machine_memory() * 2)
    assert not in_memory({"memory": False}, 1)


def test_a_large_file_is_streamed_by_itself(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specc.training.data.memory.machine_memory", lambda: 10_000)
    data = streamed(tmp_path, kind, source={"memory": None})
    assert isinstance(data.parts["train"], Stream)


CHILD = """
import json, resource, sys
from pathlib import Path
import torch
from specc.api.model import load
from specc.api.training import train

torch.set_num_threads(1)
def peak():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

def now():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

columns, memory = 64, sys.argv[2] == "memory"
spec = {
    "specc": 1, "name": "large", "inputs": {"x": {"shape": ["batch", columns]}},
    "layers": [{"op": "Normalization", "stats": "data"}, {"op": "Linear", "out_features": 1}],
    "data": {
        "source": {"kind": "parquet", "path": sys.argv[1] + "/t.parquet", "memory": memory},
        "columns": {"x": {"from": "x"}, "y": {"from": "y", "shape": [1]}},
        "split": {"train": 0.9, "val": 0.1},
    },
    "train": {"loss": {"op": "MSELoss", "from": ["output", "y"]}, "epochs": 1, "batch_size": 4096,
              "optimizer": {"op": "SGD", "lr": 0.01}},
}
model = load(spec)
model.compile(seed=0)
torch.zeros(4, 4).matmul(torch.zeros(4, 4))
before = now()
train(model, runs=Path(sys.argv[1]) / "runs")
print(json.dumps({"before": before, "peak": peak()}))
"""


def resident(folder: Path, memory: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), memory],
        capture_output=True,
        text=True,
        check=True,
    )
    sizes = json.loads(done.stdout.splitlines()[-1])
    return int(sizes["peak"] - sizes["before"])


@pytest.mark.slow
def test_a_data_set_larger_than_its_memory_trains(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rng = np.random.default_rng(0)
    rows = 50_000
    with pq.ParquetWriter(
        path, pa.schema({"x": pa.list_(pa.float32(), 64), "y": pa.float32()}), compression="none",
        use_dictionary=False,
    ) as writer:  # fmt: skip
        for _ in range(40):
            x = rng.normal(size=(rows, 64)).astype(np.float32)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 64)
            batch = pa.table({"x": lists, "y": pa.array(x.sum(axis=1))}, writer.schema)
            writer.write_table(batch, row_group_size=rows)
    size = path.stat().st_size
    try:
        assert size > 500_000_000
        assert resident(tmp_path, "stream") < 480_000_000
        # The measure is able to tell: held in memory, the same run takes more than the file.
        assert resident(tmp_path, "memory") > size
    finally:
        path.unlink()


@pytest.mark.parametrize("kind", ["parquet", "image_folder"])
def test_a_run_on_streamed_data_resumes_to_the_same_bits(tmp_path: Path, kind: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    data, module = (flowers if kind == "parquet" else pets)(tmp_path)
    result = run(whole, RESUMED, module=Stops(module(), at=0), dataset=data())
    for at in (3, 4, 1):
        stopped = run(parts, RESUMED, module=Stops(module(), at), dataset=data(), resume=True)
        assert stopped.stopped == "interrupted"
    resumed = run(parts, RESUMED, module=Stops(module(), at=0), dataset=data(), resume=True)
    assert (resumed.stopped, resumed.steps) == ("finished", result.steps)
    assert resumed.metrics == result.metrics
    same_outcome(whole, parts)


RESUMED = {"epochs": 3, "batch_size": 16, "optimizer": {"op": "SGD", "lr": 0.05, "momentum": 0.9}}


def flowers(folder: Path) -> tuple[Callable[[], Dataset], Callable[[], nn.Module]]:
    x, label = blobs()
    columns = {f"x_{i}": x[:, i] for i in range(4)}
    pq.write_table(pa.table({**columns, "label": label}), folder / "t.parquet", row_group_size=40)

    def data() -> Dataset:
        return load(
            folder, {"x": {"from": "x_*"}, "label": {"encode": "class"}}, kind="parquet",
            inputs={"x": (4,)}, path="t.parquet", source={"memory": False, "buffer": 60},
            split={"train": 0.7, "val": 0.3},
        )  # fmt: skip

    return data, lambda: classifier(0.3)


def pets(folder: Path) -> tuple[Callable[[], Dataset], Callable[[], nn.Module]]:
    rng = np.random.default_rng(0)
    for i in range(90):
        place = folder / "pets" / "abc"[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(place / f"{i}.png")

    def data() -> Dataset:
        augment = [{"op": "RandomCrop", "padding": 2}, {"op": "RandomErasing"}]
        return load(
            folder, {"x": {"from": "image"}}, kind="image_folder", inputs={"x": (1, 4, 4)},
            targets=["label"], path="pets", source={"augment": augment},
            split={"train": 0.7, "val": 0.3},
        )  # fmt: skip

    def module() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(Normalization(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 3))

    return data, module
