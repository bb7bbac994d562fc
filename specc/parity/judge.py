"""When two sets of results are equal up to rounding; numpy alone, nothing is ever run here.

The rule for floating outputs, with the errors pooled over the cases of one family::

    s = max|ref64|
    max|actual - ref64| <= M * max|torch32 - ref64| + 4*u*s + 4*t          M = 4, halves 6
    rms(actual - ref64) <= R * rms(torch32 - ref64) + u*rms(ref64) + 4*t   R = 3, halves 6

`t` is where numbers underflow, for kernels may flush what is smaller to zero (Higham 2002,
section 2.8); it counts for nothing but denormal numbers. `ref64` is PyTorch in float64 and
`u` the unit roundoff of the output's element type, so what PyTorch itself loses to rounding is
the yardstick. A fixed multiple of the reference's own
error is the rule of `torch._dynamo.utils.same`, and of the tests of FlashAttention.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half the distance from 1 to the next number (Higham 2002, section 2.1); float32's otherwise."""

UNDERFLOW = {"float16": 2.0**-24}
"""What may be lost below the smallest normal number; 2^-126 for float32 and bfloat16."""

HALF_MULTIPLIER = 6.0
LOTTERY_MULTIPLE = 16.0
"""By how much the limit is widened where a few elements make up most of PyTorch's error.

The ratio of the roundings of two numbers has no mean: it is over 4 once in six times, over 64
once in a hundred (it follows a Cauchy distribution).
"""
ILL_CONDITIONED = 1e-2
"""PyTorch's own float32 error, relative to `max|ref64|`, above which it proves nothing.

Two decimal digits of seven are then left, and four times that error is 4 % of the output:
a wrong epsilon or activation would pass unseen.
"""


def unit_roundoff(dtype: np.dtype[np.generic]) -> float:
    """The unit roundoff that a result of this type is held to.

    A float64 output of a float32 model is no more exact than float32.
    """
    return UNIT_ROUNDOFF.get(dtype.name, 2.0**-24)


def is_floating(dtype: np.dtype[np.generic]) -> bool:
    """Whether values are floating-point numbers, bfloat16 included."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


@dataclass(frozen=True)
class Bounds:
    """The multiples of PyTorch's own error that are allowed."""

    max: float = 4.0
    rms: float = 3.0

    @property
    def is_looser(self) -> bool:
        """Whether more is allowed than by default."""
        return self.max > Bounds.max or self.rms > Bounds.rms

    def for_type(self, dtype: np.dtype[np.generic]) -> Bounds:
        """The same, widened for halves, for which the defaults are not calibrated."""
        if dtype.name not in UNIT_ROUNDOFF:
            return self
        return Bounds(max(self.max, HALF_MULTIPLIER), max(self.rms, HALF_MULTIPLIER))


@dataclass(frozen=True)
class Stats:
    """Size, peak and energy of many numbers, so that pools need not keep the numbers."""

    count: int = 0
    peak: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Array) -> Stats:
        """What is to be known of these numbers."""
        if not values.size:
            return cls()
        wide = values.astype(np.float64).ravel()
        return cls(wide.size, float(np.abs(wide).max()), float(np.dot(wide, wide)))

    @property
    def rms(self) -> float:
        """The root of the mean square."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            self.count + other.count,
            max(self.peak, other.peak),
            self.squares + other.squares,
        )


def pooled(stats: Iterable[Stats]) -> Stats:
    """All the numbers as one pool."""
    return reduce(lambda a, b: a + b, stats, Stats())


@dataclass(frozen=True)
class Limit:
    """What the pooled errors of one output in one family may be."""

    max: float
    rms: float

    def allows(self, errors: Stats) -> bool:
        """Whether the errors keep within both limits."""
        return errors.peak <= self.max and errors.rms <= self.rms

    def used(self, errors: Stats) -> float:
        """The larger share of a limit that is used up; above 1 fails."""
        return max(_share(errors.peak, self.max), _share(errors.rms, self.rms))

    def times(self, factor: float) -> Limit:
        """The limit widened by a factor."""
        return Limit(factor * self.max, factor * self.rms)

    def __or__(self, other: Limit) -> Limit:
        """The wider of both."""
        return Limit(max(self.max, other.max), max(self.rms, other.rms))


def _share(error: float, limit: float) -> float:
    if limit:
        return error / limit
    return 0.0 if error == 0 else float("inf")


@dataclass(frozen=True)
class Yardstick:
    """The reference of one output, pooled over a family, and PyTorch's float32 error in it."""

    scale: Stats
    error: Stats

    def __add__(self, other: Yardstick) -> Yardstick:
        return Yardstick(self.scale + other.scale, self.error + other.error)

    @property
    def is_lottery(self) -> bool:
        """Whether a few elements make up most of PyTorch's error.

        Where `exp` outgrows all else, or all but a few elements are saturated, the pool is
        the rounding of these few, in which either side may be lucky.
        """
        return 0 < self.error.squares < 4 * self.error.peak**2

    @property
    def relative_error(self) -> float:
        """PyTorch's largest error as a share of the largest value."""
        return _share(self.error.peak, self.scale.peak)

    def limit(self, dtype: np.dtype[np.generic], bounds: Bounds, typical: Yardstick) -> Limit:
        """The bound of the module's docstring.

        `typical` is the yardstick of the normal family: where a family repeats one value
        (zeros, constants), PyTorch may hit it exactly by luck, so its typical relative error
        counts too. Pass the family's own yardstick to leave that out.
        """
        u, bounds = unit_roundoff(dtype), bounds.for_type(dtype)
        s, rms = self.scale.peak, self.scale.rms
        peak_error = max(self.error.peak, s * _ratio(typical.error.peak, typical.scale.peak))
        rms_error = max(self.error.rms, rms * _ratio(typical.error.rms, typical.scale.rms))
        lost = 4 * UNDERFLOW.get(dtype.name, 2.0**-126)
        return Limit(
            bounds.max * peak_error + 4 * u * s + lost, bounds.rms * rms_error + u * rms + lost
        )


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0


def yardstick(ref64: Array, torch32: Array, undecided: Mask | None = None) -> Yardstick:
    """The yardstick of one case, over the elements that are finite in both."""
    if not is_floating(torch32.dtype):
        return Yardstick(Stats(), Stats())
    keep = np.isfinite(ref64.astype(np.float64)) & np.isfinite(torch32.astype(np.float64))
    if undecided is not None:
        keep &= ~undecided
    wide = ref64.astype(np.float64)
    return Yardstick(Stats.of(wide[keep]), Stats.of(torch32.astype(np.float64)[keep] - wide[keep]))


def errors(actual: Array, ref64: Array, torch32: Array, undecided: Mask | None = None) -> Stats:
    """The errors of `actual`, over the elements that are finite in all three."""
    wide, reference = actual.astype(np.float64), ref64.astype(np.float64)
    keep = np.isfinite(wide) & np.isfinite(reference) & np.isfinite(torch32.astype(np.float64))
    if undecided is not None:
        keep &= ~undecided
    return Stats.of(wide[keep] - reference[keep])


def structure(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> list[str]:
    """Every difference in names, count, element type, rank and shape; nothing is broadcast."""
    missing = [f"output `{name}` is missing" for name in expected if name not in actual]
    extra = [f"output `{name}` is not in the model" for name in actual if name not in expected]
    shared = [name for name in expected if name in actual]
    order = [name for name in actual if name in expected]
    problems = missing + extra
    if not problems and shared != order:
        problems.append(f"outputs are in the order {', '.join(f'`{n}`' for n in order)}")
    return problems + [p for n in shared for p in _type_problems(n, expected[n], actual[n])]


def _type_problems(name: str, expected: Array, actual: Array) -> list[str]:
    problems = []
    if actual.dtype != expected.dtype:
        problems.append(f"`{name}` is {actual.dtype.name}, not {expected.dtype.name}")
    if actual.shape != expected.shape:
        problems.append(f"`{name}` has shape {actual.shape}, not {expected.shape}")
    return problems


def discrete_differences(
    actual: Array, ref64: Array, torch32: Array, undecided: Mask | None
) -> int:
    """How many elements of an integer or boolean output are wrong; all must be exact.

    Undecided ones, whose float64 margin is within rounding, are left out. Where no margin is
    known, an element counts as decided if PyTorch in float32 agrees with float64.
    """
    decided = ref64 == torch32 if undecided is None else ~undecided
    return int(np.count_nonzero((actual != ref64) & decided))


class Variation:
    """Whether an output changes at all: over its elements, and from one case to another.

    A difference below `4*u*max|ref64|`, the floor of the bound, counts as none.
    """

    def __init__(self) -> None:
        self._low, self._high, self._unit = np.inf, -np.inf, 0.0
        self._first: dict[tuple[int, ...], Array] = {}
        self._compared = self._changes = False
        self.has_values = False

    def add(self, ref64: Array, dtype: np.dtype[np.generic]) -> None:
        """Take in one more case."""
        wide = ref64.astype(np.float64)
        finite = wide[np.isfinite(wide)]
        if not finite.size:
            return
        self.has_values = True
        self._low, self._high = min(self._low, finite.min()), max(self._high, finite.max())
        if is_floating(dtype):
            self._unit = max(self._unit, unit_roundoff(dtype))
        if wide.shape in self._first:
            self._compared = True
            gap = np.abs(np.nan_to_num(wide) - np.nan_to_num(self._first[wide.shape])).max()
            self._changes |= bool(gap > self._floor)
        else:
            self._first[wide.shape] = wide

    @property
    def _floor(self) -> float:
        return 4 * self._unit * max(abs(self._low), abs(self._high))

    @property
    def problem(self) -> str | None:
        """What is wrong with the output, as the end of a sentence about it."""
        if not self.has_values:
            return "has no finite value"
        if self._high - self._low <= self._floor:
            return f"is {self._low:g} everywhere"
        if self._compared and not self._changes:
            return "is the same for every input"
        return None


def changes(before: Mapping[str, Array], after: Mapping[str, Array]) -> bool:
    """Whether any output differs by more than the floor of the bound."""
    variations = {name: Variation() for name in before}
    for name, variation in variations.items():
        variation.add(before[name], before[name].dtype)
        variation.add(after[name], after[name].dtype)
    return any(before[n].shape != after[n].shape or v._changes for n, v in variations.items())


def equal_predictions(actual: Array, torch32: Array) -> tuple[int, int] | None:
    """How many rows have the same largest score along the last axis, and of how many."""
    if not is_floating(actual.dtype) or actual.ndim < 2 or actual.shape[-1] < 2:
        return None
    same = actual.argmax(-1) == torch32.argmax(-1)
    return int(same.sum()), int(same.size)
