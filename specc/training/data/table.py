"""A table as it was read: raw columns by name, and where its cells stand in the files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from specc.training.problems import TrainError, did_you_mean, listed

Array = NDArray[Any]
Raw = Any
"""A NumPy array, a pyarrow `ChunkedArray` or a `Lazy` column, one entry a row."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns that were read from one place; `name` is how messages call that place."""

    name: str
    columns: Mapping[str, Raw]
    csv_path: Path | None = None
    delimiter: str = ","
    parts: tuple[Table, ...] = ()
    """The tables that this one was put together from, in order."""
    first: int = 0
    """How many rows of the file come before these."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def raw(self, name: str) -> Raw:
        """A column by name; raises `TrainError` D502 where there is none."""
        if name not in self.columns:
            hint = did_you_mean(name, self.columns) or f"columns: {listed(self.columns)}"
            raise TrainError("D502", f"`{self.name}` has no column `{name}`", hint=hint)
        return self.columns[name]

    def select(self, names: Iterable[str]) -> Table:
        """Only these columns; raises `TrainError` where they differ in length."""
        chosen = {name: self.raw(name) for name in names}
        first = next(iter(chosen), "")
        for name, column in chosen.items():
            if len(column) != len(chosen[first]):
                raise TrainError(
                    "D510",
                    f"`{self.name}`: column `{first}` has {len(chosen[first])} rows and column "
                    f"`{name}` has {len(column)}",
                )
        return replace(self, columns=chosen)

    def place(self, row: int, column: str) -> str:
        """A cell in words: file, row counted from 1, the file's line for csv, column."""
        for part in self.parts:
            if row < part.rows:
                return part.place(row, column)
            row -= part.rows
        row += self.first
        line = self._line(row) if self.csv_path else None
        at_line = f" (line {line})" if line else ""
        return f"`{self.name}`, row {row + 1}{at_line}, column `{column}`"

    def _line(self, row: int) -> int | None:
        # Quoted cells may hold line breaks, so lines can't be counted from the row.
        for number, (line, _) in enumerate(csv_rows(self.csv_path, self.delimiter)):
            if number == row + 1:
                return line
        return None


def concatenated(tables: Sequence[Table]) -> Table:
    """The rows of several tables, one after the other; they need the same columns."""
    if len(tables) == 1:
        return tables[0]
    first = tables[0]
    for table in tables[1:]:
        odd = set(table.columns) ^ set(first.columns)
        if odd:
            raise TrainError(
                "D510",
                f"`{first.name}` and `{table.name}` differ in columns: {listed(sorted(odd))}",
            )
    columns = {n: _joined(n, [table.columns[n] for table in tables]) for n in first.columns}
    return Table(f"{first.name}, …", columns, parts=tuple(tables))


def _joined(name: str, columns: list[Raw]) -> Raw:
    joined = getattr(columns[0], "joined", None)
    if joined and all(type(column) is type(columns[0]) for column in columns):
        return joined(columns)
    if not all(isinstance(column, pa.ChunkedArray) for column in columns):
        return np.concatenate([np.asarray(column) for column in columns])
    tables = [pa.table({name: column}) for column in columns]
    try:
        return pa.concat_tables(tables, promote_options="permissive").column(0)
    except pa.ArrowException:
        # A number in one file and text in another: as text, encoding names the odd cell.
        texts = [column.cast(pa.string()) for column in columns]
        return pa.chunked_array([chunk for text in texts for chunk in text.chunks])


def csv_rows(path: Path | None, delimiter: str) -> Iterable[tuple[int, list[str]]]:
    """The rows of a csv file, header first, each with the line that it starts at."""
    if path is None:
        return
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader, start = csv.reader(file, delimiter=delimiter), 1
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
