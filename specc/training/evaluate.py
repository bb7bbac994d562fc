"""Loss and metrics of a model on one part of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from specc.training.batches import Batches
from specc.training.forward import Forward
from specc.training.metrics import Metric

CHUNK_BYTES = 8 << 20
"""About what the nearer caches hold: a layer's result that is larger waits for memory."""
MOST_ROWS = 4096


def evaluation_batch_size(bytes_per_row: int, batch_size: int) -> int:
    """Small rows are evaluated many at a time, which costs less; large ones as in training.

    `bytes_per_row` are those of the largest thing that a row becomes on its way.
    """
    return max(batch_size, min(MOST_ROWS, CHUNK_BYTES // max(1, bytes_per_row)))


@contextmanager
def watching_sizes(module: nn.Module) -> Iterator[Callable[[], int]]:
    """While entered, layers are watched; gives what tells how many bytes the largest result has."""
    sizes = [0]

    def watch(_: nn.Module, __: object, result: object) -> None:
        if isinstance(result, Tensor):
            sizes.append(result.numel() * result.element_size())

    hooks = [layer.register_forward_hook(watch) for layer in module.modules()]
    try:
        yield lambda: max(sizes)
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def evaluate(forward: Forward, batches: Batches, metrics: Sequence[Metric]) -> dict[str, Any]:
    """The mean loss over rows, then the metrics by name; a value that is not finite is None.

    Each rank goes through its own rows; all have the same result. Leaves model and loss in
    eval mode.
    """
    forward.module.eval()
    forward.loss_module.eval()
    total = torch.zeros((), dtype=torch.float64, device=batches.device)
    for share in batches.ordered():
        values = forward.values(share.batch)
        total.add_(forward.loss(values), alpha=forward.part(share.rows, share.whole) * share.whole)
        for metric in metrics:
            metric.update(values)
    loss = batches.ranks.summed(total).item() / batches.rows
    scores = {metric.name: metric.result() for metric in metrics}
    return {"loss": loss if math.isfinite(loss) else None, **scores}
