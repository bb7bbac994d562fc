from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specc.training.data import Dataset
from specc.training.data.archive import npz_arrays
from specc.training.data.lazy import Lazy
from specc.training.problems import TrainError
from tests.train.cases import failing, load, write_csv

X = {"x": {"from": "a"}}


def column(folder: Path, path: str | list[str], kind: str = "csv", **rest: object) -> list[float]:
    data = load(folder, X, kind=kind, source={"path": path, **rest})
    values = data.parts["train"]["x"]
    return [float(value) for value in values[:]]


def test_files_are_taken_by_name_list_glob_and_folder(tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    for name, value in (("in/d_10.csv", 10), ("in/d_2.csv", 2), ("in/deep/e.csv", 3)):
        write_csv(tmp_path / name, f"a\n{value}\n")
    write_csv(tmp_path / "in/readme.md", "no data")
    write_csv(tmp_path / "in/.hidden.csv", "a\n99\n")
    assert column(tmp_path, "in/d_2.csv") == [2]
    assert column(tmp_path, ["in/d_10.csv", "in/d_2.csv", "in/d_10.csv"]) == [10, 2]
    assert column(tmp_path, "in/d_*.csv") == [2, 10]
    assert column(tmp_path, "in") == [2, 10, 3]
    assert column(tmp_path, "in/**/*.csv") == [99, 2, 10, 3]
    assert column(tmp_path, str(tmp_path / "in/d_*.csv")) == [2, 10]
    (found,) = failing(lambda: column(tmp_path, "in", "parquet"))
    assert found.message == "the folder `in` holds no parquet file (`.parquet`, `.pq`)"
    (found,) = failing(lambda: column(tmp_path, "out/*.csv"))
    assert found.message == "no file matches `out/*.csv`"


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_cells_are_cut_at_the_delimiter(tmp_path: Path, delimiter: str, memory: bool) -> None:
    text = 'b,a\n"1,5",2\n0,3\n'.replace(",", delimiter)
    write_csv(tmp_path / "t.csv", text)
    data = load(tmp_path, X, source={"delimiter": delimiter, "memory": memory})
    assert data.first("train", 9)["x"].tolist() == [2, 3]
    (found,) = failing(lambda: load(tmp_path, X, source={"memory": memory}))
    assert (found.code, found.message) == ("D502", "`t.csv` has no column `a`")


def test_each_npy_file_is_a_column(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(12).reshape(4, 3))
    np.save(tmp_path / "a.npy", np.arange(4) / 2)
    data = load(
        tmp_path, {"y": {"from": "a"}}, kind="npy", inputs={"x": (3,)},
        source={"path": ["x.npy", "a.npy"]},
    )  # fmt: skip
    np.testing.assert_array_equal(data.parts["train"]["x"], np.arange(12.0).reshape(4, 3))
    assert data.parts["train"]["y"].tolist() == [0, 0.5, 1, 1.5]
    np.save(tmp_path / "short.npy", np.arange(3))
    columns = {"y": {"from": "a"}, "z": {"from": "short"}}
    (found,) = failing(lambda: load(tmp_path, columns, kind="npy", source={"path": "*.npy"}))
    assert "column `a` has 4 rows and column `short` has 3" in found.message


def test_the_fields_of_a_record_array_are_columns(tmp_path: Path) -> None:
    records = np.array([(1, 2.5), (3, 4.5)], [("a", "i4"), ("b", "f8")])
    np.save(tmp_path / "t.npy", records)
    assert column(tmp_path, "t.npy", "npy") == [1, 3]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compressed", [True, False])
def test_an_archive_is_mapped_where_it_is_not_compressed(
    tmp_path: Path, compressed: bool, order: str
) -> None:
    arrays = {
        "a": np.asarray(np.random.default_rng(0).normal(size=(7, 5, 2)), order=order),
        "long name of an array": np.arange(7, dtype=">i2"), "none": np.zeros((0, 3)),
    }  # fmt: skip
    (np.savez_compressed if compressed else np.savez)(tmp_path / "t.npz", **arrays)
    found = npz_arrays(tmp_path / "t.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert isinstance(found["a"], np.memmap) is not compressed


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_mapped_arrays_give_the_rows_that_loaded_ones_do(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6), dtype=np.uint8)
    numbers = np.arange(40) % 5
    np.savez(tmp_path / "t.npz", x=pixels, a=numbers)
    np.save(tmp_path / "x.npy", pixels)
    np.save(tmp_path / "a.npy", numbers)

    def made(memory: bool) -> dict[str, np.ndarray]:
        data = load(
            tmp_path, {"n": {"from": "a", "dtype": "int64"}}, kind=kind, inputs={"x": (2, 3)},
            split={"train": 0.5, "val": 0.5, **({"stratify": "n"} if memory else {})},
            source={"path": "t.npz" if kind == "npz" else ["x.npy", "a.npy"], "memory": memory},
        )  # fmt: skip
        part = data.parts["val"]
        assert all(isinstance(array, Lazy) is not memory for array in part.values())
        return {name: array[:] for name, array in part.items()}

    held = load(
        tmp_path, {"n": {"from": "a", "dtype": "int64"}}, kind="npz", inputs={"x": (2, 3)},
        path="t.npz", split={"train": 0.5, "val": 0.5},
    ).parts["val"]  # fmt: skip
    for name, array in made(False).items():
        np.testing.assert_array_equal(array, held[name])
        assert array.dtype == held[name].dtype
    assert made(True)["x"].shape == (20, 2, 3)


def test_a_bad_value_of_a_mapped_array_is_named_when_it_is_read(tmp_path: Path) -> None:
    values = np.arange(6.0)
    values[4] = np.nan
    np.savez(tmp_path / "t.npz", a=values)
    data = load(tmp_path, X, kind="npz", path="t.npz", source={"memory": False})
    lazy = data.parts["train"]["x"]
    assert lazy.take(np.array([1, 5])).tolist() == [1, 5]
    with pytest.raises(TrainError) as caught:
        lazy.take(np.array([3, 4]))
    assert caught.value.message == "`t.npz`, row 5, column `a`: the value is missing"
    assert caught.value.under("train").at == ("data", "columns", "x", "from")


def test_dates_are_refused_in_whatever_form(tmp_path: Path) -> None:
    for text in ("2024-01-31", "2024-01-31 10:00", "31.01.2024", "1/31/2024"):
        write_csv(tmp_path / "t.csv", f"a\n1\n{text}\n")
        (found,) = failing(lambda: column(tmp_path, "t.csv"))
        assert found.message == (
            "`t.csv`, row 2 (line 3), column `a`: a date or time is not a number"
        )
        assert found.hint == "turn it into numbers first, such as days since a fixed date"
    table = pa.table({"a": np.array(["2024-01-31"], "M8[D]")})
    pq.write_table(table, tmp_path / "t.parquet")
    (found,) = failing(lambda: column(tmp_path, "t.parquet", "parquet"))
    assert "a date or time is not a number" in found.message


def test_categories_go_into_an_embedding_that_is_large_enough(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\nred\nblue\nred\ngreen\n")

    def made(high: int) -> Dataset:
        columns = {"x": {"from": "a", "encode": "class"}}
        return load(tmp_path, columns, inputs={"x": ()}, dtype="int64", high=high)

    assert made(3).parts["train"]["x"].tolist() == [2, 0, 2, 1]
    (found,) = failing(lambda: made(2))
    assert (found.code, found.message) == ("D505", "column `x` has 3 classes and the input takes 2")


def test_a_value_beyond_the_embedding_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\n0\n3\n")
    (found,) = failing(lambda: load(tmp_path, X, inputs={"x": ()}, dtype="int64", high=3))
    assert found.message == "`t.csv`, row 2 (line 3), column `a`: 3 is out of range, 0 to 2"
