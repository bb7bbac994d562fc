"""Data that is not held in memory: each epoch reads its files anew and shuffles as it goes.

A row's part of the split follows from a hash of its number, or of its group, so no list of rows
is needed. An epoch takes the files' pieces in a random order and passes their rows through a
buffer: each row that comes in takes the place of a random one, which goes out. Seed and epoch
alone decide the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specc.training.data.chunks import Chunk, ChunkedFiles
from specc.training.data.classes import Label, factorize
from specc.training.data.columns import ColumnSpec
from specc.training.data.encoding import (
    Labels,
    chosen_labels,
    encode_column,
    label_counts,
    used_columns,
)
from specc.training.data.numbers import Cells
from specc.training.data.splitting import PARTS, check_fractions, hashed_parts, mix, text_hash
from specc.training.data.table import Array, Table
from specc.training.problems import TrainError, within

Rows = dict[str, Array]
"""Encoded rows by column."""

BUFFER_BYTES = 64 << 20
LEAST_BUFFER = 1024


@dataclass(frozen=True)
class Split:
    """Which rows of the files are in which part."""

    fractions: Mapping[str, float]
    seed: int = 0
    group: str | None = None
    rows: int | None = None
    """For parts that are cut in the order of the files: how many rows there are."""

    def parts(self, chunk: Chunk) -> Array:
        """For each row of a chunk the number of its part, -1 for none."""
        if self.rows is not None:
            ends = np.floor(np.cumsum(list(self.fractions.values())) * self.rows + 0.5)
            parts = np.searchsorted(ends, np.arange(chunk.start, chunk.start + chunk.rows), "right")
            return np.where(parts < len(ends), parts, -1)
        return hashed_parts(mix(self.seed, self._keys(chunk)), list(self.fractions.values()))

    def _keys(self, chunk: Chunk) -> Array:
        if self.group is None:
            return np.arange(chunk.start, chunk.start + chunk.rows)
        cells = Cells(chunk.table, self.group)
        factors = factorize(chunk.table.raw(self.group), cells, missing="")
        return np.array([text_hash(str(v)) for v in factors.values], np.uint64)[factors.codes]


def check_split(split: Mapping[str, Any]) -> None:
    """Raises `TrainError` D509 for what can't be done without all rows at hand."""
    if "stratify" in split:
        raise TrainError(
            "D509", "rows that are streamed can't be stratified", "stratify",
            hint='set `"memory": true` in `source`, or leave `stratify` out: among many rows a '
            "random split has the classes in proportion",
        )  # fmt: skip
    check_fractions({name: split[name] for name in PARTS if name in split})


class Survey(NamedTuple):
    """What one pass over the files finds out."""

    labels: dict[str, list[Label]]
    rows: dict[str, int]


def survey(files: ChunkedFiles, split: Split, columns: Mapping[str, ColumnSpec]) -> Survey:
    """The classes and vocabularies of the training part, and the rows of every part.

    Raises `TrainError` or an `ExceptionGroup` of them, with the keys inside `data`.
    """
    table = files.names_only()
    encoded = [column for column in columns.values() if column.encode]
    names = used_columns(encoded, table) + ([split.group] if split.group else [])
    counts: dict[str, Counter[Label]] = {column.name: Counter() for column in encoded}
    order = list(split.fractions)
    rows = np.zeros(len(order) + 1, np.int64)
    for chunk in files.chunks(list(dict.fromkeys(names))):
        parts = split.parts(chunk)
        rows += np.bincount(parts + 1, minlength=len(order) + 1)
        training = np.flatnonzero(parts == order.index("train"))
        for column in encoded:
            with within("columns", column.name):
                counts[column.name].update(label_counts(column, chunk.table, training))
    labels: dict[str, list[Label]] = {}
    for column in encoded:
        with within("columns", column.name):
            labels[column.name] = chosen_labels(column, counts[column.name])
    return Survey(labels, dict(zip(order, rows[1:].tolist(), strict=True)))


@dataclass(frozen=True, eq=False)
class Stream:
    """The rows of one part, read from its files each time."""

    files: ChunkedFiles
    columns: Mapping[str, ColumnSpec]
    labels: Labels
    split: Split
    part: str
    rows: int
    buffer: int | None = None
    """How many rows the shuffle buffer holds; by default what fits in `BUFFER_BYTES`."""

    def ordered(self) -> Iterator[Rows]:
        """All rows in the order of the files, some at a time."""
        return self._encoded(self.files.pieces)

    def shuffled(self, seed: int, epoch: int) -> Iterator[Rows]:
        """All rows in the order of an epoch, some at a time."""
        rng = np.random.default_rng(int(mix(seed, epoch)[0]))
        pieces = self.files.pieces
        order = [pieces[i] for i in rng.permutation(len(pieces))]
        return shuffled(self._encoded(order), rng, self.buffer)

    def first(self, count: int) -> Rows:
        """The first rows, as many as there are up to `count`."""
        return joined(list(up_to(self.ordered(), count)))

    def _encoded(self, pieces: Sequence[tuple[int, int]]) -> Iterator[Rows]:
        table = self.files.names_only()
        group = [self.split.group] if self.split.group else []
        names = list(dict.fromkeys(used_columns(self.columns.values(), table) + group))
        number = list(self.split.fractions).index(self.part)
        for chunk in self.files.chunks(names, pieces):
            rows = np.flatnonzero(self.split.parts(chunk) == number)
            if len(rows):
                yield {n: self._column(c, chunk.table, rows) for n, c in self.columns.items()}

    def _column(self, column: ColumnSpec, table: Table, rows: Array) -> Array:
        try:
            array = encode_column(column, table, rows, self.labels)
        except TrainError as problem:
            raise problem.under("data", "columns", column.name).rooted() from problem
        assert isinstance(array, np.ndarray)
        return array


def stream_parts(
    files: Mapping[str, ChunkedFiles], columns: Mapping[str, ColumnSpec],
    split: Mapping[str, Any], sharing: Mapping[str, str], buffer: int | None,
) -> tuple[dict[str, list[Label]], dict[str, Stream]]:  # fmt: skip
    """Labels and streams of all parts; raises `TrainError` D504, D506, D507 or D509."""
    if "" in files:
        with within("split"):
            check_split(split)
        whole, shares = files[""], {name: split[name] for name in PARTS if name in split}
        cut = Split(
            shares, split.get("seed", 0), sharing.get("group"),
            None if split.get("shuffle", True) or sharing.get("group") else whole.rows,
        )  # fmt: skip
        sources = dict.fromkeys(shares, (whole, cut))
    else:
        sources = {name: (files[name], Split({name: 1.0})) for name in PARTS if name in files}
    if "train" not in sources:
        raise TrainError("D509", "the split has no `train` part", "split")
    found = survey(*sources["train"], columns)
    parts = {}
    for name, (source, cut) in sources.items():
        rows = found.rows[name] if "" in files else source.rows
        if not rows and cut.fractions[name] > 0:
            raise TrainError("D506", f"the `{name}` part is empty", "split", name)
        if rows:
            parts[name] = Stream(source, columns, found.labels, cut, name, rows, buffer)
    return found.labels, parts


def shuffled(chunks: Iterator[Rows], rng: np.random.Generator, size: int | None) -> Iterator[Rows]:
    """The same rows in random order, mixed within a buffer of about `size` rows."""
    held: list[Rows] = []
    buffer: Rows = {}
    filled = 0
    for chunk in chunks:
        if buffer:
            yield from _exchanged(buffer, chunk, rng)
            continue
        held.append(chunk)
        filled += len(next(iter(chunk.values())))
        if filled >= (size or buffer_rows(chunk)):
            buffer = {name: np.require(a, requirements="W") for name, a in joined(held).items()}
            held = []
    if held:
        buffer = joined(held)
    if buffer:
        yield _reordered(buffer, rng)


def _exchanged(buffer: Rows, chunk: Rows, rng: np.random.Generator) -> Iterator[Rows]:
    size, count = (len(next(iter(rows.values()))) for rows in (buffer, chunk))
    for start in range(0, count, size):
        slots = rng.choice(size, min(size, count - start), replace=False)
        out = {}
        for name, array in buffer.items():
            out[name] = array[slots]
            array[slots] = _alike(chunk[name], array, name)[start : start + len(slots)]
        yield out


def _reordered(rows: Rows, rng: np.random.Generator) -> Rows:
    order = rng.permutation(len(next(iter(rows.values()))))
    return {name: array[order] for name, array in rows.items()}


def _alike(array: Array, first: Array, name: str) -> Array:
    if array.shape[1:] != first.shape[1:]:
        what = f"column `{name}` has rows of shape {first.shape[1:]} and of {array.shape[1:]}"
        raise TrainError("D507", what, "data", "columns", name).rooted()
    return array


def buffer_rows(rows: Rows) -> int:
    """How many rows like these fit in the shuffle buffer."""
    per_row = sum(array.nbytes // len(array) for array in rows.values())
    return max(LEAST_BUFFER, BUFFER_BYTES // max(1, per_row))


def joined(chunks: Sequence[Rows]) -> Rows:
    """The rows of several chunks, one after the other."""
    if len(chunks) == 1:
        return chunks[0]
    return {
        name: np.concatenate([_alike(chunk[name], array, name) for chunk in chunks])
        for name, array in chunks[0].items()
    }


def up_to(chunks: Iterator[Rows], count: int) -> Iterator[Rows]:
    """The first `count` rows."""
    for chunk in chunks:
        rows = {name: array[:count] for name, array in chunk.items()}
        count -= len(next(iter(rows.values())))
        yield rows
        if count <= 0:
            return
