"""Statistics of BatchNorm that fit the weights, as training would have left them.

With those of a fresh model (mean 0, variance 1) a deep network's signal dies on its way, and all
inputs give one output: comparing that proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def settle(module: torch.nn.Module, run: Callable[[], object]) -> None:
    """Take every BatchNorm's statistics from one run of the module, which is in eval mode."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        run()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
