"""What a spec asks of each tensor of a batch: source columns, type, shape, encoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import numpy as np

from specc.ir.graph import InputInfo, Interface
from specc.training.data.files import natural_key
from specc.training.data.numbers import Cells
from specc.training.data.table import Array, Table
from specc.training.problems import TrainError

RowShape = tuple[int | None, ...]
"""The shape of one row; None where the data decides."""


@dataclass(frozen=True)
class ColumnSpec:
    """One tensor of a batch and where it comes from.

    `shape` is that of one row; None as a whole means that the data decides.
    """

    name: str
    source: str | tuple[str, ...]
    dtype: str
    shape: RowShape | None = None
    encode: str | None = None
    missing: str | float | None = None
    """A fill value; None makes a missing value an error."""
    low: int | None = None
    high: int | None = None
    listed: bool = True
    """Whether `data.columns` has it, rather than a table column having a model input's name."""
    is_input: bool = False

    def sources(self, table: Table) -> list[str]:
        """The table's columns it is made of, those of a glob in natural order."""
        if isinstance(self.source, tuple):
            return [name for pattern in self.source for name in _matching(pattern, table)]
        return _matching(self.source, table)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` turns back into the same."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ColumnSpec:
        """The column that `to_json` described."""
        shape, source = plain["shape"], plain["source"]
        return cls(
            **{
                **plain,
                "shape": None if shape is None else tuple(shape),
                "source": source if isinstance(source, str) else tuple(source),
            }
        )


def _matching(pattern: str, table: Table) -> list[str]:
    if pattern in table.columns or not any(c in pattern for c in "*?["):
        table.raw(pattern)
        return [pattern]
    names = sorted((n for n in table.columns if fnmatchcase(n, pattern)), key=natural_key)
    if not names:
        raise TrainError("D502", f"no column of `{table.name}` matches `{pattern}`")
    return names


def column_specs(
    columns: Mapping[str, Mapping[str, Any]], interface: Interface
) -> dict[str, ColumnSpec]:
    """All columns of a spec, and the model inputs that it does not list.

    A column without `dtype` has the input's, else int64 for `class` and float32.
    """
    inputs = {info.name: info for info in interface.inputs}
    listed = {name: _spec(name, given, inputs.get(name)) for name, given in columns.items()}
    unlisted = (info for name, info in inputs.items() if name not in listed)
    return {**listed, **{i.name: _spec(i.name, {}, i, listed=False) for i in unlisted}}


def _spec(
    name: str, given: Mapping[str, Any], info: InputInfo | None, *, listed: bool = True
) -> ColumnSpec:
    source, encode, missing = given.get("from", name), given.get("encode"), given.get("missing")
    dtype = "int64" if encode == "class" else "float32"
    shape = _sizes(given["shape"]) if "shape" in given else None
    if info:
        dtype = str(info.type.dtype)
        shape = _input_shape(name, info, shape)
        if given.get("dtype", dtype) != dtype:
            message = f"column `{name}` is {given['dtype']} and the model's input is {dtype}"
            raise TrainError("D507", message, name, "dtype")
    return ColumnSpec(
        name,
        tuple(source) if isinstance(source, list) else source,
        given.get("dtype", dtype),
        shape,
        encode,
        None if missing == "error" else missing,
        info.low if info else None,
        info.high if info else None,
        listed,
        info is not None,
    )


def _sizes(shape: Iterable[object]) -> RowShape:
    return tuple(size if isinstance(size, int) else None for size in shape)


def _input_shape(name: str, info: InputInfo, declared: RowShape | None) -> RowShape:
    wanted = _sizes(info.type.shape[1:])
    if declared is None:
        return wanted
    fits = len(wanted) == len(declared) and all(
        a is None or b is None or a == b for a, b in zip(wanted, declared, strict=True)
    )
    if not fits:
        raise TrainError(
            "D507",
            f"column `{name}` has shape {show(declared)} and the model's input `{name}` takes "
            f"{show(wanted)}",
            name,
            "shape",
        )
    return tuple(b if a is None else a for a, b in zip(wanted, declared, strict=True))


def fitted_shape(column: ColumnSpec, row: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a column gives to rows of another one; raises `TrainError` D507."""
    if column.shape is None:
        return row
    open_axes = sum(size is None for size in column.shape)
    if open_axes > 1:
        if len(row) == len(column.shape) and all(
            want in (None, size) for want, size in zip(column.shape, row, strict=True)
        ):
            return row
    else:
        values = prod(row)
        known = prod(size for size in column.shape if size is not None)
        if values == known or (open_axes and known and values % known == 0):
            return tuple(values // known if size is None else size for size in column.shape)
    values = prod(row)
    raise TrainError(
        "D507",
        f"column `{column.name}` has {values} value{'s' * (values != 1)} a row, which shape "
        f"{show(column.shape)} can't hold",
        "shape",
    )


def check_bounds(array: Array, column: ColumnSpec, cells: Cells) -> None:
    """Raises `TrainError` D505 for a value outside of `low` and `high`."""
    low, high = column.low, column.high
    bad = np.zeros(array.shape, bool)
    if low is not None:
        bad |= array < low
    if high is not None:
        bad |= array >= high
    if bad.any():
        row = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
        where = f"{'…' if low is None else low} to {'…' if high is None else high - 1}"
        raise cells.fail("D505", row, f"{array[bad][0]} is out of range, {where}", "from")


def show(shape: RowShape) -> str:
    """A row's shape in words, `?` for a size that the data decides."""
    inner = ", ".join("?" if size is None else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
