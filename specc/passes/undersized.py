"""Symbolic sizes that come out below 1 for sizes of the input that a spec allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from specc.ir.dims import Dim, Size, Symbol, bounds, evaluate

_FAR = 2**20
"""So many steps above its least value stands for a size without a `max`."""


class Undersized(NamedTuple):
    """A size below 1: what it is, and what the spec has to promise to rule it out."""

    told: str
    hint: str


@lru_cache(maxsize=4096)
def smallest(size: Dim, limit: int = 1) -> Undersized | None:
    """Where a size can fall below a limit; `None` where no allowed input is known to lead there.

    Bounds of a sum can be loose, so a fault counts only where an assignment shows it.
    """
    low, _ = bounds(size)
    if low is not None and low >= limit:
        return None
    known = {symbol.name: symbol for symbol in _symbols(size)}
    least = {name: _least(symbol) for name, symbol in known.items()}
    if evaluate(size, least) < limit:
        return _fault(size, least, _raised(size, known, least), "min")
    for name, symbol in known.items():
        most = least | {name: _most(symbol, least[name])}
        if evaluate(size, most) < limit:
            return _fault(size, most, _lowered(size, name, symbol, least, most[name]), "max")
    return None


def _fault(size: Dim, at: Mapping[str, int], wanted: Mapping[str, int], key: str) -> Undersized:
    where = " and ".join(f"`{name}` = {value}" for name, value in at.items())
    dims = ", ".join(f'"{name}": {{ "{key}": {value} }}' for name, value in wanted.items())
    hint = f'promise other sizes: `"dims": {{ {dims} }}`' if wanted else "make the input larger"
    return Undersized(f"`{size}`, which is {evaluate(size, at)} at {where}", hint)


def _raised(size: Dim, known: Mapping[str, Symbol], least: Mapping[str, int]) -> dict[str, int]:
    """The least value of one symbol, or else of all alike, from which the size is positive."""
    for names in [*((name,) for name in known), tuple(known)]:
        steps = {name: known[name].multiple_of for name in names}
        count = _first(size, least, steps)
        if count is not None:
            found = {name: least[name] + count * step for name, step in steps.items()}
            if all(_allows(known[name], value) for name, value in found.items()):
                return found
    return {}


def _first(size: Dim, least: Mapping[str, int], steps: Mapping[str, int]) -> int | None:
    """How many steps up from the least sizes make the size positive."""

    def is_positive(count: int) -> bool:
        moved = {name: least[name] + count * step for name, step in steps.items()}
        return evaluate(size, {**least, **moved}) >= 1

    high: int | None = next((1 << k for k in range(21) if is_positive(1 << k)), None)
    if high is None:
        return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_positive(middle) else (middle, high)
    return high


def _lowered(
    size: Dim, name: str, symbol: Symbol, least: Mapping[str, int], far: int
) -> dict[str, int]:
    low, high = 0, (far - least[name]) // symbol.multiple_of
    while high - low > 1:
        middle = (low + high) // 2
        value = least[name] + middle * symbol.multiple_of
        fits = evaluate(size, {**least, name: value}) >= 1
        low, high = (middle, high) if fits else (low, middle)
    return {name: least[name] + low * symbol.multiple_of}


def _allows(symbol: Symbol, value: int) -> bool:
    return symbol.max is None or value <= symbol.max


def _least(symbol: Symbol) -> int:
    """The smallest size of an input that holds anything; an empty one is a case of its own."""
    step = symbol.multiple_of
    return -(-max(symbol.min or 1, 1) // step) * step


def _most(symbol: Symbol, least: int) -> int:
    step = symbol.multiple_of
    return least + _FAR * step if symbol.max is None else symbol.max // step * step


def _symbols(size: Size) -> Iterator[Symbol]:
    if not isinstance(size, Dim):
        return
    for atom in (atom for term in size.terms for atom, _ in term.factors):
        if isinstance(atom, Symbol):
            yield atom
        else:
            for part in atom.parts:
                yield from _symbols(part)
