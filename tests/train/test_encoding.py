from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specc.training.data import ColumnSpec, column_specs, encode_inputs, read_table
from tests.train.cases import SPECS_DATA, failing, interface, load, write_csv


def test_numbers_as_labels_are_sorted_by_value(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\n10\n9\n2\n9\n")
    data = load(tmp_path, {"x": {"from": "a", "encode": "class"}})
    assert data.labels["x"] == [2, 9, 10]
    np.testing.assert_array_equal(data.parts["train"]["x"], [2, 1, 0, 1])
    assert data.parts["train"]["x"].dtype == np.int64


def test_texts_as_labels_keep_na_apart_from_missing(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a,b\nNA,1\nEU,2\n")
    data = load(tmp_path, {"x": {"from": "a", "encode": "class"}})
    assert data.labels["x"] == ["EU", "NA"]
    write_csv(tmp_path / "t.csv", "a,b\nNA,1\nEU,1\n,2\n")
    (found,) = failing(lambda: load(tmp_path, {"x": {"from": "a", "encode": "class"}}))
    assert found.message == "`t.csv`, row 3 (line 4), column `a`: the label is missing"


def test_class_codes_take_the_dtype_and_shape_of_a_binary_loss(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\nyes\nno\n")
    column = {"from": "a", "encode": "class", "dtype": "float32", "shape": [1]}
    array = load(tmp_path, {"x": column}).parts["train"]["x"]
    np.testing.assert_array_equal(array, np.array([[1], [0]], np.float32))
    assert array.dtype == np.float32


def test_one_hot(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\nb\na\nc\n")
    array = load(tmp_path, {"x": {"from": "a", "encode": "one_hot"}}).parts["train"]["x"]
    np.testing.assert_array_equal(array, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])


def test_multi_hot_keeps_the_most_frequent_words_of_the_training_part(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", "t\nthe cat the\nb a\na dog\n")
    write_csv(tmp_path / "b.csv", "t\ndog dog dog dog\ncat  b\n")
    column = {"from": "t", "encode": "multi_hot", "shape": [3]}
    data = load(tmp_path, {"x": column}, split={"train": "a.csv", "val": "b.csv"})
    assert data.labels["x"] == ["a", "the", "b"]
    np.testing.assert_array_equal(data.parts["train"]["x"], [[0, 1, 0], [1, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(data.parts["val"]["x"], [[0, 0, 0], [0, 0, 1]])


def test_multi_hot_of_lists_equals_that_of_texts(tmp_path: Path) -> None:
    texts = ["x y z", "y", "", "z z x"]
    pq.write_table(pa.table({"t": [t.split() for t in texts]}), tmp_path / "t.parquet")
    write_csv(tmp_path / "t.csv", "t,n\n" + "".join(f"{t},1\n" for t in texts))
    column = {"x": {"from": "t", "encode": "multi_hot", "shape": [2]}}
    lists = load(tmp_path, column, path="t.parquet", kind="parquet")
    from_text = load(tmp_path, column)
    assert lists.labels == from_text.labels == {"x": ["z", "x"]}
    np.testing.assert_array_equal(lists.parts["train"]["x"], from_text.parts["train"]["x"])


def test_the_vocabulary_of_real_texts_is_what_a_counter_gives() -> None:
    table = pq.read_table(SPECS_DATA / "docstrings.parquet")
    column = {"from": "text", "encode": "multi_hot", "shape": [500]}
    data = load(SPECS_DATA, {"x": column}, path="docstrings.parquet", kind="parquet")
    texts = table["text"].to_pylist()
    counts = Counter(word for text in texts for word in text.split())
    expected = sorted(counts, key=lambda word: (-counts[word], word))[:500]
    assert data.labels["x"] == expected
    row = data.parts["train"]["x"][17]
    assert {w for w, bit in zip(expected, row, strict=True) if bit} == set(expected) & set(
        texts[17].split()
    )


def test_missing_values_take_the_fill_value(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a,b\n1,2\n,3\n")
    array = load(tmp_path, {"x": {"from": "a", "missing": -1}}).parts["train"]["x"]
    np.testing.assert_array_equal(array, [1, -1])


def test_a_label_that_training_never_saw_is_an_error(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\nx\ny\nx\nz\n")
    split = {"train": 0.5, "val": 0.5, "shuffle": False}
    (found,) = failing(lambda: load(tmp_path, {"x": {"from": "a", "encode": "class"}}, split=split))
    assert found.code == "D512"
    assert found.message == (
        "`t.csv`, row 4 (line 5), column `a`: the label `z` does not occur in the training data"
    )


@pytest.mark.parametrize(
    ("column", "inputs", "code", "message"),
    [
        ({"from": "p*"}, {"x": (2, 2)}, "D507",
         "column `x` has 3 values a row, which shape (2, 2) can't hold"),
        ({"from": "p*", "shape": [3]}, {"x": (1, 3)}, "D507",
         "column `x` has shape (3,) and the model's input `x` takes (1, 3)"),
        ({"from": "p0", "dtype": "int64"}, {}, "D514",
         "`t.csv`, row 1 (line 2), column `p0`: 0.5 is no value of int64"),
        ({"from": "p1", "dtype": "uint8"}, {}, "D514",
         "`t.csv`, row 2 (line 3), column `p1`: 300 is no value of uint8"),
        ({"from": ["p0", "p1"], "encode": "class"}, {}, "D507",
         "`encode` takes one column and `x` is made of 2"),
        ({"from": "p1", "encode": "one_hot", "shape": [1]}, {}, "D507",
         "column `p1` has 2 classes and the shape holds 1"),
        ({"from": "p1", "encode": "multi_hot"}, {}, "D507", "column `x` needs a shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_reported(
    tmp_path: Path, column: dict[str, object], inputs: dict[str, tuple[int, ...]], code: str,
    message: str,
) -> None:  # fmt: skip
    write_csv(tmp_path / "t.csv", "p0,p1,p2\n0.5,1,2\n1.5,300,3\n")
    (found,) = failing(lambda: load(tmp_path, {"x": column}, inputs=inputs))
    assert (found.code, found.message) == (code, message)


def test_labels_beyond_the_model_s_classes_are_reported(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "a\n0\n3\n1\n")
    column = {"x": {"from": "a", "dtype": "int64"}}
    (found,) = failing(lambda: load(tmp_path, column, class_limits={"x": 3}))
    assert found.message == ("`t.csv`, row 2 (line 3), column `a`: 3 is out of range, 0 to 2")
    encoded = {"x": {"from": "a", "encode": "class"}}
    (found,) = failing(lambda: load(tmp_path, encoded, class_limits={"x": 2}))
    assert found.message == "column `x` has 3 classes and the model gives 2"


def test_prediction_encodes_as_training_does_without_torch(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "w,p_1,p_0\nhot cold,3,2\nhot,5,4\n")
    columns = {"words": {"from": "w", "encode": "multi_hot"}, "x": {"from": "p_*"}}
    given = interface({"words": (2,), "x": (1, 2)})
    trained = load(tmp_path, columns, inputs={"words": (2,), "x": (1, 2)})
    specs = {n: c.to_json() for n, c in column_specs(columns, given).items()}
    kept = json.loads(json.dumps({"specs": specs, "labels": trained.labels}))
    again = {name: ColumnSpec.from_json(plain) for name, plain in kept["specs"].items()}
    arrays = encode_inputs(again, kept["labels"], read_table(tmp_path / "t.csv", {}))
    for name, array in arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, trained.parts["train"][name])


def test_the_data_package_imports_no_torch() -> None:
    code = "import specc.training.data, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
