"""Arithmetic on limits: a pair of whole numbers, or infinities, that no value passes."""

from __future__ import annotations

from math import inf
from typing import TypeAlias

Interval: TypeAlias = tuple[float, float]


def multiply(x: Interval, y: Interval) -> Interval:
    """Limits of a product."""
    corners = [a * b if a and b else 0 for a in x for b in y]
    return min(corners), max(corners)


def floor_divide(x: Interval, d: Interval) -> Interval:
    """Limits of a quotient rounded down, the divisor being a whole number other than 0."""
    if d[0] <= 0 <= d[1]:
        most = max(abs(x[0]), abs(x[1]))
        return -most, most
    corners = [_quotient(a, b) for a in x for b in d]
    return min(corners), max(corners)


def _quotient(a: float, b: float) -> float:
    if abs(b) == inf:
        return -1 if a and (a < 0) != (b < 0) else 0
    return a // b if abs(a) != inf else a if b > 0 else -a
