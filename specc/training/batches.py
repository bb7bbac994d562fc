"""Batches of rows, in an order that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from specc.training.data.columns import ColumnSpec
from specc.training.data.lazy import Draw, Lazy
from specc.training.data.splitting import mix
from specc.training.data.streaming import Rows, Stream
from specc.training.data.table import Array
from specc.training.data.tables import Columns
from specc.training.prefetch import prefetched
from specc.training.problems import TrainError
from specc.training.ranks import ALONE, Ranks

Batch = dict[str, Tensor]


class Share(NamedTuple):
    """This rank's rows of a batch, how many they are, and how many the batch has in all."""

    batch: Batch
    rows: int
    whole: int


CHUNK_BYTES = 32 << 20
"""Rows are gathered this much at a time: one large gather costs less than many small ones."""
SLOW_CHUNK_BYTES = 4 << 20
"""The same where rows are costly to make, so that the first batch doesn't wait for long."""


def batches_of(
    part: Columns | Stream, columns: Mapping[str, ColumnSpec], size: int,
    device: torch.device | str = "cpu", ranks: Ranks = ALONE,
) -> Batches:  # fmt: skip
    """Batches of one part of a data set."""
    if isinstance(part, Stream):
        return StreamBatches(part, columns, size, device, ranks)
    return Batches(part, columns, size, device, ranks)


class Batches:
    """Rows of one part of the data; `size` is that of a batch, which all ranks share.

    The last batch of an epoch is smaller; if a rank had a single row of it, which batch
    normalization can't take, the rows join the batch before it.
    """

    def __init__(
        self, arrays: Columns, columns: Mapping[str, ColumnSpec], size: int,
        device: torch.device | str = "cpu", ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self._lazy = {k: a for k, a in arrays.items() if isinstance(a, Lazy)}
        self._tensors = {
            k: torch.from_numpy(a).to(device) for k, a in arrays.items() if not isinstance(a, Lazy)
        }
        self._settle(len(next(iter(arrays.values()))), size, columns, device, ranks)
        self._row_shapes = {k: tuple(a.shape[1:]) for k, a in arrays.items()}

    def _settle(
        self, rows: int, size: int, columns: Mapping[str, ColumnSpec],
        device: torch.device | str, ranks: Ranks,
    ) -> None:  # fmt: skip
        self.rows, self.device, self.ranks = rows, torch.device(device), ranks
        self.starts = _starts(rows, size, 2 * ranks.size)
        self._own = np.array([ranks.share(*bounds) for bounds in pairwise(self.starts)])
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

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[Share]:
        """This rank's share of shuffled batches, from batch number `first` on."""
        return self._sliced(self._chunks((seed, epoch), first), first)

    def ordered(self) -> Iterator[Share]:
        """Its share of batches in the order of the data, nothing augmented."""
        return self._sliced(self._chunks(None, 0), 0)

    def _sliced(self, chunks: Iterator[Batch], first: int) -> Iterator[Share]:
        chunk: Batch = {}
        low = high = 0
        wholes = [end - start for start, end in pairwise(self.starts[first:])]
        for (start, end), whole in zip(self._own[first:].tolist(), wholes, strict=True):
            rows = end - start
            while high - low < rows:
                more = next(chunks, None)
                if more is None:
                    message = "the files hold fewer rows than when training began"
                    raise TrainError("D506", message, "data", "source").rooted()
                if low < high:
                    more = {k: torch.cat([chunk[k][low:high], t]) for k, t in more.items()}
                chunk, low, high = more, 0, len(next(iter(more.values())))
            yield Share({k: t.narrow(0, low, rows) for k, t in chunk.items()}, rows, whole)
            low += rows

    def _chunks(self, draw: Draw | None, first: int) -> Iterator[Batch]:
        """The rows from batch number `first` on, some at a time, as they go into a batch."""
        order = None
        if draw:
            generator = torch.Generator().manual_seed(int(mix(*draw)[0]) >> 1)
            order = torch.randperm(self.rows, generator=generator)
        # Chunks begin at the same rows whatever the first batch is: kernels round by alignment.
        begin = first - first % self._batches_per_chunk
        gathered = (self._gather(order, rows, draw) for rows in self._runs(begin))
        chunks = _without(gathered, int(np.diff(self._own[begin:first]).sum()))
        return prefetched(chunks) if self._lazy else chunks

    @property
    def _batches_per_chunk(self) -> int:
        slow = any(lazy.slow for lazy in self._lazy.values())
        wanted = SLOW_CHUNK_BYTES if slow else CHUNK_BYTES
        return max(1, wanted // max(1, self.bytes_per_row * int(self.starts[1])))

    def _runs(self, first: int) -> Iterator[slice | Array]:
        """The positions of each chunk's rows."""
        step = self._batches_per_chunk
        for begin in range(first, self.per_epoch, step):
            bounds = self._own[begin : begin + step]
            if self.ranks.alone:
                yield slice(int(bounds[0, 0]), int(bounds[-1, 1]))
            else:
                yield np.concatenate([np.arange(*own) for own in bounds])

    def _gather(self, order: Tensor | None, rows: slice | Array, draw: Draw | None) -> Batch:
        if order is None and isinstance(rows, slice):
            gathered = {k: t[rows] for k, t in self._tensors.items()}
            at = np.arange(rows.start, rows.stop)
        else:
            at = np.asarray(rows) if order is None else order.numpy()[rows]
            index = torch.from_numpy(at).to(self.device)
            gathered = {k: t.index_select(0, index) for k, t in self._tensors.items()}
        for name, lazy in self._lazy.items():
            gathered[name] = torch.from_numpy(lazy.take(at, draw)).to(self.device)
        return {k: t.to(self._dtypes[k]) for k, t in gathered.items()}


class StreamBatches(Batches):
    """Batches of rows that are read from their files in every epoch, by every rank."""

    def __init__(
        self, stream: Stream, columns: Mapping[str, ColumnSpec], size: int,
        device: torch.device | str = "cpu", ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self._stream = stream
        self._settle(stream.rows, size, columns, device, ranks)
        self._row_shapes = {k: tuple(a.shape[1:]) for k, a in stream.first(1).items()}

    def _chunks(self, draw: Draw | None, first: int) -> Iterator[Batch]:
        chunks = self._stream.shuffled(*draw) if draw else self._stream.ordered()
        return prefetched(map(self._tensor_rows, self._own_rows(chunks, first)))

    def _own_rows(self, chunks: Iterator[Rows], first: int) -> Iterator[Rows]:
        low = 0
        for chunk in chunks:
            high = low + len(next(iter(chunk.values())))
            position = np.arange(low, high)
            batch = np.searchsorted(self.starts, position, "right") - 1
            batch = np.minimum(batch, self.per_epoch - 1)
            own = (position >= self._own[batch, 0]) & (position < self._own[batch, 1])
            own &= batch >= first
            if own.any():
                yield chunk if own.all() else {name: array[own] for name, array in chunk.items()}
            low = high

    def _tensor_rows(self, rows: Rows) -> Batch:
        return {
            k: torch.from_numpy(array).to(self.device).to(self._dtypes[k])
            for k, array in rows.items()
        }


def _without(chunks: Iterator[Batch], skipped: int) -> Iterator[Batch]:
    """The chunks without the first rows of the first one."""
    for chunk in chunks:
        yield {name: t[skipped:] for name, t in chunk.items()} if skipped else chunk
        skipped = 0


def _starts(rows: int, size: int, least: int) -> list[int]:
    """Where each batch starts, and the end; the last batch has not less than `least` rows."""
    starts = list(range(0, rows, size))
    if len(starts) > 1 and rows - starts[-1] < min(least, size):
        starts.pop()
    return [*starts, rows]
