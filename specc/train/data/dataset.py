"""A spec's `data` section as arrays: read, split, encoded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from specc.ir.graph import Interface
from specc.train.data.classes import Label, factorize
from specc.train.data.columns import ColumnSpec, column_specs, natural_key
from specc.train.data.encoding import encode_column, learn_labels
from specc.train.data.numbers import Cells
from specc.train.data.sources import read_table, table_from_arrays
from specc.train.data.splitting import PARTS, file_parts, split_rows
from specc.train.data.table import Array, Table, concatenated
from specc.train.problems import Locate, TrainError, nowhere, raise_all, within

DEFAULT_SPLIT = {"train": 0.8, "val": 0.1, "test": 0.1}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Encoded rows of each part of the split.

    `parts["train"]["image"]` may be of a narrower type than `columns["image"].dtype`, to
    which each batch is converted.
    """

    columns: Mapping[str, ColumnSpec]
    parts: Mapping[str, Mapping[str, Array]]
    labels: Mapping[str, list[Label]] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each part has."""
        return {name: len(next(iter(part.values()))) for name, part in self.parts.items()}


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a table."""

    table: Table
    rows: Array


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
    split = data.get("split") or DEFAULT_SPLIT
    with within("split"):
        files = file_parts(split)
    tables = _tables(data["source"], base, arrays, files)
    sharing = {key: data.get("columns", {}).get(name, {}).get("from", name)
               for key in ("stratify", "group") if (name := split.get(key))}  # fmt: skip
    tables = {name: _select(table, columns, sharing) for name, table in tables.items()}
    parts = _parts(tables, split, sharing)
    if "train" not in parts:
        raise TrainError("D509", "the split has no `train` part", "split")
    return _encoded(columns, parts)


def _wanted(
    data: Mapping[str, Any],
    interface: Interface,
    targets: Collection[str],
    limits: Mapping[str, int] | None,
) -> dict[str, ColumnSpec]:
    with within("columns"):
        columns = column_specs(data.get("columns", {}), interface)
        for name in targets:
            if name not in columns:
                hint = f'say where it comes from: `"{name}": {{"from": …}}`'
                raise TrainError("D511", f"there is no column `{name}`", hint=hint)
    for name, classes in (limits or {}).items():
        columns[name] = replace(columns[name], low=0, high=classes)
    names = {info.name for info in interface.inputs} | set(targets)
    return {name: column for name, column in columns.items() if name in names}


