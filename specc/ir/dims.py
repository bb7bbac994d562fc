"""The algebra of sizes: a size is an `int`, or a `Dim`, an expression over named symbols.

A `Dim` is a sum of terms, a term is a coefficient times powers of atoms, an atom is a symbol, a
floor division, a maximum or a minimum. Every operation returns the normal form, so sizes are
compared with `==`, and one that is constant is a plain `int`. A divisor is taken to be nonzero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache, reduce
from math import gcd, inf, lcm, prod, trunc
from operator import and_, mul
from typing import NamedTuple, TypeAlias, cast

from specc.ir.intervals import Interval, floor_divide, multiply

Size: TypeAlias = "int | Dim"
Factors: TypeAlias = "tuple[tuple[Atom, int], ...]"
Names: TypeAlias = "Callable[[Symbol], str]"


def _key(symbol: Symbol) -> str:
    facts = [symbol.min, symbol.max, symbol.multiple_of]
    return symbol.name if facts == [1, None, 1] else f"{symbol.name}{facts}"


class Atom:
    """A factor that has no simpler parts; its key is its identity and its place in the order."""

    multiple_of = 1

    @cached_property
    def key(self) -> str:
        """The text that tells every two atoms apart."""
        return "~" * (not isinstance(self, Symbol)) + _atom_text(self, _key, "//")

    @cached_property
    def interval(self) -> Interval:
        """Limits that no value passes."""
        if isinstance(self, Symbol):
            step = self.multiple_of
            low = -inf if self.min is None else -(-self.min // step) * step
            return low, inf if self.max is None else self.max // step * step
        a, b = map(_interval, self.parts)
        if isinstance(self, FloorDiv):
            return floor_divide(a, b)
        choose = max if isinstance(self, Max) else min
        return choose(a[0], b[0]), choose(a[1], b[1])

    @property
    def parts(self) -> tuple[Size, ...]:
        """The sizes that the atom is made of."""
        return tuple(getattr(self, name) for name in self.__match_args__)  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Atom) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False)
class Symbol(Atom):
    """A named size and what is promised about it; `None` is no limit."""

    name: str
    min: int | None = 1
    max: int | None = None
    multiple_of: int = 1


@dataclass(frozen=True, eq=False)
class FloorDiv(Atom):
    """The floor of a quotient that has no simpler form."""

    numerator: Size
    denominator: Size


@dataclass(frozen=True, eq=False)
class _Extreme(Atom):
    a: Size
    b: Size

    def __post_init__(self) -> None:
        object.__setattr__(self, "multiple_of", gcd(_content(self.a), _content(self.b)))


class Max(_Extreme):
    """The larger of two sizes, where their bounds do not tell which it is."""


class Min(_Extreme):
    """The smaller of two sizes, where their bounds do not tell which it is."""


class Term(NamedTuple):
    """A coefficient times powers of atoms; a fraction only where the product is whole anyway."""

    coefficient: int | Fraction
    factors: Factors


@dataclass(frozen=True, slots=True, repr=False)
class Dim:
    """A size that depends on symbols, in normal form: made by `symbol` and arithmetic only."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return render(self)

    __repr__ = __str__

    def __neg__(self) -> Size:
        return _scale(self, -1)

    def __add__(self, other: Size) -> Size:
        return _sum((*self.terms, *_terms(other)))

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: int) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        return _multiply(self, other)

    def __floordiv__(self, other: Size) -> Size:
        return _floordiv(self, other)

    def __rfloordiv__(self, other: int) -> Size:
        return _floordiv(other, self)

    def __mod__(self, other: Size) -> Size:
        return self - other * (self // other)

    def __rmod__(self, other: int) -> Size:
        return other - self * (other // self)

    __radd__, __rmul__ = __add__, __mul__

    def substitute(self, sizes: Mapping[str, Size]) -> Size:
        """This size with the named symbols replaced."""
        return _rebuild(self, lambda s: sizes[s.name] if s.name in sizes else _single(s))


def symbol(name: str, *, min: int | None = 1, max: int | None = None, multiple_of: int = 1) -> Dim:
    """The size called `name`; `ValueError` where no number keeps to the promised facts."""
    if multiple_of < 1:
        raise ValueError(f"`multiple_of` of `{name}` is {multiple_of}, less than 1")
    atom = Symbol(name, min, max, multiple_of)
    if atom.interval[0] > atom.interval[1]:
        raise ValueError(f"no multiple of {multiple_of} lies in {min} to {max} for `{name}`")
    return _single(atom)


def as_size(value: int | str | Dim) -> Size:
    """A size as it is written: a number, the name of a symbol, or a size already."""
    return symbol(value) if isinstance(value, str) else value


def ceil_div(a: Size, n: Size) -> Size:
    """The quotient rounded up."""
    return -(-a // n)


def dmax(a: Size, b: Size) -> Size:
    """The larger of two sizes."""
    return _extreme(Max, a, b)


def dmin(a: Size, b: Size) -> Size:
    """The smaller of two sizes."""
    return _extreme(Min, a, b)


def bounds(size: Size) -> tuple[int | None, int | None]:
    """Limits that no value of the size passes; `None` is no limit."""
    low, high = _interval(size)
    return None if low == -inf else int(low), None if high == inf else int(high)


def evaluate(size: Size, env: Mapping[str, int]) -> int:
    """The value of a size; `KeyError` where `env` lacks a symbol."""
    return cast(int, _rebuild(size, lambda s: env[s.name]))


def symbols(size: Size) -> frozenset[str]:
    """The names that a size depends on."""
    names: set[str] = set()
    for atom in (atom for term in _terms(size) for atom, _ in term.factors):
        names |= {atom.name} if isinstance(atom, Symbol) else set().union(*map(symbols, atom.parts))
    return frozenset(names)


def render(size: Size, names: Names = lambda s: s.name, floordiv: str = "//") -> str:
    """The size as a Python expression: positive terms first, no more parentheses than needed."""
    text = ""
    for term in sorted(_terms(size), key=lambda term: term.coefficient < 0):
        sign, part = "-" if term.coefficient < 0 else "+", _term_text(term, names, floordiv)
        if not text and sign == "-" and isinstance(_lone(term), FloorDiv):
            part = f"({part})"
        text = f"{text} {sign} {part}" if text else sign.strip("+") + part
    return text or "0"


def _term_text(term: Term, names: Names, floordiv: str) -> str:
    lone, over, under = _lone(term), abs(term.coefficient.numerator), term.coefficient.denominator
    parts = [str(over)] if over != 1 or not term.factors else []
    for atom, power in term.factors:
        text = _atom_text(atom, names, floordiv)
        parts += [f"({text})" if isinstance(atom, FloorDiv) and not lone else text] * power
    return "*".join(parts) + (f"{floordiv}{under}" if under != 1 else "")


def _atom_text(atom: Atom, names: Names, floordiv: str) -> str:
    if isinstance(atom, Symbol):
        return names(atom)
    a, b = atom.parts
    left, right = render(a, names, floordiv), render(b, names, floordiv)
    if isinstance(atom, _Extreme):
        return f"{type(atom).__name__.lower()}({left}, {right})"
    left = f"({left})" if len(_terms(a)) > 1 else left
    factor = _lone(_terms(b)[0])
    bare = isinstance(b, int) or (isinstance(factor, Symbol | _Extreme) and b == _single(factor))
    return f"{left}{floordiv}{right if bare else f'({right})'}"


def _terms(size: Size) -> tuple[Term, ...]:
    if isinstance(size, Dim):
        return size.terms
    if not isinstance(size, int):
        raise TypeError(f"a size is a whole number or a `Dim`, not `{size!r}`")
    return (Term(size, ()),) if size else ()


def _single(atom: Atom) -> Dim:
    return Dim((Term(1, ((atom, 1),)),))


def _lone(term: Term) -> Atom | None:
    """The atom that the term is, its sign aside."""
    alone = len(term.factors) == 1 and abs(term.coefficient) == term.factors[0][1] == 1
    return term.factors[0][0] if alone else None


def _sum(terms: Iterable[Term]) -> Size:
    total: dict[Factors, int | Fraction] = {}
    for c, factors in terms:
        total[factors] = total.get(factors, 0) + c
    kept = [Term(c.numerator if c.denominator == 1 else c, f) for f, c in total.items() if c]
    if not kept or (len(kept) == 1 and not kept[0].factors):
        return int(kept[0].coefficient) if kept else 0
    return Dim(tuple(sorted(kept, key=_rank)))


def _rank(term: Term) -> tuple[int, list[str]]:
    # Graded lexicographic: a product keeps the order of its factors, so long division ends.
    keys = [atom.key for atom, power in term.factors for _ in range(power)]
    return -len(keys), keys


def _scale(size: Size, by: int | Fraction) -> Size:
    return size if by == 1 else _sum(Term(c * by, factors) for c, factors in _terms(size))


def _multiply(a: Size, b: Size) -> Size:
    pairs = [(s, t) for s in _terms(a) for t in _terms(b)]
    return _sum(Term(s.coefficient * t.coefficient, _join(s.factors, t.factors)) for s, t in pairs)


def _join(a: Factors, b: Iterable[tuple[Atom, int]], sign: int = 1) -> Factors:
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) + sign * power
    return tuple(sorted((f for f in powers.items() if f[1]), key=lambda factor: factor[0].key))


def _multiple(factors: Factors) -> int:
    return prod(atom.multiple_of**power for atom, power in factors)


def _content(size: Size) -> int:
    """The largest number known to divide every term."""
    return gcd(*(int(c * _multiple(factors)) for c, factors in _terms(size)))


def _denominators(*sizes: Size) -> int:
    return lcm(*(term.coefficient.denominator for size in sizes for term in _terms(size)))


def _rebuild(size: Size, leaf: Callable[[Symbol], Size]) -> Size:
    total: Size = 0
    for c, factors in _terms(size):
        values = (_rebuild_atom(atom, leaf) for atom, power in factors for _ in range(power))
        total = total + reduce(mul, values, c.numerator) // c.denominator
    return total


def _rebuild_atom(atom: Atom, leaf: Callable[[Symbol], Size]) -> Size:
    if isinstance(atom, Symbol):
        return leaf(atom)
    a, b = (_rebuild(part, leaf) for part in atom.parts)
    return _extreme(type(atom), a, b) if isinstance(atom, _Extreme) else a // b


@lru_cache(maxsize=4096)
def _floordiv(x: Size, d: Size) -> Size:
    # each rule gives an equal size that is nearer to the normal form
    if d == 0:
        raise ZeroDivisionError(f"division of `{x}` by zero")
    if _terms(d)[0].coefficient < 0:
        return _floordiv(-x, -d)  # x//-d == -x//d
    x, d = _cancel(x, d)  # (g*x)//(g*d) == x//d
    if isinstance(x, int) and isinstance(d, int):
        return x // d
    if quotient := _whole_part(x, d):
        return quotient + _floordiv(x - quotient * d, d)  # (q*d + r)//d == q + r//d
    if x == 0:
        return 0
    positive = _interval(d)[0] > 0
    if positive and _terms(x)[0].coefficient < 0:
        return -1 - _floordiv(-1 - x, d)  # x//d == -1 - (-1 - x)//d
    if positive and (merged := _merge(x, d)):
        return _floordiv(*merged)  # (x//a + s)//d == (x + s*a)//(a*d)
    scale = _denominators(x, d)
    return _single(FloorDiv(_scale(x, scale), _scale(d, scale)))


def _cancel(x: Size, d: Size) -> tuple[Size, Size]:
    scale = _denominators(x, d)
    x, d = _scale(x, scale), _scale(d, scale)
    if isinstance(d, Dim):
        shared = reduce(and_, (Counter(dict(t.factors)) for t in (*_terms(d), *_terms(x)))).items()
        x, d = (_sum(Term(c, _join(f, shared, -1)) for c, f in _terms(size)) for size in (x, d))
    constant = sum(int(c) for c, factors in _terms(x) if not factors)
    varying = x - constant
    g = gcd(_content(varying), _content(d))  # (g*v + c)//(g*d) == (v + c//g)//d for d > 0
    if _interval(d)[0] <= 0:
        g = gcd(g, constant)
    return _scale(varying, Fraction(1, g)) + constant // g, _scale(d, Fraction(1, g))


def _whole_part(x: Size, d: Size) -> Size:
    """The multiples of `d` in the terms of `x`; of a sum, the quotient where it is exact."""
    lead, *others = _terms(d)
    if not others:
        return _sum(_term_quotient(term, lead) for term in _terms(x))
    quotient: Size = 0
    while x != 0 and (step := _sum([_term_quotient(_terms(x)[0], lead)])):
        quotient, x = quotient + step, x - step * d
    return quotient if x == 0 else 0


def _term_quotient(term: Term, by: Term) -> Term:
    factors = _join(term.factors, by.factors, -1)
    if any(power < 0 for _, power in factors):
        return Term(0, ())
    if not term.factors:  # what a constant leaves over is not positive, as in (H - 1)//2 + 1
        return Term(-(-term.coefficient // by.coefficient), ())
    multiple = _multiple(factors)
    whole = trunc(Fraction(term.coefficient * multiple) / by.coefficient)
    return Term(Fraction(whole, multiple), factors)


def _merge(x: Size, d: Size) -> tuple[Size, Size] | None:
    floors = [term for term in _terms(x) if isinstance(_lone(term), FloorDiv)]
    if len(floors) != 1:
        return None
    (inner, divisor), rest = floors[0].factors[0][0].parts, x - Dim((floors[0],))
    if floors[0].coefficient < 0:
        inner, rest = -1 - inner, rest + 1  # -(x//a) == 1 + (-1 - x)//a
    fits = rest == 0 or (isinstance(divisor, int) and isinstance(d, int))
    return (inner + rest * divisor, divisor * d) if fits else None


def _extreme(kind: type[_Extreme], a: Size, b: Size) -> Size:
    a, b = sorted((a, b), key=lambda size: render(size, _key))
    low, high = _interval(a - b)
    if low >= 0 or high <= 0:
        return a if (low >= 0) == (kind is Max) else b
    return _single(kind(a, b))


def _interval(size: Size) -> Interval:
    limits = [_term_interval(term) for term in _terms(size)]
    return sum(low for low, _ in limits), sum(high for _, high in limits)


def _term_interval(term: Term) -> Interval:
    limits: Interval = (term.coefficient.numerator,) * 2
    for interval in (atom.interval for atom, power in term.factors for _ in range(power)):
        limits = multiply(limits, interval)
    return floor_divide(limits, (term.coefficient.denominator,) * 2)
