"""The inputs of a proof: seeded families, each case of which can be made again by itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from specc.ir.graph import Interface
from specc.ir.types import DType
from specc.parity.fills import (
    MASKS,
    Fill,
    constant,
    floating,
    masked,
    normal,
    range_end,
    scaled,
    with_one,
)
from specc.parity.judge import Array
from specc.parity.sizes import ELEMENT_LIMIT, Sizes, elements, example_sizes, probes, shape_of

Rows = Mapping[str, Array]

NORMAL_LIKE = ("normal", "data")
"""Families that say whether a model is ill-conditioned or degenerate."""
REPEATING = frozenset(
    {"scaled_small", "zeros", "constants", "denormals", "nan", "inf", "range_ends"}
)
"""Families in which many results are one number, so that they are no fair sample of errors."""

FEWEST, MOST = 4, 32
POOL = 256
"""Elements of the smallest output that the normal family should have, to be a fair sample."""
CONSTANTS = (1.0, -1.0, 0.5, 2.0, 0.1, -3.7)
DATA_ROWS = 256


Plan = tuple[str, Sizes, Fill]
"""A case before it is filled: its label, its sizes, and what fills it."""


@dataclass(frozen=True, eq=False)
class Case:
    """One set of inputs."""

    name: str
    family: str
    feeds: Mapping[str, Array]


@dataclass(frozen=True)
class CaseMaker:
    """Makes the cases of an interface; the same `seed` makes the same ones."""

    interface: Interface
    seed: int = 0
    count: int | None = None
    rows: Rows | None = None

    def families(self) -> tuple[str, ...]:
        """The families that make sense for the inputs, in order."""
        inputs = self.interface.inputs
        names = ["normal"]
        if any(i.type.dtype.is_floating for i in inputs):
            names += ["scaled_small", "scaled_large", "zeros", "constants", "denormals"]
            names += ["integers", "nan", "inf"]
        if any(i.type.dtype.is_integer for i in inputs):
            names.append("range_ends")
        if any(i.type.dtype is DType.bool for i in inputs):
            names.append("masks")
        if self.interface.dims:
            names.append("sizes")
        return (*names, "data") if self._row_count else tuple(names)

    def cases(self, family: str) -> Iterator[Case]:
        """The cases of a family, made one at a time."""
        if family == "data":
            yield from self._data()
            return
        for label, sizes, fill in self._plan(family):
            name = f"{family}/{label}"
            rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
            inputs = self.interface.inputs
            # NumPy turns an array without axes into a plain number, which no runtime takes.
            feeds = {
                i.name: np.asarray(fill(i, shape_of(i.type.shape, sizes), rng)) for i in inputs
            }
            yield Case(name, family, feeds)

    def count_of(self, family: str) -> int:
        """How many cases a family has."""
        return sum(1 for _ in (self._batches() if family == "data" else self._plan(family)))

    def case(self, name: str) -> Case:
        """One case by its name; `KeyError` where there is none."""
        family = name.partition("/")[0]
        if family in self.families():
            for case in self.cases(family):
                if case.name == name:
                    return case
        raise KeyError(name)

    @property
    def normal_count(self) -> int:
        """How many normal cases there are: as asked, or enough for a fair sample."""
        if self.count is not None:
            return self.count
        sizes = example_sizes(self.interface)
        smallest = min(prod(shape_of(kind.shape, sizes)) for _, kind in self.interface.outputs)
        wanted = min(MOST, max(FEWEST, -(-POOL // max(smallest, 1))))
        affordable = FEWEST * ELEMENT_LIMIT // max(elements(self.interface, sizes), 1)
        return max(FEWEST, min(wanted, affordable))

    def _plan(self, family: str) -> Iterator[Plan]:
        made: Iterator[Plan] = getattr(self, f"_{family}")()
        return made

    def _repeated(self, count: int, fill: Fill) -> Iterator[Plan]:
        for index in range(count):
            yield str(index), example_sizes(self.interface), fill

    def _normal(self) -> Iterator[Plan]:
        return self._repeated(self.normal_count, normal)

    def _scaled_small(self) -> Iterator[Plan]:
        return self._repeated(max(2, self.normal_count // 2), scaled(1e-3))

    def _scaled_large(self) -> Iterator[Plan]:
        return self._repeated(max(2, self.normal_count // 2), scaled(1e3))

    def _zeros(self) -> Iterator[Plan]:
        return self._repeated(1, constant(0.0))

    def _constants(self) -> Iterator[Plan]:
        for value in CONSTANTS:
            yield f"{value:g}", example_sizes(self.interface), constant(value)

    def _denormals(self) -> Iterator[Plan]:
        return self._repeated(1, floating(lambda s, r: r.uniform(-1e-38, 1e-38, s)))

    def _integers(self) -> Iterator[Plan]:
        return self._repeated(2, floating(lambda s, r: r.integers(-4, 5, s).astype(float)))

    def _nan(self) -> Iterator[Plan]:
        return self._planted({"nan": np.nan})

    def _inf(self) -> Iterator[Plan]:
        return self._planted({"plus": np.inf, "minus": -np.inf})

    def _planted(self, values: Mapping[str, float]) -> Iterator[Plan]:
        for info in self.interface.inputs:
            if info.type.dtype.is_floating:
                for label, value in values.items():
                    sizes = example_sizes(self.interface)
                    yield f"{info.name}.{label}", sizes, with_one(info.name, value)

    def _range_ends(self) -> Iterator[Plan]:
        for label, end in (("low", 0), ("high", 1)):
            yield label, example_sizes(self.interface), range_end(end)

    def _masks(self) -> Iterator[Plan]:
        for pattern in MASKS:
            yield pattern, example_sizes(self.interface), masked(pattern)

    def _sizes(self) -> Iterator[Plan]:
        for probe in probes(self.interface):
            yield probe.name, probe.sizes, normal

    def _data(self) -> Iterator[Case]:
        rows, inputs = self.rows or {}, self.interface.inputs
        total = self._row_count
        for label, batch in self._batches():
            rng = np.random.default_rng([self.seed, zlib.crc32(label.encode())])
            chosen = rng.choice(total, batch, replace=batch > total)
            feeds = {i.name: rows[i.name][chosen].astype(i.type.dtype.value) for i in inputs}
            yield Case(f"data/{label}", "data", feeds)

    @property
    def _row_count(self) -> int:
        """How many rows there are for every input; 0 where an input has none."""
        rows = self.rows or {}
        return min((len(rows.get(i.name, ())) for i in self.interface.inputs), default=0)

    def _batches(self) -> list[tuple[str, int]]:
        """A batch as in the example and a large one, or a few of the one size that is allowed."""
        size = self.interface.inputs[0].type.shape[0]
        if isinstance(size, int):
            return [(f"rows{i}", size) for i in range(FEWEST)]
        example = example_sizes(self.interface)
        batches = {shape_of((size,), example)[0]}
        for probe in probes(self.interface):
            batch = shape_of((size,), probe.sizes)[0]
            if batch <= min(self._row_count, DATA_ROWS):
                batches.add(batch)
        return [(f"rows{i}", batch) for i, batch in enumerate(sorted(batches))]
