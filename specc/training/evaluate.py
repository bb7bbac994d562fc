"""Loss and metrics of a model on one part of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from specc.training.batches import Batches
from specc.training.forward import Forward
from specc.training.metrics import Metric

CHUNK_BYTES = 1 << 20
MOST_ROWS = 4096


def evaluation_batch_size(bytes_per_row: int, batch_size: int) -> int:
    """Small rows are evaluated many at a time, which costs less; large ones as in training."""
    return max(batch_size, min(MOST_ROWS, CHUNK_BYTES // max(1, bytes_per_row)))


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
