"""Raw columns as arrays of numbers, with every cell that is none of them named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from specc.training.data.table import Array, Raw, Table
from specc.training.problems import TrainError

MISSING_WORDS = pa.array(
    ["", "#N/A", "#NA", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "-NaN", "-nan", "None"]
)
"""What pyarrow's csv reader takes for an empty cell of a numeric column, and `None`."""

DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T]|$)|\d\d?[./]\d\d?[./]\d{4}\b")


@dataclass(frozen=True)
class Cells:
    """Where a column stands, for messages about its cells."""

    table: Table
    column: str
    rows: Array | None = None
    """The rows of the table that are looked at, if these are not all."""

    def fail(self, code: str, row: int, what: str, *at: str, hint: str | None = None) -> TrainError:
        """A problem with one cell; `row` counts from 0."""
        row = row if self.rows is None else self.rows[row]
        place = self.table.place(int(row), self.column)
        return TrainError(code, f"{place}: {what}", *at, hint=hint)


def number_column(table: Table, name: str, dtype: str, missing: str | float | None) -> Array:
    """One raw column as numbers that fit `dtype`.

    8-bit integers for a floating `dtype` are left as they are, a quarter of the memory; what
    a batch holds is converted when it is made.

    Shape: `(rows,)`, or `(rows, …)` for lists and arrays.
    Raises `TrainError` D503, D504, D507, D513 or D514.
    """
    return numbers_of(table.raw(name), Cells(table, name), dtype, missing)


def numbers_of(raw: Raw, cells: Cells, dtype: str, missing: str | float | None) -> Array:
    """The same for raw values that are at hand."""
    values = _values(raw, cells)
    if values.dtype.kind == "f":
        values = _without_gaps(values, cells, missing)
    return _fitted(values, cells, dtype)


def _values(raw: Raw, cells: Cells) -> Array:
    """Numbers, with NaN for what is missing."""
    if isinstance(raw, np.ndarray):
        return _from_numpy(raw, cells)
    kind = raw.type
    if pa.types.is_dictionary(kind):
        return _values(raw.cast(kind.value_type), cells)
    if _is_list(kind):
        return _from_lists(raw, cells)
    if pa.types.is_temporal(kind):
        raise _is_date(cells)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_text(raw, cells)
    if pa.types.is_null(kind):
        return np.full(len(raw), np.nan, np.float32)
    if pa.types.is_boolean(kind):
        raw = raw.cast(pa.uint8())
    elif pa.types.is_decimal(kind):
        raw = raw.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise cells.fail("D503", 0, f"a value of type {kind} is not a number", "from")
    # Integers with gaps come out as float64, whose NaN marks the gaps.
    return np.asarray(raw.to_numpy())


def _from_numpy(raw: Array, cells: Cells) -> Array:
    if raw.dtype.kind in "biuf":
        return raw
    if raw.dtype.kind in "Mm":
        raise _is_date(cells)
    if raw.dtype.kind == "S":
        raw = np.char.decode(raw, "utf-8", "replace")
    try:
        return _values(pa.chunked_array([pa.array(raw.tolist())]), cells)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"column `{cells.column}` of `{cells.table.name}` is not made of numbers"
        raise TrainError("D503", message, "from") from error


def _is_date(cells: Cells, row: int = 0) -> TrainError:
    return cells.fail(
        "D503", row, "a date or time is not a number", "from",
        hint="turn it into numbers first, such as days since a fixed date",
    )  # fmt: skip


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _from_lists(raw: Raw, cells: Cells) -> Array:
    if raw.null_count:
        raise cells.fail("D504", _first(pc.is_null(raw)), "the value is missing", "from")
    lengths = np.asarray(pc.list_value_length(raw).to_numpy())
    odd = lengths != lengths[0]
    if odd.any():
        row = int(np.argmax(odd))
        what = f"a list of {lengths[row]} values, where row 1 has {lengths[0]}"
        raise cells.fail("D507", row, what, "from")
    flat = _values(pc.list_flatten(raw), cells)
    return flat.reshape(len(raw), int(lengths[0]), *flat.shape[1:])


def _from_text(raw: Raw, cells: Cells) -> Array:
    trimmed = pc.utf8_trim_whitespace(raw)
    gaps = pc.or_kleene(pc.is_in(trimmed, MISSING_WORDS), pc.is_null(trimmed))
    numbers = pc.if_else(gaps, pa.scalar(None, trimmed.type), trimmed)
    try:
        return np.asarray(numbers.cast(pa.float64()).to_numpy())
    except pa.ArrowException:
        row = next(i for i, text in enumerate(numbers.to_pylist()) if not _is_number(text))
    text = raw[row].as_py()
    if DATE.match(text.strip()):
        raise _is_date(cells, row)
    hint = 'for categories, use `"encode": "class"` or `"one_hot"`'
    raise cells.fail("D503", row, f"`{text}` is not a number", "from", hint=hint)


def _is_number(text: str | None) -> bool:
    try:
        pa.scalar(text, pa.string()).cast(pa.float64())
    except pa.ArrowException:
        return False
    return True


def _without_gaps(values: Array, cells: Cells, missing: str | float | None) -> Array:
    gaps = np.isnan(values)
    if gaps.any():
        row = _first(gaps)
        if missing is None:
            raise cells.fail("D504", row, f"the value is missing{_more(gaps)}", "from", hint=FILL)
        if isinstance(missing, str):
            message = f"`{missing}` can't fill a column of numbers"
            raise TrainError("D503", message, "missing")
        values = np.where(gaps, np.asarray(missing, values.dtype), values)
    infinite = np.isinf(values)
    if infinite.any():
        raise cells.fail("D513", _first(infinite), "the value is infinite", "from")
    return values


FILL = 'mend the data, or name a fill value: `"missing": 0`'


def _first(mask: Any) -> int:
    """The first row in which anything is true."""
    array = np.asarray(mask)
    return int(np.argmax(array.reshape(len(array), -1).any(axis=1)))


def _more(mask: Array) -> str:
    rows = int(mask.reshape(len(mask), -1).any(axis=1).sum()) - 1
    return f", as in {rows} more row{'s' * (rows > 1)}" if rows else ""


def _fitted(values: Array, cells: Cells, dtype: str) -> Array:
    if "float" in dtype:
        if values.dtype.kind == "b" or values.dtype == np.uint8:
            return values.view(np.uint8)
        target = np.dtype("float32" if dtype == "bfloat16" else dtype)
        return _checked_cast(values, cells, target, "is too large for")
    target = np.dtype(dtype)
    return _checked_cast(values, cells, target, "is no value of")


def _checked_cast(values: Array, cells: Cells, target: np.dtype[Any], what: str) -> Array:
    if values.dtype == target:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(target)
    bad = ~np.isfinite(cast) if target.kind == "f" else cast != values
    if bad.any():
        row = _first(bad)
        value = values[bad][0]
        raise cells.fail("D514", row, f"{value} {what} {target}", "dtype")
    return cast
