"""Columns whose rows are made when a batch asks for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specc.training.data.columns import ColumnSpec, check_bounds, fitted_shape
from specc.training.data.numbers import Cells, numbers_of
from specc.training.data.table import Array
from specc.training.problems import TrainError

Draw = tuple[int, int]
"""Seed and epoch, which with a row's number decide how it is augmented."""


class Lazy(ABC):
    """A column of `shape` that is not in memory; indexing makes rows as they are on disk."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slow = False
    """Whether making a row costs much more than copying it."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, key: slice) -> Array:
        return self.take(np.arange(len(self))[key])

    @abstractmethod
    def take(self, at: Array, draw: Draw | None = None) -> Array:
        """The rows at these positions, augmented if there is a draw."""

    @abstractmethod
    def fitted(self, column: ColumnSpec, rows: Array, cells: Cells) -> Lazy:
        """These rows as a column wants them; `cells` says where they stand.

        Raises `TrainError` D507 where they can't be had in its shape.
        """

    def astype(self, dtype: np.dtype[Any]) -> Lazy:
        """The same rows in another type."""
        return self if dtype == self.dtype else _Cast(self, dtype)


class _Cast(Lazy):
    def __init__(self, inner: Lazy, dtype: np.dtype[Any]) -> None:
        self.inner, self.dtype, self.shape, self.slow = inner, dtype, inner.shape, inner.slow

    def take(self, at: Array, draw: Draw | None = None) -> Array:
        return self.inner.take(at, draw).astype(self.dtype)

    def fitted(self, column: ColumnSpec, rows: Array, cells: Cells) -> Lazy:
        return _Cast(self.inner.fitted(column, rows, cells), self.dtype)


class Mapped(Lazy):
    """Rows of arrays in memory-mapped files, one file after the other."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = list(arrays)
        rows = [len(array) for array in self.arrays]
        self.ends = np.cumsum(rows)
        self.dtype = np.result_type(*self.arrays)
        self.shape = (sum(rows), *self.arrays[0].shape[1:])

    @staticmethod
    def joined(columns: Sequence[Mapped]) -> Mapped:
        """The rows of several, one after the other."""
        if len({column.shape[1:] for column in columns}) > 1:
            raise TrainError("D510", "the files' arrays differ in shape", "path")
        return Mapped([array for column in columns for array in column.arrays])

    @property
    def nbytes(self) -> int:
        """What it would take in memory."""
        return sum(array.nbytes for array in self.arrays)

    def load(self) -> Array:
        """All of it in memory."""
        return np.concatenate(self.arrays) if len(self.arrays) > 1 else np.array(self.arrays[0])

    def take(self, at: Array, draw: Draw | None = None) -> Array:  # noqa: ARG002
        out = np.empty((len(at), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self.ends, at, side="right")
        for i, array in enumerate(self.arrays):
            here = which == i
            if here.any():
                out[here] = array[at[here] - (self.ends[i] - len(array))]
        return out

    def fitted(self, column: ColumnSpec, rows: Array, cells: Cells) -> Lazy:
        return _Numbers(self, column, rows, cells)


class _Numbers(Lazy):
    """Chosen rows of a mapped array, checked and converted when they are read."""

    def __init__(self, inner: Mapped, column: ColumnSpec, rows: Array, cells: Cells) -> None:
        self.inner, self.column, self.rows, self.cells = inner, column, rows, cells
        self.shape = (len(rows), *fitted_shape(column, inner.shape[1:]))
        self.dtype = self._numbers(inner.take(rows[:1]), rows[:1]).dtype

    def take(self, at: Array, draw: Draw | None = None) -> Array:  # noqa: ARG002
        rows = self.rows[at]
        try:
            return self._numbers(self.inner.take(rows), rows)
        except TrainError as problem:
            raise problem.under("data", "columns", self.column.name).rooted() from problem

    def _numbers(self, raw: Array, rows: Array) -> Array:
        cells = replace(self.cells, rows=rows)
        numbers = numbers_of(raw, cells, self.column.dtype, self.column.missing)
        shaped = numbers.reshape(len(rows), *self.shape[1:])
        check_bounds(shaped, self.column, cells)
        return shaped

    def fitted(self, column: ColumnSpec, rows: Array, cells: Cells) -> Lazy:
        return _Numbers(self.inner, column, self.rows[rows], cells)
