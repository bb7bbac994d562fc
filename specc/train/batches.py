"""Batches of rows that are in memory, in an order that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from specc.train.data.columns import ColumnSpec
from specc.train.data.splitting import mix
from specc.train.data.table import Array

Batch = dict[str, Tensor]

CHUNK_BYTES = 32 << 20
"""Rows are gathered this much at a time: one large gather costs less than many small ones."""


class Batches:
    """Rows of one part of the data; `size` is that of a batch.

    The last batch of an epoch is smaller; if it had a single row, which batch normalization
    can't take, the row joins the batch before it.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        columns: Mapping[str, ColumnSpec],
        size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._tensors = {k: torch.from_numpy(a).to(device) for k, a in arrays.items()}
        self._dtypes = {k: getattr(torch, columns[k].dtype) for k in arrays}
        self.rows = len(next(iter(arrays.values())))
        self.device = torch.device(device)
        self.starts = _starts(self.rows, size)

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has."""
        return len(self.starts) - 1

    @property
    def bytes_per_row(self) -> int:
        """Memory of one row as it is in a batch."""
        return sum(
            t[0].numel() * self._dtypes[k].itemsize for k, t in self._tensors.items() if len(t)
        )

    def epoch(self, seed: int, epoch: int, first: int = 0) -> Iterator[tuple[Batch, int]]:
        """Shuffled batches with their number of rows, from batch number `first` on."""
        generator = torch.Generator().manual_seed(int(mix(seed, epoch)[0]) >> 1)
        return self._batches(torch.randperm(self.rows, generator=generator), first)

    def ordered(self) -> Iterator[tuple[Batch, int]]:
        """Batches in the order of the data."""
        return self._batches(None, 0)

    def _batches(self, order: Tensor | None, first: int) -> Iterator[tuple[Batch, int]]:
        per_chunk = max(1, CHUNK_BYTES // max(1, self.bytes_per_row * int(self.starts[1])))
        for begin in range(first, self.per_epoch, per_chunk):
            starts = self.starts[begin : begin + per_chunk + 1]
            chunk = self._gather(order, starts[0], starts[-1])
            for start, end in pairwise(starts):
                low = start - starts[0]
                yield {k: t.narrow(0, low, end - start) for k, t in chunk.items()}, end - start

    def _gather(self, order: Tensor | None, start: int, end: int) -> Batch:
        if order is None:
            rows = {k: t[start:end] for k, t in self._tensors.items()}
        else:
            index = order[start:end].to(self.device)
            rows = {k: t.index_select(0, index) for k, t in self._tensors.items()}
        return {k: t.to(self._dtypes[k]) for k, t in rows.items()}


def _starts(rows: int, size: int) -> list[int]:
    """Where each batch starts, and the end."""
    starts = list(range(0, rows, size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [*starts, rows]
