"""Csv and parquet files that are read a chunk at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from specc.training.data.files import check_file, expanded
from specc.training.data.sources import check_row_lengths, csv_header
from specc.training.data.table import Table
from specc.training.problems import TrainError, listed, within

CHUNK_BYTES = 4 << 20
MOST_CHUNK_ROWS = 1 << 16
MEMORY_FACTOR = 3
"""Reading a table and encoding it holds about this many times what its numbers take."""


class Chunk(NamedTuple):
    """Some rows of a file; `start` is how many rows of all files come before them."""

    table: Table
    rows: int
    start: int


class ChunkedFile(ABC):
    """One file; its pieces can be read in any order, the rows of a piece only in their own."""

    def __init__(self, path: Path, name: str) -> None:
        check_file(path, name)
        self.path, self.name = path, name
        self.counts: list[int] = []
        """The number of rows of each piece, as far as it is known."""

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """The names of all columns."""

    @abstractmethod
    def memory(self, names: Iterable[str]) -> int:
        """About how much memory these columns would take, raw and encoded."""

    @abstractmethod
    def batches(self, piece: int, names: Sequence[str]) -> Iterator[Any]:
        """The piece's rows of these columns as pyarrow's record batches."""

    def chunks(self, piece: int, names: Sequence[str], start: int) -> Iterator[Chunk]:
        """The piece's chunks; `start` rows of all files come before this file."""
        first = sum(self.counts[:piece])
        for batch in self.batches(piece, names):
            columns = {n: pa.chunked_array([batch.column(n)]) for n in names}
            yield Chunk(self._table(columns, first), batch.num_rows, start + first)
            first += batch.num_rows

    def _table(self, columns: Mapping[str, Any], first: int) -> Table:
        return Table(self.name, columns, first=first)


class ParquetFile(ChunkedFile):
    """A parquet file; each row group is a piece."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        try:
            with self._open() as file:
                self.metadata, self.schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        groups = (self.metadata.row_group(i) for i in range(self.metadata.num_row_groups))
        self.counts = [group.num_rows for group in groups]

    def _open(self) -> Any:
        # Without a buffer of its own, pyarrow would read a whole row group at once.
        return pa.parquet.ParquetFile(self.path, buffer_size=1 << 20, pre_buffer=False)

    def _unreadable(self, error: Exception) -> TrainError:
        message = str(error).splitlines()[0]
        return TrainError("D510", f"`{self.name}` can't be read as parquet: {message}", "path")

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for i in range(self.metadata.num_row_groups):
            group = self.metadata.row_group(i)
            for j in range(group.num_columns):
                column = group.column(j)
                name = column.path_in_schema.split(".")[0]
                width = _leaf_width(self.schema.field(name).type)
                numbers = column.num_values * (width + 4)
                sizes[name] = sizes.get(name, 0) + max(column.total_uncompressed_size, numbers)
        return sizes

    def memory(self, names: Iterable[str]) -> int:
        return MEMORY_FACTOR * sum(self._sizes.get(name, 0) for name in names)

    def batches(self, piece: int, names: Sequence[str]) -> Iterator[Any]:
        bytes_per_row = sum(self._sizes.get(n, 0) for n in names) // max(1, sum(self.counts))
        rows = max(1, min(MOST_CHUNK_ROWS, CHUNK_BYTES // max(1, bytes_per_row)))
        try:
            with self._open() as file:
                yield from file.iter_batches(
                    rows, row_groups=[piece], columns=list(names), use_threads=False
                )
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error


def _leaf_width(kind: Any) -> int:
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return 16


class CsvFile(ChunkedFile):
    """A csv file, a single piece; its rows are counted by reading it once."""

    def __init__(self, path: Path, name: str, delimiter: str) -> None:
        super().__init__(path, name)
        self.delimiter = delimiter
        with path.open("rb") as file:
            if b"\0" in file.read(1 << 16):
                raise TrainError("D510", f"`{name}` is not text, so not a csv file", "path")
        self._columns = csv_header(path, name, delimiter)
        self._types: Mapping[str, Any] = {}

    @property
    def columns(self) -> list[str]:
        return self._columns

    def memory(self, names: Iterable[str]) -> int:
        share = len(set(names)) / max(1, len(self._columns))
        return int(2 * MEMORY_FACTOR * self.path.stat().st_size * share)

    def settle(self, names: Sequence[str]) -> None:
        """Count the rows, and fall back to text where types that the start suggests don't fit.

        Raises `TrainError` D510 for a file that is no csv even then.
        """
        for types in ({}, dict.fromkeys(self._columns, pa.string())):
            self._types = types
            try:
                rows = sum(batch.num_rows for batch in self._read(names))
            except (pa.ArrowInvalid, StopIteration) as error:
                problem = error
                continue
            self.counts = [rows]
            return
        check_row_lengths(self.path, self.name, self.delimiter)
        message = str(problem).splitlines()[0]
        raise TrainError("D510", f"`{self.name}` can't be read as csv: {message}", "path")

    def batches(self, piece: int, names: Sequence[str]) -> Iterator[Any]:
        del piece
        return self._read(names)

    def _read(self, names: Sequence[str]) -> Iterator[Any]:
        yield from pa.csv.open_csv(
            self.path,
            pa.csv.ReadOptions(block_size=CHUNK_BYTES, use_threads=False),
            pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(column_types=self._types, include_columns=list(names)),
        )

    def _table(self, columns: Mapping[str, Any], first: int) -> Table:
        return Table(self.name, columns, self.path, self.delimiter, first=first)


class ChunkedFiles:
    """Several files one after the other."""

    def __init__(self, files: Sequence[ChunkedFile]) -> None:
        self.files = list(files)
        for file in self.files[1:]:
            odd = set(file.columns) ^ set(self.files[0].columns)
            if odd:
                raise TrainError(
                    "D510",
                    f"`{self.files[0].name}` and `{file.name}` differ in columns: "
                    f"{listed(sorted(odd))}", "path",
                )  # fmt: skip

    def names_only(self) -> Table:
        """A table without rows, in which columns can be looked up."""
        first = self.files[0]
        more = ", …" if len(self.files) > 1 else ""
        return Table(first.name + more, dict.fromkeys(first.columns, pa.chunked_array([[]])))

    def memory(self, names: Sequence[str]) -> int:
        """About how much memory these columns would take."""
        return sum(file.memory(names) for file in self.files)

    def settle(self, names: Sequence[str]) -> None:
        """Find out how many rows there are."""
        for file in self.files:
            if isinstance(file, CsvFile) and not file.counts:
                file.settle(names)

    @property
    def rows(self) -> int:
        """The number of rows, once it is known."""
        return sum(sum(file.counts) for file in self.files)

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """All pieces as file and piece, in order."""
        return [(i, j) for i, file in enumerate(self.files) for j in range(len(file.counts))]

    def chunks(
        self, names: Sequence[str], pieces: Iterable[tuple[int, int]] | None = None
    ) -> Iterator[Chunk]:
        """The chunks of these pieces (default: all), in the order given."""
        starts = [0]
        for file in self.files:
            starts.append(starts[-1] + sum(file.counts))
        for i, piece in self.pieces if pieces is None else pieces:
            yield from self.files[i].chunks(piece, names, starts[i])


CHUNKED = ("csv", "parquet")
"""Kinds of sources that can be read a chunk at a time."""


def open_files(
    source: Mapping[str, Any], base: Path, files: Mapping[str, Sequence[str]]
) -> dict[str, ChunkedFiles]:
    """The files of each part, or those that are to be split under the name ""."""
    opened = {}
    for part, paths in files.items():
        with within("split", part):
            opened[part] = _opened(source, base, paths)
    if opened:
        return opened
    with within("source"):
        return {"": _opened(source, base, source["path"])}


def _opened(source: Mapping[str, Any], base: Path, paths: str | Sequence[str]) -> ChunkedFiles:
    kind = source["kind"]
    delimiter = source.get("delimiter", ",")
    return ChunkedFiles(
        [
            ParquetFile(base / name, name)
            if kind == "parquet"
            else CsvFile(base / name, name, delimiter)
            for name in expanded(paths, base, kind)
        ]
    )
