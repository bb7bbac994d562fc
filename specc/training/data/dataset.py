"""A spec's `data` section as arrays: read, split, encoded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from specc.ir.graph import Interface
from specc.spec.sources import TOKENS, implied_columns
from specc.training.data.chunks import CHUNKED, open_files
from specc.training.data.classes import Label
from specc.training.data.columns import ColumnSpec, column_specs
from specc.training.data.encoding import encode_column
from specc.training.data.lazy import Lazy
from specc.training.data.memory import in_memory
from specc.training.data.splitting import file_parts
from specc.training.data.streaming import Stream, stream_parts
from specc.training.data.table import Array, Table
from specc.training.data.tables import Columns, cut, encode_parts, read_tables, select, settled
from specc.training.data.text import TextParts, check_codes, read_text
from specc.training.problems import Locate, TrainError, nowhere, raise_all, within

DEFAULT_SPLIT = {"train": 0.8, "val": 0.1, "test": 0.1}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Encoded rows of each part of the split.

    `parts["train"]["image"]` may be of a narrower type than `columns["image"].dtype`, to
    which each batch is converted.
    """

    columns: Mapping[str, ColumnSpec]
    parts: Mapping[str, Columns | Stream]
    labels: Mapping[str, list[Label]] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each part has."""
        return {
            name: part.rows if isinstance(part, Stream) else len(next(iter(part.values())))
            for name, part in self.parts.items()
        }

    def first(self, part: str, count: int) -> dict[str, Array]:
        """The first rows of a part, as many as there are up to `count`."""
        rows = self.parts[part]
        if isinstance(rows, Stream):
            return rows.first(count)
        return {name: array[:count] for name, array in rows.items()}


def load_dataset(
    data: Mapping[str, Any],
    base: Path,
    interface: Interface,
    *,
    targets: Collection[str] = (),
    class_limits: Mapping[str, int] | None = None,
    arrays: Mapping[str, Any] | None = None,
    locate: Locate = nowhere,
) -> Dataset:
    """Read, split and encode what the model's inputs and `targets` need.

    `class_limits` says for a column of labels how many classes the model gives; `arrays` are
    the columns of a `memory` source, or those of each part. Raises `SpeccError` with all that
    is wrong.
    """
    problems: list[TrainError] = []
    dataset = None
    try:
        dataset = _load(data, base, arrays, _wanted(data, interface, targets, class_limits))
    except TrainError as problem:
        problems.append(problem)
    except ExceptionGroup as group:
        problems += [p for p in group.exceptions if isinstance(p, TrainError)]
    raise_all((p.under("data") for p in problems), locate)
    assert dataset is not None
    return dataset


def _load(
    data: Mapping[str, Any],
    base: Path,
    arrays: Mapping[str, Any] | None,
    columns: Mapping[str, ColumnSpec],
) -> Dataset:
    source, split = data["source"], data.get("split") or DEFAULT_SPLIT
    with within("split"):
        files = file_parts(split)
    if source["kind"] == "text":
        return _from_text(read_text(source, base, split, files), columns)
    given = {**implied_columns(source), **data.get("columns", {})}
    sharing = {key: given.get(name, {}).get("from", name)
               for key in ("stratify", "group") if (name := split.get(key))}  # fmt: skip
    streamed = _streamed(source, base, split, files, columns, sharing)
    if streamed:
        return streamed
    tables = read_tables(source, base, arrays, files)
    tables = {
        name: settled(select(table, columns, sharing), source) for name, table in tables.items()
    }
    parts = cut(tables, split, sharing)
    if "train" not in parts:
        raise TrainError("D509", "the split has no `train` part", "split")
    labels, encoded = encode_parts(columns, parts, source)
    return Dataset(columns, encoded, labels)


def _streamed(
    source: Mapping[str, Any], base: Path, split: Mapping[str, Any],
    files: Mapping[str, list[str]], columns: Mapping[str, ColumnSpec], sharing: Mapping[str, str],
) -> Dataset | None:  # fmt: skip
    """The data as streams, or None if its kind can't be streamed or it fits in memory."""
    if source["kind"] not in CHUNKED or source.get("memory") or not (files or "path" in source):
        return None
    opened = open_files(source, base, files)
    for chunked in opened.values():
        names = list(select(chunked.names_only(), columns, sharing).columns)
        if not in_memory(source, chunked.memory(names)):
            break
    else:
        return None
    for chunked in opened.values():
        chunked.settle(list(select(chunked.names_only(), columns, sharing).columns))
    labels, parts = stream_parts(opened, columns, split, sharing, source.get("buffer"))
    return Dataset(columns, parts, labels)


def _from_text(text: TextParts, columns: Mapping[str, ColumnSpec]) -> Dataset:
    parts: dict[str, dict[str, Array | Lazy]] = {name: {} for name in text.parts}
    labels: dict[str, list[Label]] = {}
    codes = 256 if text.vocabulary is None else len(text.vocabulary)
    for name, column in columns.items():
        with within("columns", name):
            check_codes(column, codes)
            for part, windows in text.parts.items():
                table = Table("text", windows)
                rows = np.arange(len(windows[TOKENS]))
                parts[part][name] = encode_column(column, table, rows, {})
        if text.vocabulary is not None:
            labels[name] = text.vocabulary
    return Dataset(columns, parts, labels)


def _wanted(
    data: Mapping[str, Any],
    interface: Interface,
    targets: Collection[str],
    limits: Mapping[str, int] | None,
) -> dict[str, ColumnSpec]:
    with within("columns"):
        listed = {**implied_columns(data["source"]), **data.get("columns", {})}
        columns = column_specs(listed, interface)
        for name in targets:
            if name not in columns:
                hint = f'say where it comes from: `"{name}": {{"from": …}}`'
                raise TrainError("D511", f"there is no column `{name}`", hint=hint)
    for name, classes in (limits or {}).items():
        columns[name] = replace(columns[name], low=0, high=classes)
    names = {info.name for info in interface.inputs} | set(targets)
    return {name: column for name, column in columns.items() if name in names}
