"""How one input is filled: with normal numbers, a constant, a mask, one NaN among others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from specc.ir.graph import InputInfo
from specc.ir.types import DType
from specc.parity.judge import Array

Fill = Callable[[InputInfo, tuple[int, ...], np.random.Generator], Array]
"""Makes an input of a given shape; inputs that the fill does not concern get normal values."""

MASKS = ("causal", "padded", "full", "empty", "random")
UNKNOWN_RANGE = 10
"""How many integer values are tried where nothing is known of an input's range."""


def normal(info: InputInfo, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Standard normal numbers; integers anywhere in their range; random masks."""
    dtype = info.type.dtype
    if dtype.is_floating:
        return rng.standard_normal(shape).astype(dtype.value)
    if dtype is DType.bool:
        return mask("random", shape, rng)
    low, high = integer_range(info)
    return rng.integers(low, high, shape).astype(dtype.value)


def integer_range(info: InputInfo) -> tuple[int, int]:
    """The values of an integer input, `high` exclusive; ten of them where nothing is known."""
    low, high = info.low, info.high
    if low is None:
        low = 0 if high is None or high > 0 else high - UNKNOWN_RANGE
    return low, low + UNKNOWN_RANGE if high is None else high


def mask(pattern: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A mask over the last axis (`padded`), or the last two (`causal`).

    `random` and `padded` leave a true and a false element in every row, since PyTorch has
    both meanings of a mask and a row with nothing to attend to has no result.
    """
    if not shape:
        return np.asarray(rng.random() < 0.5)
    last = shape[-1]
    made = np.zeros(shape, np.bool_)
    if pattern == "full":
        made[...] = True
    elif pattern == "causal":
        made[...] = np.tri(shape[-2], last) if len(shape) > 1 else np.arange(last) == 0
    elif pattern == "padded":
        made[..., : -(-3 * last // 4) if last > 1 else 1] = True
    elif pattern == "random":
        made = rng.random(shape) < 0.5
    if last > 1 and pattern in ("padded", "random"):
        made[..., 0], made[..., -1] = True, False
    return made


def floating(draw: Callable[[tuple[int, ...], np.random.Generator], Array]) -> Fill:
    """Floating inputs as drawn."""

    def fill(info: InputInfo, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if not info.type.dtype.is_floating:
            return normal(info, shape, rng)
        return draw(shape, rng).astype(info.type.dtype.value)

    return fill


def scaled(factor: float) -> Fill:
    """Normal numbers times a factor."""
    return floating(lambda shape, rng: rng.standard_normal(shape) * factor)


def constant(value: float) -> Fill:
    """The same number everywhere."""
    return floating(lambda shape, _: np.full(shape, value))


def with_one(name: str, value: float) -> Fill:
    """Normal values, with one element of one input replaced."""

    def fill(info: InputInfo, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        made = normal(info, shape, rng)
        if info.name == name and made.size:
            made.reshape(-1)[rng.integers(made.size)] = value
        return made

    return fill


def range_end(end: int) -> Fill:
    """The smallest (0) or the largest (1) value of an integer input."""

    def fill(info: InputInfo, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if not info.type.dtype.is_integer:
            return normal(info, shape, rng)
        low, high = integer_range(info)
        return np.full(shape, (low, high - 1)[end]).astype(info.type.dtype.value)

    return fill


def masked(pattern: str) -> Fill:
    """Boolean inputs in one pattern of `MASKS`."""

    def fill(info: InputInfo, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if info.type.dtype is not DType.bool:
            return normal(info, shape, rng)
        return mask(pattern, shape, rng)

    return fill
