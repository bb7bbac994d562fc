"""Rebuild the data sets of specs/data from the development packages, without a download.

Usage: python tools/make_datasets.py [--out DIR] [NAME ...]
Needs scikit-learn for all but docstrings.parquet, and pillow for patches_32x32.parquet.
On one set of package versions every run writes the same bytes.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import importlib.metadata
import importlib.util
import io
import platform
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parents[1] / "specs" / "data"

PATCH = 32
# ITU-R BT.601 luma in thousandths: integers, so that no platform rounds differently.
LUMA = np.array([299, 587, 114])

PACKAGES = ("python", "networkx", "numpy", "scipy", "sklearn", "sympy")
ROWS_PER_PACKAGE = 660
MIN_WORDS, MAX_WORDS = 30, 180
# Two docstrings that begin alike are one text in two places, which a split must not tear apart.
SAME_START = 12
VOCABULARY = 10_000
SMALLEST_TRAINING_SHARE = 0.7
# Tests and vendored code: the first is not documentation, the second has licences of its own.
SKIPPED_FOLDERS = {
    "__pycache__", "_external", "_lib", "_vendored_meson", "benchmarks", "dist-packages",
    "ensurepip", "externals", "f2py", "idlelib", "lib-dynload", "lib2to3", "pydoc_data",
    "site-packages", "test", "testing", "tests", "turtledemo", "vendored-meson",
}  # fmt: skip
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
GIVE_AWAY = re.compile(r"python|numpy|scipy|sklearn|scikit|sympy|networkx|^(py|np|sp|nx)$")


class DatasetError(Exception):
    """The installed packages do not yield the data set that was asked for."""


# ── tables ──────────────────────────────────────────────────────────────────────────────────


def csv_bytes(columns: dict[str, list[Any]]) -> bytes:
    """The columns as CSV; a float is written with the fewest digits that read back the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def numeric_columns(names: Iterable[str], values: np.ndarray) -> dict[str, list[Any]]:
    return {name: plain(values[:, i]) for i, name in enumerate(names)}


def plain(column: np.ndarray) -> list[Any]:
    whole = bool((column == np.floor(column)).all())
    return list((column.astype(np.int64) if whole else column).tolist())


def digits_csv() -> bytes:
    from sklearn.datasets import load_digits

    data = load_digits()
    columns = numeric_columns((f"pixel_{i}" for i in range(64)), data.data)
    return csv_bytes({**columns, "digit": data.target.tolist()})


def diabetes_csv() -> bytes:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    columns = numeric_columns(data.feature_names, data.data)
    return csv_bytes({**columns, "progression": plain(data.target)})


def breast_cancer_csv() -> bytes:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = numeric_columns((n.replace(" ", "_") for n in data.feature_names), data.data)
    return csv_bytes({**columns, "diagnosis": data.target_names[data.target].tolist()})


def iris_csv() -> bytes:
    from sklearn.datasets import load_iris

    data = load_iris()
    names = (n.removesuffix(" (cm)").replace(" ", "_") for n in data.feature_names)
    columns = numeric_columns(names, data.data)
    return csv_bytes({**columns, "species": data.target_names[data.target].tolist()})


# ── image patches ───────────────────────────────────────────────────────────────────────────


def grey(photo: np.ndarray) -> np.ndarray:
    """Luma of an RGB photograph, rounded to the nearest integer.

    Shape: (h, w, 3) uint8 -> (h, w) uint8
    """
    luma: np.ndarray = (photo.astype(np.int64) @ LUMA + 500) // 1000
    return luma.astype(np.uint8)


def grid_patches(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Top, left and pixels of each whole cell of the patch grid, so that no two cells overlap."""
    height, width = image.shape
    for top in range(0, height - PATCH + 1, PATCH):
        for left in range(0, width - PATCH + 1, PATCH):
            yield top, left, image[top : top + PATCH, left : left + PATCH].reshape(-1)


def patches_parquet() -> bytes:
    from sklearn.datasets import load_sample_images

    photos = load_sample_images()
    rows = [
        (Path(path).stem, top, left, pixels)
        for path, photo in zip(photos.filenames, photos.images, strict=True)
        for top, left, pixels in grid_patches(grey(photo))
    ]
    rows.sort(key=lambda row: digest(f"{row[0]} {row[1]} {row[2]}"))
    flat = pa.array(np.concatenate([row[3] for row in rows]), pa.uint8())
    table = pa.table(
        {
            "pixels": pa.FixedSizeListArray.from_arrays(flat, PATCH * PATCH),
            "photo": pa.array([row[0] for row in rows], pa.string()),
            "top": pa.array([row[1] for row in rows], pa.uint16()),
            "left": pa.array([row[2] for row in rows], pa.uint16()),
        }
    )
    return parquet_bytes(table, versions("scikit-learn", "pillow"))


# ── docstrings ──────────────────────────────────────────────────────────────────────────────


def source_root(package: str) -> Path:
    if package == "python":
        return Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(f"package `{package}` is not installed")
    return Path(spec.submodule_search_locations[0])


def public_docstrings(tree: ast.Module) -> Iterator[str]:
    """Docstrings of the module and of its public classes, functions and methods."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Call):
            yield from compiled_docstring(node)
        if isinstance(node, ast.Expr):
            stack.append(node.value)
        if not isinstance(node, DOCUMENTED) or getattr(node, "name", "").startswith("_"):
            continue
        yield ast.get_docstring(node) or ""
        if isinstance(node, ast.Module | ast.ClassDef):
            stack += reversed(node.body)


def compiled_docstring(call: ast.Call) -> Iterator[str]:
    # numpy and scipy document their compiled functions in Python, through `add_newdoc`.
    if getattr(call.func, "id", "") == "add_newdoc":
        texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant)]
        yield from (t for t in texts[-1:] if isinstance(t, str))


def words_of(docstring: str) -> list[str]:
    """The docstring's words, lower case, without doctest input and give-away names."""
    lines = (line.strip() for line in docstring.splitlines())
    prose = " ".join(line for line in lines if not line.startswith((">>>", "...")))
    words = re.findall(r"[a-z]{2,}", prose.lower())
    return [word for word in words if not GIVE_AWAY.search(word)][:MAX_WORDS]


def package_texts(root: Path, seen: set[tuple[str, ...]]) -> Iterator[str]:
    for path in sorted(root.rglob("*.py")):
        if SKIPPED_FOLDERS & set(path.relative_to(root).parts):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(path.read_bytes())
        for docstring in public_docstrings(tree):
            words = words_of(docstring)
            start = tuple(words[:SAME_START])
            if len(words) >= MIN_WORDS and start not in seen:
                seen.add(start)
                yield " ".join(words)


def docstrings_parquet() -> bytes:
    seen: set[tuple[str, ...]] = set()
    rows: list[tuple[str, str]] = []
    for package in PACKAGES:
        texts = sorted(package_texts(source_root(package), seen), key=digest)
        if len(texts) < ROWS_PER_PACKAGE:
            raise DatasetError(f"`{package}` has {len(texts)} texts, needs {ROWS_PER_PACKAGE}")
        rows += [(text, package) for text in texts[:ROWS_PER_PACKAGE]]
    # Another key than the selection's, which would put the largest packages first.
    rows.sort(key=lambda row: digest(f"row {row[0]}"))
    check_vocabulary([text for text, _ in rows])
    table = pa.table(
        {
            "text": pa.array([text for text, _ in rows], pa.string()),
            "package": pa.array([package for _, package in rows], pa.string()),
        }
    )
    source = versions("networkx", "numpy", "scipy", "scikit-learn", "sympy")
    return parquet_bytes(table, f"python {platform.python_version()}, {source}")


def check_vocabulary(texts: list[str]) -> None:
    training = texts[: int(len(texts) * SMALLEST_TRAINING_SHARE)]
    size = len({word for text in training for word in text.split()})
    if size < VOCABULARY:
        raise DatasetError(f"{size} distinct words in the training part, needs {VOCABULARY}")


# ── writing ─────────────────────────────────────────────────────────────────────────────────


def digest(text: str) -> bytes:
    """A sort key that mixes rows the same way on every machine."""
    return hashlib.sha256(text.encode()).digest()


def versions(*distributions: str) -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in distributions)


def parquet_bytes(table: pa.Table, source: str) -> bytes:
    sink = io.BytesIO()
    labels = [name for name in ("photo", "package") if name in table.column_names]
    table = table.replace_schema_metadata({"source": source})
    pq.write_table(table, sink, compression="zstd", compression_level=19, use_dictionary=labels)
    return sink.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


DATASETS: dict[str, Callable[[], bytes]] = {
    "digits.csv": digits_csv,
    "diabetes.csv": diabetes_csv,
    "breast_cancer.csv": breast_cancer_csv,
    "iris.csv": iris_csv,
    "patches_32x32.parquet": patches_parquet,
    "docstrings.parquet": docstrings_parquet,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="rebuild the data sets of specs/data")
    parser.add_argument("names", nargs="*", metavar="NAME", help="files to rebuild; default all")
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in DATASETS]:
        parser.error(f"unknown data set `{unknown[0]}`; there are {', '.join(DATASETS)}")
    for name in options.names or DATASETS:
        try:
            content = DATASETS[name]()
        except (DatasetError, ImportError) as error:
            parser.exit(1, f"error: {name}: {error}\n")
        write(options.out / name, content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
