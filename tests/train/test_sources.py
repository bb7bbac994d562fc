from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specc.training.data import load_dataset
from tests.train.cases import failing, interface, load, write_csv

X = {"x": {"from": "a"}}


def test_csv_columns_come_out_as_they_were_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a,b\n1,0.5\n2,-1e3\n")
    data = load(tmp_path, {"x": {"from": "a"}, "z": {"from": "b", "dtype": "float64"}})
    np.testing.assert_array_equal(data.parts["train"]["x"], np.array([1, 2], np.float32))
    np.testing.assert_array_equal(data.parts["train"]["z"], np.array([0.5, -1000.0]))


def test_a_float_below_a_megabyte_of_integers_is_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\n" + "1234567\n" * 200_000 + "0.5\n")
    column = load(tmp_path, X).parts["train"]["x"]
    assert column[-1] == 0.5
    assert column[0] == 1234567


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa\n1\n")
    assert load(tmp_path, X).parts["train"]["x"] == 1


def test_a_glob_takes_columns_in_natural_order(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "p_10,p_2,q,p_1\n10,2,0,1\n")
    column = load(tmp_path, {"x": {"from": "p_*"}}).parts["train"]["x"]
    np.testing.assert_array_equal(column, [[1, 2, 10]])


def test_parquet_lists_become_images(tmp_path: Path) -> None:
    pixels = np.arange(32, dtype=np.uint8).reshape(2, 16)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 16)
    pq.write_table(pa.table({"pixels": lists}), tmp_path / "t.parquet")
    data = load(
        tmp_path, {"image": {"from": "pixels"}}, path="t.parquet", kind="parquet",
        inputs={"image": (1, 4, 4)},
    )  # fmt: skip
    np.testing.assert_array_equal(data.parts["train"]["image"], pixels.reshape(2, 1, 4, 4))


def test_npz_takes_arrays_and_ignores_others_of_another_length(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    np.savez(tmp_path / "t.npz", a=x, other=np.zeros(9))
    data = load(tmp_path, X, path="t.npz", kind="npz")
    np.testing.assert_array_equal(data.parts["train"]["x"], x.astype(np.float32))


def test_several_files_are_one_table_and_errors_name_the_right_one(tmp_path: Path) -> None:
    write_csv(tmp_path / "d_2.csv", "a\n1\n2\n")
    write_csv(tmp_path / "d_10.csv", "a\n3\n\n4\n")
    column = load(tmp_path, X, path="d_*.csv").parts["train"]["x"]
    np.testing.assert_array_equal(column, [1, 2, 3, 4])
    write_csv(tmp_path / "d_10.csv", "a\n3\n\nx\n")
    (found,) = failing(lambda: load(tmp_path, X, path="d_*.csv"))
    assert found.message == "`d_10.csv`, row 2 (line 4), column `a`: `x` is not a number"


def test_an_input_that_is_not_listed_is_taken_by_its_name(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "x,a\n7,0\n")
    data = load(tmp_path, {}, inputs={"x": (1,)})
    np.testing.assert_array_equal(data.parts["train"]["x"], [[7]])


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, "D501", "there is no file `t.csv`"),
        (b"", "D506", "`t.csv` is empty"),
        (b"a,b\n", "D506", "`t.csv` holds no rows"),
        (b"a\x00\x01\x02", "D510", "`t.csv` is not text, so not a csv file"),
        (b"a,b\n1,2\n\n3\n", "D510",
         "`t.csv`, row 2 (line 4) has 1 cells and the header has 2"),
        (b"a,a\n1,2\n", "D510", "`t.csv` has two columns named `a`"),
        (b'b,a\n"x\ny",1\n"z",oops\n', "D503",
         "`t.csv`, row 2 (line 4), column `a`: `oops` is not a number"),
        (b"a,b\n1,2\n,3\n,4\n", "D504",
         "`t.csv`, row 2 (line 3), column `a`: the value is missing, as in 1 more row"),
        (b"a\n2024-01-31\n", "D503",
         "`t.csv`, row 1 (line 2), column `a`: a date or time is not a number"),
        (b"a\n1\ninf\n", "D513", "`t.csv`, row 2 (line 3), column `a`: the value is infinite"),
        (b"b\n1\n", "D502", "`t.csv` has no column `a`"),
    ],
)  # fmt: skip
def test_a_bad_csv_file_is_reported(
    tmp_path: Path, content: bytes | None, code: str, message: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    (found,) = failing(lambda: load(tmp_path, X))
    assert (found.code, found.message) == (code, message)


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_file_of_another_kind_is_reported(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t").write_bytes(b"certainly neither of them")
    (found,) = failing(lambda: load(tmp_path, X, path="t", kind=kind))
    assert found.code == "D510"
    assert f"can't be read as {kind}" in found.message


def test_an_npz_file_with_python_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=np.array([{}, {}], object))
    (found,) = failing(lambda: load(tmp_path, X, path="t.npz", kind="npz"))
    assert found.message == "`t.npz` can't be read as npz: it holds Python objects"


def test_lists_of_different_lengths_are_reported(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [[1, 2], [3, 4], [5]]}), tmp_path / "t.parquet")
    (found,) = failing(lambda: load(tmp_path, X, path="t.parquet", kind="parquet"))
    assert found.message == (
        "`t.parquet`, row 3, column `a`: a list of 1 values, where row 1 has 2"
    )


def test_all_wrong_columns_are_reported_at_once_with_places(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "alpha,beta\n1,2\n")
    columns = {"x": {"from": "alhpa"}, "z": {"from": "g*"}, "w": {"from": ["beta", "gamma"]}}
    asked: list[tuple[object, ...]] = []

    def locate(pointer: tuple[object, ...]) -> None:
        asked.append(pointer)

    found = failing(lambda: load(tmp_path, columns, locate=locate))
    assert [d.code for d in found] == ["D502", "D502", "D502"]
    assert found[0].hint == "did you mean `alpha`?"
    assert ("data", "columns", "x", "from") in asked


def test_an_unknown_kind_has_a_hint(tmp_path: Path) -> None:
    (found,) = failing(lambda: load(tmp_path, X, kind="parqet"))
    assert (found.code, found.hint) == ("D508", "did you mean `parquet`?")


def test_memory_takes_parts(tmp_path: Path) -> None:
    data = {"source": {"kind": "memory"}, "columns": {}}
    arrays = {"train": {"x": np.ones((3, 2))}, "val": {"x": np.zeros((2, 2))}}
    loaded = load_dataset(data, tmp_path, interface({"x": (2,)}), arrays=arrays)
    assert loaded.rows == {"train": 3, "val": 2}
