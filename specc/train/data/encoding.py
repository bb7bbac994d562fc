"""From a table to arrays: one for each tensor of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from specc.train.data.classes import (
    Label,
    class_codes,
    factorize,
    labels_of,
    multi_hot,
    one_hot,
    split_words,
    vocabulary,
)
from specc.train.data.columns import ColumnSpec, show
from specc.train.data.numbers import Cells, number_column
from specc.train.data.table import Array, Table
from specc.train.problems import TrainError

Labels = Mapping[str, list[Label]]
"""For each encoded column its classes, or its vocabulary, in the order of their numbers."""


def learn_labels(column: ColumnSpec, table: Table, rows: Array) -> list[Label]:
    """The classes or the vocabulary of a column in its training rows.

    Raises `TrainError` D504 or D507.
    """
    cells = _cells(column, table)
    raw = table.raw(cells.column)
    if column.encode != "multi_hot":
        return labels_of(factorize(raw, cells, column.missing), rows)
    width = _width(column)
    if width is None:
        raise TrainError(
            "D507", f"column `{column.name}` needs a shape", "shape",
            hint='say how many words to keep: `"shape": [1000]`',
        )  # fmt: skip
    return vocabulary(split_words(raw, cells, column.missing), rows, width)


def encode_column(column: ColumnSpec, table: Table, rows: Array, labels: Labels) -> Array:
    """The rows of one column in the shape of a batch; small integers may await conversion.

    Raises `TrainError` D502 to D507 or D512 to D514.
    """
    if column.encode is None:
        array = _numbers(column, table)[rows]
    elif column.encode == "multi_hot":
        cells = _cells(column, table)
        words = split_words(table.raw(cells.column), cells, column.missing)
        known = labels[column.name]
        array = multi_hot(words, known, rows, _width(column) or len(known))
    else:
        array = _classes(column, table, rows, labels[column.name])
    array = _reshaped(array, column)
    _check_bounds(array, column, table, rows)
    return array


def encode_inputs(
    columns: Mapping[str, ColumnSpec], labels: Labels, table: Table
) -> dict[str, Array]:
    """All rows of a table as a model takes them, each array of its column's dtype.

    Raises `TrainError` as `encode_column` does.
    """
    rows = np.arange(table.select(used_columns(columns.values(), table)).rows)
    return {
        name: encode_column(column, table, rows, labels).astype(numpy_dtype(column.dtype))
        for name, column in columns.items()
    }


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


def _reshaped(array: Array, column: ColumnSpec) -> Array:
    if column.shape is None:
        return array
    open_axes = sum(size is None for size in column.shape)
    if open_axes > 1:
        if array.ndim - 1 == len(column.shape):
            return array
    else:
        sizes = [-1 if size is None else size for size in column.shape]
        known = int(np.prod([size for size in sizes if size > 0]))
        per_row = int(np.prod(array.shape[1:]))
        if per_row == known or (open_axes and known and per_row % known == 0):
            return array.reshape(len(array), *sizes)
    per_row = int(np.prod(array.shape[1:]))
    raise TrainError(
        "D507",
        f"column `{column.name}` has {per_row} value{'s' * (per_row != 1)} a row, which shape "
        f"{show(column.shape)} can't hold",
        "shape",
    )


def _check_bounds(array: Array, column: ColumnSpec, table: Table, rows: Array) -> None:
    if column.low is None and column.high is None:
        return
    bad = np.zeros(array.shape, bool)
    if column.low is not None:
        bad |= array < column.low
    if column.high is not None:
        bad |= array >= column.high
    if bad.any():
        row = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
        source = column.sources(table)[0]
        high = None if column.high is None else column.high - 1
        where = f"{'…' if column.low is None else column.low} to {'…' if high is None else high}"
        what = f"{array[bad][0]} is out of range, {where}"
        raise Cells(table, source).fail("D505", int(rows[row]), what, "from")
