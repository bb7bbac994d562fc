"""Where tables come from: one reader for each kind of source, found by name.

A further kind is one more function under `@source`. A reader takes the path and the other
settings of `source`, and raises `TrainError` for what it cannot read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from specc.training.data.archive import npz_arrays
from specc.training.data.files import check_file
from specc.training.data.lazy import Mapped
from specc.training.data.table import Table, csv_rows
from specc.training.problems import TrainError, did_you_mean, listed


class Reader(Protocol):
    """Reads one file of its kind."""

    def __call__(self, path: Path, name: str, settings: Mapping[str, Any]) -> Table:
        """The table in `path`, called `name` in messages."""


SOURCES: dict[str, Reader] = {}


def source(kind: str) -> Callable[[Reader], Reader]:
    """Register a reader for a kind of source."""

    def register(reader: Reader) -> Reader:
        SOURCES[kind] = reader
        return reader

    return register


def read_table(path: Path, settings: Mapping[str, Any], name: str | None = None) -> Table:
    """Read a file with the reader that `settings["kind"]` names (default: by its ending).

    Raises `TrainError` with code D501, D506, D508 or D510.
    """
    name = name or path.name
    kind = settings.get("kind") or path.suffix.lstrip(".").lower()
    if kind not in SOURCES:
        raise TrainError(
            "D508",
            f"there is no data source of kind `{kind}`",
            "kind",
            hint=did_you_mean(kind, SOURCES) or f"kinds: {listed([*SOURCES, 'memory'])}",
        )
    check_file(path, name)
    table = SOURCES[kind](path, name, settings)
    if not table.columns or not table.rows:
        raise TrainError("D506", f"`{name}` holds no rows", "path")
    return table


def table_from_arrays(arrays: Mapping[str, Any], name: str = "memory") -> Table:
    """A table of arrays that are in memory already."""
    columns = {
        str(key): value if isinstance(value, pa.ChunkedArray) else np.asarray(value)
        for key, value in arrays.items()
    }
    scalars = [key for key, column in columns.items() if not getattr(column, "ndim", 1)]
    if scalars:
        raise TrainError("D510", f"`{name}`: `{scalars[0]}` is a single value, not a column")
    return Table(name, columns)


@source("csv")
def _read_csv(path: Path, name: str, settings: Mapping[str, Any]) -> Table:
    delimiter = settings.get("delimiter", ",")
    with path.open("rb") as file:
        if b"\0" in file.read(1 << 16):
            raise TrainError("D510", f"`{name}` is not text, so not a csv file", "path")
    names = csv_header(path, name, delimiter)
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        table = pa.csv.read_csv(path, parse_options=parse)
    except pa.ArrowInvalid as error:
        check_row_lengths(path, name, delimiter)
        table = _read_as_text(path, name, names, parse, error)
    return Table(name, _by_name(table), path, delimiter)


def _read_as_text(path: Path, name: str, names: list[str], parse: Any, error: Exception) -> Any:
    # pyarrow fixes a column's type by its first megabyte and gives up on a later cell that
    # doesn't fit, be it `1.5` below integers; as text, each column is judged as a whole.
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    try:
        return pa.csv.read_csv(path, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid:
        message = str(error).splitlines()[0]
        raise TrainError("D510", f"`{name}` can't be read as csv: {message}", "path") from error


def csv_header(path: Path, name: str, delimiter: str) -> list[str]:
    """The names of the columns; raises `TrainError` D510 where one occurs twice."""
    _, names = next(iter(csv_rows(path, delimiter)), (1, []))
    seen: set[str] = set()
    for column in names:
        if column in seen:
            raise TrainError("D510", f"`{name}` has two columns named `{column}`", "path")
        seen.add(column)
    return names


def check_row_lengths(path: Path, name: str, delimiter: str) -> None:
    """Raises `TrainError` D510 for the first row that is not as long as the header."""
    width = 0
    for number, (line, cells) in enumerate(csv_rows(path, delimiter)):
        width = width or len(cells)
        if len(cells) != width:
            raise TrainError(
                "D510",
                f"`{name}`, row {number} (line {line}) has {len(cells)} cells and the header "
                f"has {width}",
                "path",
            )


@source("parquet")
def _read_parquet(path: Path, name: str, settings: Mapping[str, Any]) -> Table:  # noqa: ARG001
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        message = str(error).splitlines()[0]
        raise TrainError("D510", f"`{name}` can't be read as parquet: {message}", "path") from error
    return Table(name, _by_name(table))


@source("npz")
def _read_npz(path: Path, name: str, settings: Mapping[str, Any]) -> Table:  # noqa: ARG001
    try:
        arrays = npz_arrays(path)
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        reason = "it holds Python objects" if pickled else "it is not an npz archive"
        raise TrainError("D510", f"`{name}` can't be read as npz: {reason}", "path") from error
    return _mapped({k: a for k, a in arrays.items() if a.ndim}, name)


@source("npy")
def _read_npy(path: Path, name: str, settings: Mapping[str, Any]) -> Table:  # noqa: ARG001
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, AttributeError, TypeError) as error:
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        reason = "it holds Python objects" if pickled else "it is not an npy file"
        raise TrainError("D510", f"`{name}` can't be read as npy: {reason}", "path") from error
    if not array.ndim:
        raise TrainError("D510", f"`{name}` holds a single value, not a column", "path")
    if array.dtype.names:
        return table_from_arrays({field: array[field] for field in array.dtype.names}, name)
    return _mapped({path.stem: array}, name)


def _mapped(arrays: Mapping[str, Any], name: str) -> Table:
    """A table whose arrays of numbers stay in their file."""
    stays = {k: isinstance(a, np.memmap) and a.dtype.kind in "biuf" for k, a in arrays.items()}
    return Table(name, {k: Mapped([a]) if stays[k] else np.asarray(a) for k, a in arrays.items()})


def _by_name(table: Any) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))
