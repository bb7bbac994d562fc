"""Other weights for a fresh model, whose own ones often prove nothing.

An untrained layer hides faults: a zero-initialised head makes every output 0, biases are 0,
norms multiply by 1, and BatchNorm's statistics are those of standard normal data.
"""

from __future__ import annotations

import copy

import torch

SMALL = 1e-2
"""A constant below this is taken for zero (the layer scale of some vision models is 1e-6)."""


def perturbed(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """A copy of the module in which no floating parameter or buffer is one number throughout.

    Zeros become small normal numbers, other constants move by up to a half. Tied weights
    stay tied.
    """
    made = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    persistent = made.state_dict(keep_vars=True)
    with torch.no_grad():
        for tensor in {id(t): t for t in persistent.values()}.values():
            if tensor.is_floating_point() and tensor.numel() and _is_constant(tensor):
                tensor.copy_(_moved(tensor, generator))
    return made


def _is_constant(tensor: torch.Tensor) -> bool:
    return bool((tensor == tensor.flatten()[0]).all())


def _moved(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    value = float(tensor.flatten()[0])
    if abs(value) < SMALL:
        return (0.1 * noise).to(tensor)
    # Never through zero: a variance has to stay positive.
    return (value * (1 + 0.5 * torch.tanh(noise))).to(tensor)
