"""The shipped data sets are what specs/data/README.md says, and what their sources hold."""

from __future__ import annotations

import ast
import csv
import importlib.util
import random
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "specs" / "data"
README = (DATA / "README.md").read_text(encoding="utf-8")
NAMES = sorted(p.name for p in DATA.iterdir() if p.suffix in {".csv", ".parquet"})

IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
SHAPES = [
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
    "concave_points", "symmetry", "fractal_dimension",
]  # fmt: skip
BREAST = [f"mean_{s}" for s in SHAPES] + [f"{s}_error" for s in SHAPES]
BREAST += [f"worst_{s}" for s in SHAPES]
PIXELS = [f"pixel_{i}" for i in range(64)]
# file -> features, target, rows, loader of scikit-learn and its options
TABLES = {
    "digits.csv": (PIXELS, "digit", 1797, "load_digits", {}),
    "diabetes.csv": (DIABETES, "progression", 442, "load_diabetes", {"scaled": False}),
    "breast_cancer.csv": (BREAST, "diagnosis", 569, "load_breast_cancer", {}),
    "iris.csv": (IRIS, "species", 150, "load_iris", {}),
}


def read_csv(name: str) -> dict[str, list[str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def features(name: str) -> np.ndarray:
    table = read_csv(name)
    return np.array([table[column] for column in TABLES[name][0]], dtype=np.float64).T


def patches() -> pa.Table:
    return pq.read_table(DATA / "patches_32x32.parquet")


def docstrings() -> pa.Table:
    return pq.read_table(DATA / "docstrings.parquet")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_datasets", ROOT / "tools/make_datasets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# ── the folder ──────────────────────────────────────────────────────────────────────────────


def test_ships_every_dataset_of_the_tool_and_no_other(tool: ModuleType) -> None:
    assert sorted(tool.DATASETS) == NAMES


def test_folder_stays_small() -> None:
    assert sum(p.stat().st_size for p in DATA.rglob("*")) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_readme_states_rows_columns_source_and_licence(name: str) -> None:
    section = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", README, re.M | re.S)
    assert section is not None
    for part in ("Columns", "Source", "Licence"):
        assert f"- **{part}:** " in section[1]
    rows = pq.read_table(DATA / name).num_rows if name.endswith(".parquet") else TABLES[name][2]
    assert re.search(rf"^\| `{re.escape(name)}` \| {rows:,} \|", README, re.M)


def test_readme_names_the_versions_the_docstrings_come_from() -> None:
    source = docstrings().schema.metadata[b"source"].decode()
    readme = README.lower().replace("\n", " ")
    for entry in source.split(", "):
        assert re.search(rf"\b{re.escape(entry)}\b", readme), entry


def test_licence_texts_cover_every_package() -> None:
    texts = (DATA / "docstrings.LICENSES.txt").read_text(encoding="utf-8")
    for package in set(docstrings()["package"].to_pylist()):
        section = texts.partition(f"(label {package})")[2].partition("(label ")[0]
        assert "Copyright" in section, package
        assert "AS IS" in section, package


# ── csv ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", TABLES)
def test_csv_has_its_columns_and_rows(name: str) -> None:
    names, target, rows, _, _ = TABLES[name]
    table = read_csv(name)
    assert list(table) == [*names, target]
    assert {len(column) for column in table.values()} == {rows}


@pytest.mark.parametrize("name", TABLES)
def test_csv_has_no_missing_cell(name: str) -> None:
    assert all(cell.strip() for column in read_csv(name).values() for cell in column)
    assert np.isfinite(features(name)).all()


@pytest.mark.parametrize("name", TABLES)
def test_csv_ends_lines_with_newline_alone(name: str) -> None:
    content = (DATA / name).read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n")


@pytest.mark.parametrize("name", TABLES)
def test_csv_equals_scikit_learn(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    _, target, _, loader, options = TABLES[name]
    source = getattr(datasets, loader)(**options)
    np.testing.assert_array_equal(features(name), source.data)
    labels = read_csv(name)[target]
    if name in {"iris.csv", "breast_cancer.csv"}:
        assert labels == [source.target_names[t] for t in source.target]
    else:
        np.testing.assert_array_equal(np.array(labels, dtype=np.float64), source.target)


def test_digits_are_whole_numbers_in_range() -> None:
    table = read_csv("digits.csv")
    pixels = np.array([table[column] for column in PIXELS]).astype(np.int64)
    assert (pixels.min(), pixels.max()) == (0, 16)
    assert set(table["digit"]) == set("0123456789")


def test_diabetes_is_raw_not_scaled() -> None:
    table = {k: np.array(v, dtype=np.float64) for k, v in read_csv("diabetes.csv").items()}
    assert (table["age"].min(), table["age"].max()) == (19, 79)
    assert set(table["sex"]) == {1, 2}
    assert (table["progression"].min(), table["progression"].max()) == (25, 346)


def test_label_sets() -> None:
    diagnosis = Counter(read_csv("breast_cancer.csv")["diagnosis"])
    assert diagnosis == {"malignant": 212, "benign": 357}
    species = Counter(read_csv("iris.csv")["species"])
    assert species == {"setosa": 50, "versicolor": 50, "virginica": 50}


def test_measurements_are_in_their_published_ranges() -> None:
    iris, breast = features("iris.csv"), features("breast_cancer.csv")
    assert iris.min(axis=0).tolist() == [4.3, 2.0, 1.0, 0.1]
    assert iris.max(axis=0).tolist() == [7.9, 4.4, 6.9, 2.5]
    assert (breast >= 0).all()
    assert (breast[:, 0].min(), breast[:, 0].max()) == (6.981, 28.11)


# ── patches ─────────────────────────────────────────────────────────────────────────────────


def test_patches_schema() -> None:
    table = patches()
    assert table.schema.field("pixels").type == pa.list_(pa.uint8(), 1024)
    assert table.schema.names == ["pixels", "photo", "top", "left"]
    assert table.num_rows == 520
    assert all(column.null_count == 0 for column in table.columns)
    assert Counter(table["photo"].to_pylist()) == {"china": 260, "flower": 260}


def test_patches_do_not_overlap() -> None:
    table = patches()
    for photo in ("china", "flower"):
        covered = np.zeros((427, 640), dtype=np.int64)
        for row in table.select(["photo", "top", "left"]).to_pylist():
            if row["photo"] == photo:
                covered[row["top"] : row["top"] + 32, row["left"] : row["left"] + 32] += 1
        assert covered.sum() == 260 * 32 * 32
        assert covered.max() == 1


def test_patches_are_the_photographs_in_grey() -> None:
    pytest.importorskip("PIL")
    datasets = pytest.importorskip("sklearn.datasets")
    photos = {p: datasets.load_sample_image(f"{p}.jpg") for p in ("china", "flower")}
    for row in patches().to_pylist():
        top, left = row["top"], row["left"]
        colour = photos[row["photo"]][top : top + 32, left : left + 32].astype(np.float64)
        luma = colour @ np.array([0.299, 0.587, 0.114])
        difference = np.abs(luma.reshape(-1) - np.array(row["pixels"]))
        # Rounding takes half a level; a JPEG decoder may be off by one more.
        assert difference.max() <= 1.5


def test_patches_and_docstrings_are_mixed() -> None:
    for labels in (patches()["photo"].to_pylist(), docstrings()["package"].to_pylist()):
        kinds = len(set(labels))
        changes = sum(a != b for a, b in pairwise(labels))
        expected = (len(labels) - 1) * (1 - 1 / kinds)
        assert abs(changes - expected) < 4 * (expected / kinds) ** 0.5  # binomial deviations


# ── docstrings ──────────────────────────────────────────────────────────────────────────────


def test_docstrings_schema() -> None:
    table = docstrings()
    assert table.schema.names == ["text", "package"]
    assert table.schema.types == [pa.string(), pa.string()]
    packages = Counter(table["package"].to_pylist())
    labels = ("python", "networkx", "numpy", "scipy", "sklearn", "sympy")
    assert packages == dict.fromkeys(labels, 660)


def test_docstrings_are_plain_words_without_the_answer() -> None:
    table = docstrings()
    labels = set(table["package"].to_pylist())
    for text in table["text"].to_pylist():
        assert re.fullmatch(r"[a-z]{2,}( [a-z]{2,}){29,179}", text)
        assert not any(label in word for label in labels for word in text.split())


def test_docstrings_do_not_repeat() -> None:
    starts = [tuple(text.split()[:12]) for text in docstrings()["text"].to_pylist()]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_training_part_holds_ten_thousand_words(seed: int) -> None:
    texts = docstrings()["text"].to_pylist()
    random.Random(seed).shuffle(texts)
    training = texts[: int(0.7 * len(texts))]
    assert len({word for text in training for word in text.split()}) >= 10_000


def test_docstrings_can_be_learnt_from_their_words() -> None:
    table = docstrings()
    texts, labels = table["text"].to_pylist(), np.array(table["package"].to_pylist())
    split = int(0.8 * len(texts))
    counts = Counter(word for text in texts[:split] for word in text.split())
    vocabulary = {word: i for i, (word, _) in enumerate(counts.most_common(10_000))}
    bags = np.zeros((len(texts), len(vocabulary)), dtype=np.float32)
    for bag, text in zip(bags, texts, strict=True):
        bag[[vocabulary[word] for word in text.split() if word in vocabulary]] = 1
    classes = sorted(set(labels))
    # Bernoulli naive Bayes on word presence: linear, closed form, no seed.
    seen = np.stack([bags[:split][labels[:split] == c].mean(axis=0) for c in classes])
    odds = np.clip(seen, 1e-3, 1 - 1e-3)
    scores = bags[split:] @ np.log(odds / (1 - odds)).T + np.log(1 - odds).sum(axis=1)
    found = np.array(classes)[scores.argmax(axis=1)]
    assert (found == labels[split:]).mean() > 0.8


# ── the tool ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", TABLES)
def test_tool_writes_the_shipped_bytes(name: str, tool: ModuleType) -> None:
    pytest.importorskip("sklearn.datasets")
    assert tool.DATASETS[name]() == (DATA / name).read_bytes()


def test_parquet_bytes_do_not_change_from_run_to_run(tool: ModuleType) -> None:
    table = patches().slice(0, 50)
    assert tool.parquet_bytes(table, "x 1") == tool.parquet_bytes(table, "x 1")


def test_csv_reads_back_every_float_exactly(tool: ModuleType) -> None:
    values = [0.1, 1 / 3, 5e-324, 1e22]
    lines = tool.csv_bytes({"x": values}).decode().splitlines()
    assert [float(line) for line in lines[1:]] == values


def test_grid_leaves_out_the_incomplete_cells(tool: ModuleType) -> None:
    image = np.arange(70 * 65).reshape(70, 65)
    cells = [(top, left) for top, left, _ in tool.grid_patches(image)]
    assert cells == [(0, 0), (0, 32), (32, 0), (32, 32)]
    assert list(tool.grid_patches(image))[3][2][0] == image[32, 32]


def test_docstrings_of_public_names_alone(tool: ModuleType) -> None:
    source = '''
"""module"""
def public():
    """function"""
    def inner():
        """inner"""
async def waiting():
    """coroutine"""
def _private():
    """private"""
class Public:
    """class"""
    def method(self):
        """method"""
    def _hidden(self):
        """hidden"""
class _Private:
    """private class"""
    def method(self):
        """method of private"""
add_newdoc("numpy", "ufunc", ("member", """compiled"""))
other("not documentation")
'''
    found = set(tool.public_docstrings(ast.parse(source))) - {""}
    assert found == {"module", "function", "coroutine", "class", "method", "compiled"}


def test_words_leave_out_doctests_digits_and_package_names(tool: ModuleType) -> None:
    docstring = """Sum of a NumPy array_like, in float64.

    >>> np.sum([1, 2])
    ... more
    See scipy.sparse and NetworkXError; nx, not next.
    """
    expected = "sum of array like in float see sparse and not next"
    assert " ".join(tool.words_of(docstring)) == expected
    assert len(tool.words_of("word " * 500)) == tool.MAX_WORDS


def test_tool_refuses_too_small_a_vocabulary(tool: ModuleType) -> None:
    with pytest.raises(tool.DatasetError, match="2 distinct words"):
        tool.check_vocabulary(["one two"] * 10)


def test_write_leaves_no_temporary_file(tool: ModuleType, tmp_path: Path) -> None:
    tool.write(tmp_path / "new" / "x.csv", b"a\n")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.csv"]
