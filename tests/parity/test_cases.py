"""The inputs: seeded, in range, at every size that was promised."""

from __future__ import annotations

import numpy as np
import pytest

from specc.ir.dims import symbol
from specc.ir.graph import DimInfo, InputInfo, Interface
from specc.ir.types import DType
from specc.parity.cases import CaseMaker
from specc.parity.fills import MASKS, integer_range, mask
from specc.parity.sizes import ELEMENT_LIMIT, elements, probes
from tests.parity.models import tensor

BATCH, TIME = symbol("batch", max=65536), symbol("time", max=64, multiple_of=8)
INTERFACE = Interface(
    (
        InputInfo("x", tensor(BATCH, TIME, 16)),
        InputInfo("keep", tensor(BATCH, TIME, dtype=DType.bool)),
        InputInfo("word", tensor(BATCH, dtype=DType.int64), 3, 7),
    ),
    (("y", tensor(BATCH, 4)),),
    (DimInfo("batch", 1, 65536, 1, 2), DimInfo("time", 8, 64, 8, 16)),
)


def test_the_same_seed_makes_the_same_cases() -> None:
    one, two, other = CaseMaker(INTERFACE, 1), CaseMaker(INTERFACE, 1), CaseMaker(INTERFACE, 2)
    for family in one.families():
        for a, b in zip(one.cases(family), two.cases(family), strict=True):
            assert a.name == b.name
            for name in a.feeds:
                np.testing.assert_array_equal(a.feeds[name], b.feeds[name])
    first = one.case("normal/0").feeds["x"]
    assert not np.array_equal(first, other.case("normal/0").feeds["x"])
    assert not np.array_equal(first, one.case("normal/1").feeds["x"])


def test_a_case_made_alone_is_the_one_of_its_family() -> None:
    maker = CaseMaker(INTERFACE)
    for case in maker.cases("sizes"):
        np.testing.assert_array_equal(maker.case(case.name).feeds["x"], case.feeds["x"])
    with pytest.raises(KeyError):
        maker.case("sizes/none")


def test_sizes_keep_to_what_is_promised() -> None:
    found = {probe.name: probe.sizes for probe in probes(INTERFACE)}
    assert found["batch=min"]["batch"] == 1
    assert found["time=min"]["time"] == 8 and found["time=max"]["time"] == 64
    assert found["time=between"]["time"] == 8 * 3
    assert 100 < found["batch=max"]["batch"] < 65536
    between = found["batch=between"]["batch"]
    assert all(between % n for n in range(2, between))
    assert all(sizes["time"] % 8 == 0 for sizes in found.values())
    assert all(elements(INTERFACE, sizes) <= ELEMENT_LIMIT for sizes in found.values())


def test_a_size_without_a_max_is_tried_above_its_example() -> None:
    interface = Interface(INTERFACE.inputs[2:], INTERFACE.outputs, (DimInfo("batch"),))
    sizes = sorted(probe.sizes["batch"] for probe in probes(interface))
    assert sizes[0] == 1 and sizes[-1] > 2


def test_integers_reach_both_ends_of_their_range() -> None:
    maker = CaseMaker(INTERFACE)
    low, high = maker.cases("range_ends")
    assert (low.feeds["word"] == 3).all() and (high.feeds["word"] == 6).all()
    drawn = np.concatenate([case.feeds["word"] for case in maker.cases("normal")])
    assert drawn.min() >= 3 and drawn.max() <= 6 and drawn.dtype == np.int64
    assert integer_range(InputInfo("n", tensor(BATCH, dtype=DType.int64))) == (0, 10)


def test_families_hold_what_they_are_called() -> None:
    maker = CaseMaker(INTERFACE)
    feeds = {f: [c.feeds["x"] for c in maker.cases(f)] for f in maker.families()}
    assert [np.isnan(x).sum() for x in feeds["nan"]] == [1]
    assert [(np.isposinf(x).sum(), np.isneginf(x).sum()) for x in feeds["inf"]] == [(1, 0), (0, 1)]
    tiny = np.finfo(np.float32).tiny
    assert (np.abs(feeds["denormals"][0]) < tiny).all() and feeds["denormals"][0].any()
    assert not feeds["zeros"][0].any()
    assert all((x == np.round(x)).all() and x.any() for x in feeds["integers"])
    assert 300 < np.abs(np.concatenate(feeds["scaled_large"])).mean() < 3000
    assert {x.dtype.name for family in feeds.values() for x in family} == {"float32"}


def test_masks_have_their_patterns() -> None:
    rng = np.random.default_rng(0)
    made = {pattern: mask(pattern, (2, 4, 4), rng) for pattern in MASKS}
    np.testing.assert_array_equal(made["causal"][1], np.tri(4, dtype=bool))
    assert made["full"].all() and not made["empty"].any()
    for pattern in ("padded", "random"):
        assert made[pattern].any(-1).all() and not made[pattern].all(-1).any()


def test_a_small_output_gets_more_cases() -> None:
    maker = CaseMaker(INTERFACE)
    assert maker.normal_count == 32  # 32 cases of 2 x 4 elements make a pool of 256
    assert CaseMaker(INTERFACE, count=5).normal_count == 5


def test_data_rows_are_rows() -> None:
    interface = Interface(
        (InputInfo("x", tensor(BATCH, 3)),), INTERFACE.outputs, INTERFACE.dims[:1]
    )
    rows = {"x": np.arange(60, dtype=np.float64).reshape(20, 3)}
    cases = list(CaseMaker(interface, rows=rows).cases("data"))
    assert {len(case.feeds["x"]) for case in cases} >= {1, 2}
    for case in cases:
        assert case.feeds["x"].dtype == np.float32
        assert all((rows["x"] == row).all(1).any() for row in case.feeds["x"])
    assert "data" not in CaseMaker(interface, rows={"z": rows["x"]}).families()
