"""From a table to arrays: one for each tensor of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from specc.training.data.classes import (
    Label,
    class_codes,
    class_counts,
    factorize,
    multi_hot,
    one_hot,
    sorted_labels,
    split_words,
    vocabulary,
    word_counts,
)
from specc.training.data.columns import ColumnSpec, check_bounds, fitted_shape
from specc.training.data.lazy import Lazy
from specc.training.data.numbers import Cells, number_column
from specc.training.data.table import Array, Table
from specc.training.problems import TrainError, listed

Labels = Mapping[str, list[Label]]
"""For each encoded column its classes, or its vocabulary, in the order of their numbers."""


def learn_labels(column: ColumnSpec, table: Table, rows: Array) -> list[Label]:
    """The classes or the vocabulary of a column in its training rows.

    Raises `TrainError` D504, D505 or D507.
    """
    return chosen_labels(column, label_counts(column, table, rows))


def label_counts(column: ColumnSpec, table: Table, rows: Array) -> Counter[Label]:
    """How often each label or word of a column occurs in these rows."""
    cells = _cells(column, table)
    raw = table.raw(cells.column)
    if isinstance(raw, Lazy):
        what = f"column `{cells.column}` can't be encoded, since it is not in memory"
        raise TrainError("D507", what, "encode")
    if column.encode == "multi_hot":
        _words_kept(column)
        return word_counts(split_words(raw, cells, column.missing), rows)
    return class_counts(factorize(raw, cells, column.missing), rows)


def chosen_labels(column: ColumnSpec, counts: Counter[Label]) -> list[Label]:
    """The labels in order, or the most frequent words; raises `TrainError` D505 or D507."""
    if column.encode != "multi_hot":
        labels = sorted_labels(counts)
        if column.encode == "class" and column.high is not None and len(labels) > column.high:
            taker = "input takes" if column.is_input else "model gives"
            message = f"column `{column.name}` has {len(labels)} classes and the {taker} "
            raise TrainError("D505", f"{message}{column.high}", "encode")
        return labels
    return vocabulary(counts, _words_kept(column))


def _words_kept(column: ColumnSpec) -> int:
    width = _width(column)
    if width is None:
        raise TrainError(
            "D507", f"column `{column.name}` needs a shape", "shape",
            hint='say how many words to keep: `"shape": [1000]`',
        )  # fmt: skip
    return width


def encode_column(column: ColumnSpec, table: Table, rows: Array, labels: Labels) -> Array | Lazy:
    """The rows of one column in the shape of a batch; small integers may await conversion.

    Raises `TrainError` D502 to D507 or D512 to D514.
    """
    if is_lazy(column, table):
        cells = _cells(column, table)
        lazy: Lazy = table.raw(cells.column).fitted(column, rows, cells)
        return lazy
    if column.encode is None:
        array = _numbers(column, table)[rows]
    elif column.encode == "multi_hot":
        cells = _cells(column, table)
        words = split_words(table.raw(cells.column), cells, column.missing)
        known = labels[column.name]
        array = multi_hot(words, known, rows, _width(column) or len(known))
    else:
        array = _classes(column, table, rows, labels[column.name])
    array = array.reshape(len(array), *fitted_shape(column, array.shape[1:]))
    check_bounds(array, column, Cells(table, column.sources(table)[0], rows))
    return array


def is_lazy(column: ColumnSpec, table: Table) -> bool:
    """Whether a source of the column makes its rows when they are asked for."""
    return any(isinstance(table.raw(name), Lazy) for name in column.sources(table))


def encode_inputs(
    columns: Mapping[str, ColumnSpec], labels: Labels, table: Table
) -> dict[str, Array | Lazy]:
    """All rows of a table as a model takes them, each of its column's dtype; images stay lazy.

    Raises `TrainError` as `encode_column` does.
    """
    rows = np.arange(table.select(used_columns(columns.values(), table)).rows)
    return {
        name: _encoded_input(column, table, rows, labels).astype(numpy_dtype(column.dtype))
        for name, column in columns.items()
    }


def _encoded_input(column: ColumnSpec, table: Table, rows: Array, labels: Labels) -> Array | Lazy:
    try:
        return encode_column(column, table, rows, labels)
    except TrainError as problem:
        if problem.code != "D512":
            raise
        hint = f"known: {listed(labels[column.name])}"
        raise TrainError(problem.code, problem.message, hint=hint) from problem


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of a name, bfloat16 too."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


def used_columns(columns: Iterable[ColumnSpec], table: Table) -> list[str]:
    """The table's columns that these are made of, each once."""
    return list(dict.fromkeys(name for column in columns for name in column.sources(table)))


def _cells(column: ColumnSpec, table: Table) -> Cells:
    sources = column.sources(table)
    if len(sources) != 1:
        what = f"`encode` takes one column and `{column.name}` is made of {len(sources)}"
        raise TrainError("D507", what, "from")
    return Cells(table, sources[0])


def _numbers(column: ColumnSpec, table: Table) -> Array:
    names = column.sources(table)
    parts = [number_column(table, name, column.dtype, column.missing) for name in names]
    if len(parts) == 1 and not isinstance(column.source, tuple) and column.source == names[0]:
        return parts[0]
    for name, part in zip(names, parts, strict=True):
        if part.ndim != 1:
            raise TrainError("D507", f"column `{name}` has several values a row", "from")
    return np.stack(parts, axis=1)


def _classes(column: ColumnSpec, table: Table, rows: Array, labels: list[Label]) -> Array:
    cells = _cells(column, table)
    factors = factorize(table.raw(cells.column), cells, column.missing)
    codes = class_codes(factors, labels, rows, cells)
    if column.encode == "class":
        return codes.astype(numpy_dtype(column.dtype), copy=False)
    width = _width(column) or len(labels)
    if len(labels) > width:
        what = f"column `{cells.column}` has {len(labels)} classes and the shape holds {width}"
        raise TrainError("D507", what, "shape")
    return one_hot(codes, width)


def _width(column: ColumnSpec) -> int | None:
    sizes = column.shape or ()
    return int(np.prod([s for s in sizes if s])) if sizes and None not in sizes else None
