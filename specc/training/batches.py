"""Batches of rows, in an order that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from specc.training.data.columns import ColumnSpec
from specc.training.data.lazy import Draw, Lazy
from specc.training.data.splitting import mix
from specc.training.data.streaming import Rows, Stream
from specc.training.data.tables import Columns
from specc.training.prefetch import prefetched
from specc.training.problems import TrainError

Batch = dict[str, Tensor]

CHUNK_BYTES = 32 << 20
"""Rows are gathered this much at a time: one large gather costs less than many small ones."""
SLOW_CHUNK_BYTES = 4 << 20
"""The same where rows are costly to make, so that the first batch doesn't wait for long."""


def batches_of(
    part: Columns | Stream, columns: Mapping[str, ColumnSpec], size: int,
    device: torch.device | str = "cpu",
) -> Batches:  # fmt: skip
    """Batches of one part of a data set."""
    if isinstance(part, Stream):
        return StreamBatches(part, columns, size, device)
    return Batches(part, columns, size, device)


class Batches:
    """Rows of one part of the data; `size` is that of a batch.

    The last batch of an epoch is smaller; if it had a single row, which batch normalization
    can't take, the row joins the batch before it.
    """

    def __init__(
        self,
        arrays: Columns,
        columns: Mapping[str, ColumnSpec],
        size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._lazy = {k: a for k, a in arrays.items() if isinstance(a, Lazy)}
        self._tensors = {
            k: torch.from_numpy(a).to(device) for k, a in arrays.items() if not isinstance(a, Lazy)
        }
        self._settle(len(next(iter(arrays.values()))), size, columns, device)
        self._row_shapes = {k: tuple(a.shape[1:]) for k, a in arrays.items()}

    def _settle(
        self, rows: int, size: int, columns: Mapping[str, ColumnSpec], device: torch.device | str
    ) -> None:
        self.rows, self.device, self.starts = rows, torch.device(device), _starts(rows, size)
        self._dtypes = {k: getattr(torch, column.dtype) for k, column in columns.items()}

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has."""
        return len(self.starts) - 1

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row as it is in a batch."""
        return sum(
            int(np.prod(shape)) * self._dtypes[k].itemsize for k, shape in self._row_shapes.items()
        )

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[tuple[Batch, int]]:
        """Shuffled batches with their number of rows, from batch number `first` on."""
        return self._sliced(self._chunks((seed, epoch), first), first)

    def ordered(self) -> Iterator[tuple[Batch, int]]:
        """Batches in the order of the data, nothing augmented."""
        return self._sliced(self._chunks(None, 0), 0)

    def _sliced(self, chunks: Iterator[Batch], first: int) -> Iterator[tuple[Batch, int]]:
        chunk: Batch = {}
        low = high = 0
        for start, end in pairwise(self.starts[first:]):
            rows = end - start
            while high - low < rows:
                more = next(chunks, None)
                if more is None:
                    message = "the files hold fewer rows than when training began"
                    raise TrainError("D506", message, "data", "source").rooted()
                if low < high:
                    more = {k: torch.cat([chunk[k][low:high], t]) for k, t in more.items()}
                chunk, low, high = more, 0, len(next(iter(more.values())))
            yield {k: t.narrow(0, low, rows) for k, t in chunk.items()}, rows
            low += rows

    def _chunks(self, draw: Draw | None, first: int) -> Iterator[Batch]:
        """The rows from batch number `first` on, some at a time, as they go into a batch."""
        order = None
        if draw:
            generator = torch.Generator().manual_seed(int(mix(*draw)[0]) >> 1)
            order = torch.randperm(self.rows, generator=generator)
        gathered = (self._gather(order, start, end, draw) for start, end in self._bounds(first))
        return prefetched(gathered) if self._lazy else gathered

    def _bounds(self, first: int) -> Iterator[tuple[int, int]]:
        """Where each chunk starts and ends."""
        slow = any(lazy.slow for lazy in self._lazy.values())
        wanted = SLOW_CHUNK_BYTES if slow else CHUNK_BYTES
        per_chunk = max(1, wanted // max(1, self.bytes_per_row * int(self.starts[1])))
        for begin in range(first, self.per_epoch, per_chunk):
            yield self.starts[begin], self.starts[min(begin + per_chunk, self.per_epoch)]

    def _gather(self, order: Tensor | None, start: int, end: int, draw: Draw | None) -> Batch:
        if order is None:
            rows = {k: t[start:end] for k, t in self._tensors.items()}
            at = np.arange(start, end)
        else:
            index = order[start:end]
            at = index.numpy()
            placed = index.to(self.device)
            rows = {k: t.index_select(0, placed) for k, t in self._tensors.items()}
        for name, lazy in self._lazy.items():
            rows[name] = torch.from_numpy(lazy.take(at, draw)).to(self.device)
        return {k: t.to(self._dtypes[k]) for k, t in rows.items()}


class StreamBatches(Batches):
    """Batches of rows that are read from their files in every epoch."""

    def __init__(
        self, stream: Stream, columns: Mapping[str, ColumnSpec], size: int,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self._stream = stream
        self._settle(stream.rows, size, columns, device)
        self._row_shapes = {k: tuple(a.shape[1:]) for k, a in stream.first(1).items()}

    def _chunks(self, draw: Draw | None, first: int) -> Iterator[Batch]:
        chunks = self._stream.shuffled(*draw) if draw else self._stream.ordered()
        return prefetched(map(self._tensor_rows, _from_row(chunks, self.starts[first])))

    def _tensor_rows(self, rows: Rows) -> Batch:
        return {
            k: torch.from_numpy(array).to(self.device).to(self._dtypes[k])
            for k, array in rows.items()
        }


def _from_row(chunks: Iterator[Rows], skipped: int) -> Iterator[Rows]:
    for chunk in chunks:
        count = len(next(iter(chunk.values())))
        if skipped < count:
            yield {name: array[skipped:] for name, array in chunk.items()} if skipped else chunk
        skipped = max(0, skipped - count)


def _starts(rows: int, size: int) -> list[int]:
    """Where each batch starts, and the end."""
    starts = list(range(0, rows, size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [*starts, rows]
