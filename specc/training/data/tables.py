"""Data that is held in memory: whole tables, cut into parts and encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from specc.training.data.classes import Label, factorize
from specc.training.data.columns import ColumnSpec
from specc.training.data.encoding import encode_column, is_lazy, learn_labels
from specc.training.data.files import expanded
from specc.training.data.images import Images, read_class_folders
from specc.training.data.lazy import Lazy, Mapped
from specc.training.data.memory import in_memory
from specc.training.data.numbers import Cells
from specc.training.data.sources import SOURCES, read_table, table_from_arrays
from specc.training.data.splitting import PARTS, split_rows
from specc.training.data.table import Array, Table, concatenated
from specc.training.problems import TrainError, did_you_mean, listed, within

Columns = Mapping[str, Array | Lazy]
"""Encoded rows by column."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a table."""

    table: Table
    rows: Array


def read_tables(
    source: Mapping[str, Any],
    base: Path,
    arrays: Mapping[str, Any] | None,
    files: Mapping[str, list[str]],
) -> dict[str, Table]:
    """The table of each part, or the one that is to be split under the name "".

    Raises `TrainError` D501, D506, D508 or D510.
    """
    if source["kind"] == "memory":
        if not arrays:
            message = "data of kind `memory` is handed over in Python, and there is none"
            raise TrainError("D501", message, "source", "kind")
        if all(isinstance(part, Mapping) for part in arrays.values()):
            return {name: table_from_arrays(part, name) for name, part in arrays.items()}
        return {"": table_from_arrays(arrays)}
    tables = {}
    for part, paths in files.items():
        with within("split", part):
            tables[part] = _read(paths, base, source)
    if tables:
        return tables
    if "path" not in source:
        hint = "or a file for each part: `split: {train: …, val: …}`"
        raise TrainError("D501", "`source` names no `path`", "source", hint=hint)
    paths = source["path"]
    with within("source"):
        return {"": _read(paths, base, source)}


def _read(paths: str | Iterable[str], base: Path, source: Mapping[str, Any]) -> Table:
    kind = source["kind"]
    if kind == "image_folder":
        given = [paths] if isinstance(paths, str) else list(paths)
        return read_class_folders(given, base, source.get("augment", ()))
    if kind not in SOURCES:
        raise TrainError(
            "D508", f"there is no data source of kind `{kind}`", "kind",
            hint=did_you_mean(kind, SOURCES) or f"kinds: {listed([*SOURCES, 'memory'])}",
        )  # fmt: skip
    names = expanded(paths, base, kind)
    tables = [read_table(base / name, source, name) for name in names]
    return _side_by_side(tables) if kind == "npy" else concatenated(tables)


def _side_by_side(tables: Sequence[Table]) -> Table:
    """Each npy file holds one column, named after the file."""
    columns: dict[str, Any] = {}
    for table in tables:
        for name, column in table.columns.items():
            if name in columns:
                message = f"`{table.name}`: there is a column `{name}` already"
                raise TrainError("D510", message, "path")
            columns[name] = column
    return Table(", ".join(table.name for table in tables), columns)


def select(table: Table, columns: Mapping[str, ColumnSpec], sharing: Mapping[str, Any]) -> Table:
    """Only the raw columns that are used.

    Raises an `ExceptionGroup` of all `TrainError`s about missing ones.
    """
    names: list[str] = []
    problems: list[TrainError] = []
    for column in columns.values():
        try:
            names += column.sources(table)
        except TrainError as problem:
            problems.append(_missing_source(column, problem))
    for key, name in sharing.items():
        if not isinstance(name, str) or name not in table.columns:
            problems.append(
                TrainError("D502", f"`{table.name}` has no column `{name}`", "split", key)
            )
        else:
            names.append(name)
    if problems:
        raise ExceptionGroup("columns", problems)
    return table.select(dict.fromkeys(names))


def _missing_source(column: ColumnSpec, problem: TrainError) -> TrainError:
    if column.listed:
        return problem.under("columns", column.name, "from")
    message = f"there is no column for the model's input `{column.name}`"
    hint = problem.hint or f'say where it comes from: `"{column.name}": {{"from": …}}`'
    return TrainError("D511", message, "columns", hint=hint)


def cut(
    tables: Mapping[str, Table], split: Mapping[str, Any], sharing: Mapping[str, str]
) -> dict[str, Part]:
    """The rows of each part; raises `TrainError` D506 or D509."""
    if "" not in tables:
        return {name: Part(tables[name], np.arange(tables[name].rows))
                for name in PARTS if name in tables}  # fmt: skip
    table = tables[""]
    if len(sharing) > 1:
        raise TrainError("D509", "`stratify` and `group` can't be had together", "split", "group")
    numbers = {}
    for key, name in sharing.items():
        with within("split", key):
            factors = factorize(table.raw(name), Cells(table, name), missing="")
            # By value, so that the numbers don't depend on which comes first in the file.
            order = sorted(range(len(factors.values)), key=lambda i: str(factors.values[i]))
            numbers[key] = np.argsort(order)[factors.codes]
    with within("split"):
        rows = split_rows(
            table.rows,
            {name: split[name] for name in PARTS if name in split},
            seed=split.get("seed", 0),
            shuffle=split.get("shuffle", True),
            strata=numbers.get("stratify"),
            groups=numbers.get("group"),
        )
    return {name: Part(table, part) for name, part in rows.items()}


def settled(table: Table, source: Mapping[str, Any]) -> Table:
    """The table with arrays of files in memory, if they are to be there."""
    mapped = {name: a for name, a in table.columns.items() if isinstance(a, Mapped)}
    if not mapped or not in_memory(source, 2 * sum(array.nbytes for array in mapped.values())):
        return table
    loaded = {name: array.load() for name, array in mapped.items()}
    return replace(table, columns={**table.columns, **loaded})


def encode_parts(
    columns: Mapping[str, ColumnSpec], parts: Mapping[str, Part], source: Mapping[str, Any]
) -> tuple[dict[str, list[Label]], dict[str, dict[str, Array | Lazy]]]:
    """Labels of the encoded columns, and for each part its columns.

    Raises an `ExceptionGroup` of all `TrainError`s.
    """
    problems: list[TrainError] = []
    labels: dict[str, list[Label]] = {}
    encoded: dict[str, dict[str, Array | Lazy]] = {name: {} for name in parts}
    for name, column in columns.items():
        try:
            if column.encode:
                labels[name] = learn_labels(column, parts["train"].table, parts["train"].rows)
            for part, array in _encode_parts(column, parts, labels):
                encoded[part][name] = _settled_images(array, part, source)
        except TrainError as problem:
            problems.append(problem.under("columns", name))
    if problems:
        raise ExceptionGroup("columns", problems)
    return labels, encoded


def _settled_images(array: Array | Lazy, part: str, source: Mapping[str, Any]) -> Array | Lazy:
    """Images that are the same in each epoch are decoded once, if they fit in memory."""
    if not isinstance(array, Images) or (part == "train" and array.augment):
        return array
    return array[:] if in_memory(source, prod(array.shape)) else array


def _encode_parts(
    column: ColumnSpec, parts: Mapping[str, Part], labels: Mapping[str, list[Label]]
) -> Iterable[tuple[str, Array | Lazy]]:
    # Parts of one table are encoded in one go, since each call converts the whole column.
    tables = {id(part.table): part.table for part in parts.values()}
    for key, table in tables.items():
        names = [name for name, part in parts.items() if id(part.table) == key]
        if is_lazy(column, table):
            for name in names:
                yield name, encode_column(column, table, parts[name].rows, labels)
            continue
        rows = np.concatenate([parts[name].rows for name in names])
        array = encode_column(column, table, rows, labels)
        assert isinstance(array, np.ndarray)
        ends = np.cumsum([len(parts[name].rows) for name in names])
        yield from zip(names, np.split(array, ends[:-1]), strict=True)
