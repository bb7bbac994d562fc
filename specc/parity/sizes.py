"""Which sizes a model is tried at: each symbolic size at its min, example, max and between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, prod

from specc.ir.dims import evaluate
from specc.ir.graph import DimInfo, Interface

Sizes = Mapping[str, int]

ELEMENT_LIMIT = 1 << 18
"""Elements of all inputs together, so that a batch of 65536 does not take minutes."""
SIZE_LIMIT = 512
"""A single size, since the cost of attention grows with its square."""


@dataclass(frozen=True)
class Probe:
    """One setting of all symbolic sizes, and what is special about it (`batch=min`)."""

    name: str
    sizes: Sizes


def example_sizes(interface: Interface) -> dict[str, int]:
    """The example of every symbolic size; 2, or the next that is allowed, where none is given."""
    return {dim.name: _example(dim) for dim in interface.dims}


def elements(interface: Interface, sizes: Sizes) -> int:
    """How many elements the inputs have together."""
    return sum(prod(shape_of(info.type.shape, sizes)) for info in interface.inputs)


def shape_of(shape: tuple[object, ...], sizes: Sizes) -> tuple[int, ...]:
    """A symbolic shape as numbers."""
    return tuple(evaluate(size, sizes) for size in shape)  # type: ignore[arg-type]


def probes(interface: Interface) -> tuple[Probe, ...]:
    """Each size in turn at its min, its max and a prime between, the others at their example.

    A max that would make the inputs too large is lowered until they are small enough.
    """
    example = example_sizes(interface)
    found: dict[tuple[tuple[str, int], ...], Probe] = {}
    for dim in interface.dims:
        high = _affordable(interface, example, dim)
        low = min(_up(dim.min, dim), high)
        for label, value in (("min", low), ("max", high), ("between", _between(low, high, dim))):
            sizes = {**example, dim.name: value}
            if sizes != example:
                found.setdefault(tuple(sizes.items()), Probe(f"{dim.name}={label}", sizes))
    return tuple(found.values())


def _example(dim: DimInfo) -> int:
    value = dim.example if dim.example is not None else max(_up(dim.min, dim), _up(2, dim))
    return value if dim.max is None else min(value, _down(dim.max, dim))


def _high(dim: DimInfo) -> int:
    """The max; without one, somewhat more than the example."""
    return _down(dim.max, dim) if dim.max is not None else _up(2 * _example(dim) + 3, dim)


def _between(low: int, high: int, dim: DimInfo) -> int:
    """A prime number of steps between the ends, about in the middle of them on a log scale."""
    step = dim.multiple_of
    first, last = low // step, high // step
    middle = max(isqrt(first * last), first)
    choices = [n for n in range(first, min(last, 4 * middle + 8) + 1) if _is_prime(n)]
    odd = [n for n in choices if n != 2] or choices or [middle]
    return step * min(odd, key=lambda n: abs(n - middle))


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, isqrt(n) + 1))


def _affordable(interface: Interface, example: Sizes, dim: DimInfo) -> int:
    """The max of a size, lowered until the inputs are small enough, but not below its example."""
    floor = max(example[dim.name], _up(dim.min, dim))
    value = max(floor, min(_high(dim), _down(SIZE_LIMIT, dim)))
    while value > floor and elements(interface, {**example, dim.name: value}) > ELEMENT_LIMIT:
        value = max(floor, _down(value // 2, dim))
    return value


def _up(value: int, dim: DimInfo) -> int:
    return max(1, -(-value // dim.multiple_of)) * dim.multiple_of if value > 0 else 0


def _down(value: int, dim: DimInfo) -> int:
    return value // dim.multiple_of * dim.multiple_of
