"""Labels and words as numbers: class codes, one-hot and multi-hot vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from specc.training.data.numbers import FILL, Cells
from specc.training.data.table import Array, Raw
from specc.training.problems import TrainError, listed

Label = str | int | float | bool


class Factors(NamedTuple):
    """A column as positions in a list of its distinct values; -1 marks a missing one."""

    values: list[Label]
    codes: Array


def factorize(raw: Raw, cells: Cells, missing: str | float | None) -> Factors:
    """Distinct values of a column of labels; raises `TrainError` D504 or D507."""
    if isinstance(raw, np.ndarray):
        if raw.ndim != 1:
            raise TrainError("D507", f"column `{cells.column}` has several values a row", "from")
        if raw.dtype.kind == "S":
            raw = np.char.decode(raw, "utf-8", "replace")
        raw = pa.chunked_array([pa.array(raw.tolist(), from_pandas=True)])
    if pa.types.is_nested(raw.type):
        raise TrainError("D507", f"column `{cells.column}` has several values a row", "from")
    if pa.types.is_temporal(raw.type) or pa.types.is_decimal(raw.type):
        raw = raw.cast(pa.string())
    return _filled(_distinct(raw), cells, missing)


def _distinct(raw: Raw) -> Factors:
    plain = raw.cast(raw.type.value_type) if pa.types.is_dictionary(raw.type) else raw
    encoded = plain.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False))
    values = encoded.dictionary.to_pylist()
    gaps = [i for i, value in enumerate(values) if _is_gap(value)]
    return Factors(values, np.where(np.isin(codes, gaps), -1, codes) if gaps else codes)


def _is_gap(value: Label) -> bool:
    # Only an empty text counts as missing: `NA` may well be a label.
    return (isinstance(value, str) and not value.strip()) or value != value


def _filled(factors: Factors, cells: Cells, missing: str | float | None) -> Factors:
    gaps = factors.codes < 0
    if not gaps.any():
        return factors
    if missing is None:
        raise cells.fail("D504", int(np.argmax(gaps)), "the label is missing", "from", hint=FILL)
    codes = np.where(gaps, len(factors.values), factors.codes)
    return Factors([*factors.values, missing], codes)


def sorted_labels(values: Iterable[Label]) -> list[Label]:
    """Numbers by value, everything else as text."""
    unique = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in unique):
        return sorted(unique)
    return sorted(unique, key=str)


def class_counts(factors: Factors, rows: Array) -> Counter[Label]:
    """How often each label occurs in these rows."""
    return _counted(factors.values, factors.codes[rows])


def _counted(values: Sequence[Label], codes: Array) -> Counter[Label]:
    found, times = np.unique(codes[codes >= 0], return_counts=True)
    return Counter({values[i]: n for i, n in zip(found.tolist(), times.tolist(), strict=True)})


def class_codes(factors: Factors, labels: Sequence[Label], rows: Array, cells: Cells) -> Array:
    """Positions in `labels` of the values in these rows; raises `TrainError` D512.

    Shape: `(len(rows),)` int64
    """
    known: Mapping[Any, int] = {label: i for i, label in enumerate(labels)}
    table = np.array([_position(value, known) for value in factors.values], np.int64)
    codes: Array = table[factors.codes[rows]]
    unknown = codes < 0
    if unknown.any():
        row = int(rows[np.argmax(unknown)])
        label = factors.values[factors.codes[row]]
        raise cells.fail(
            "D512", row, f"the label `{label}` does not occur in the training data", "encode",
            hint="stratify the split by this column, or take such rows out"
            f" (known: {listed(labels)})",
        )  # fmt: skip
    return codes


def _position(value: Label, known: Mapping[Any, int]) -> int:
    if value in known:
        return known[value]
    try:
        # A file in which one cell is text has its numbers as text as well.
        return known.get(float(value), -1)
    except ValueError:
        return -1


def one_hot(codes: Array, width: int) -> Array:
    """Shape: `(n,)` -> `(n, width)` uint8."""
    vectors = np.zeros((len(codes), width), np.uint8)
    vectors[np.arange(len(codes)), codes] = 1
    return vectors


class Words(NamedTuple):
    """All words of a column one after the other; row `i` has those from `starts[i]` on."""

    words: Factors
    starts: Array

    @property
    def lengths(self) -> Array:
        """How many words each row has."""
        lengths: Array = np.diff(self.starts, append=len(self.words.codes))
        return lengths


def split_words(raw: Raw, cells: Cells, missing: str | float | None) -> Words:
    """The words of texts (between white space) or of lists; raises `TrainError` D504 or D507."""
    if isinstance(raw, np.ndarray):
        raw = pa.chunked_array([pa.array(raw.tolist())])
    if not raw.null_count:
        lists = raw
    elif missing is None:
        row = int(np.argmax(np.asarray(raw.is_null())))
        raise cells.fail("D504", row, "the text is missing", "from", hint=FILL)
    else:
        lists = pc.fill_null(raw, str(missing))
    if pa.types.is_string(lists.type) or pa.types.is_large_string(lists.type):
        lists = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lists))
    if not (pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type)):
        what = f"column `{cells.column}` holds {raw.type}, neither texts nor lists"
        raise TrainError("D507", what, "encode")
    lengths = np.asarray(pc.list_value_length(lists).to_numpy())
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    return Words(_distinct(pc.list_flatten(lists)), starts)


def word_counts(words: Words, rows: Array) -> Counter[Label]:
    """How often each word occurs in these rows."""
    in_rows = np.zeros(len(words.starts), bool)
    in_rows[rows] = True
    return _counted(words.words.values, words.words.codes[np.repeat(in_rows, words.lengths)])


def vocabulary(counts: Counter[Label], size: int) -> list[Label]:
    """The most frequent words; of equally frequent ones, the alphabetically first."""
    return sorted(counts, key=lambda word: (-counts[word], str(word)))[:size]


def multi_hot(words: Words, known: Sequence[Label], rows: Array, width: int) -> Array:
    """1 at the position of each known word that a row has; unknown words leave no trace.

    Shape: `(len(rows), width)` uint8
    """
    position = {label: i for i, label in enumerate(known)}
    table = np.array([position.get(value, -1) for value in words.words.values] + [-1], np.int64)
    row_of_word = np.repeat(np.arange(len(words.starts)), words.lengths)
    place = np.full(len(words.starts), -1)
    place[rows] = np.arange(len(rows))
    targets, columns = place[row_of_word], table[words.words.codes]
    kept = (targets >= 0) & (columns >= 0)
    vectors = np.zeros((len(rows), width), np.uint8)
    vectors[targets[kept], columns[kept]] = 1
    return vectors
