"""The rule by itself, on numbers that are made for it."""

from __future__ import annotations

import numpy as np
import pytest

from specc.parity.judge import (
    Bounds,
    Limit,
    Stats,
    Variation,
    discrete_differences,
    equal_predictions,
    errors,
    pooled,
    structure,
    yardstick,
)

U = 2.0**-24
REF = np.array([1.0, -4.0, 2.0, 0.5])
TORCH = (REF + np.array([1, -3, 2, 0]) * 1e-6).astype(np.float32)


def test_the_bound_is_the_formula() -> None:
    own = yardstick(REF, TORCH)
    error = TORCH.astype(np.float64) - REF
    limit = own.limit(np.dtype(np.float32), Bounds(), own)
    rms = np.sqrt(np.mean(error**2))
    assert limit.max == pytest.approx(4 * np.abs(error).max() + 4 * U * 4.0)
    assert limit.rms == pytest.approx(3 * rms + U * np.sqrt(np.mean(REF**2)))


@pytest.mark.parametrize(("factor", "allowed"), [(0.99, True), (1.01, False)])
def test_the_bound_is_where_it_is(factor: float, allowed: bool) -> None:
    own = yardstick(REF, TORCH)
    limit = own.limit(np.dtype(np.float32), Bounds(), own)
    assert limit.allows(Stats.of(np.array([factor * limit.max, 0, 0, 0, 0, 0, 0, 0]))) == allowed
    assert limit.allows(Stats.of(np.full(8, factor * limit.rms))) == allowed


def test_halves_get_the_wider_multiple() -> None:
    own = yardstick(REF, TORCH)
    limit = own.limit(np.dtype(np.float16), Bounds(), own)
    assert limit.max == pytest.approx(6 * own.error.peak + 4 * 2.0**-11 * 4.0, rel=1e-3)


def test_pools_are_those_of_all_numbers_together() -> None:
    a, b = np.array([1.0, -3.0]), np.array([0.5, 2.0, 2.5])
    whole = Stats.of(np.concatenate([a, b]))
    together = pooled([Stats.of(a), Stats.of(b)])
    assert (together.count, together.peak) == (whole.count, whole.peak)
    assert together.rms == pytest.approx(whole.rms)


def test_a_lucky_pool_is_measured_by_the_typical_error() -> None:
    typical = yardstick(REF, TORCH)
    exact = yardstick(REF, REF.astype(np.float32))
    alone = exact.limit(np.dtype(np.float32), Bounds(), exact)
    assert exact.limit(np.dtype(np.float32), Bounds(), typical).max > 4 * alone.max


def test_only_few_elements_make_a_lottery() -> None:
    spread = np.random.default_rng(0).standard_normal(100)
    assert not yardstick(spread, (spread + 1e-6 * spread[::-1]).astype(np.float32)).is_lottery
    lone = np.where(np.arange(100) == 3, 1e3, 0.0)
    assert yardstick(lone, (lone * (1 + 1e-6)).astype(np.float32)).is_lottery
    assert not yardstick(lone, lone.astype(np.float32)).is_lottery


def test_errors_leave_out_what_is_not_finite_anywhere() -> None:
    nan, inf = np.nan, np.inf
    ref = np.array([1.0, nan, 2.0, 3.0])
    torch32 = np.array([1.0, nan, inf, 3.0], np.float32)
    actual = np.array([1.5, 0.0, 9.0, 3.0], np.float32)
    assert errors(actual, ref, torch32) == Stats(2, 0.5, 0.25)


def test_structure_names_every_difference() -> None:
    a = np.zeros((2, 3), np.float32)
    assert structure({"a": a}, {"a": a}) == []
    assert structure({"a": a, "b": a}, {"a": a, "c": a}) == [
        "output `b` is missing", "output `c` is not in the model",
    ]  # fmt: skip
    assert structure({"a": a}, {"a": a.astype(np.float64)}) == ["`a` is float64, not float32"]
    assert structure({"a": a}, {"a": a[:1]}) == ["`a` has shape (1, 3), not (2, 3)"]
    assert structure({"a": a, "b": a}, {"b": a, "a": a}) == ["outputs are in the order `b`, `a`"]


def test_discrete_results_count_where_they_are_decided() -> None:
    ref, torch32 = np.array([1, 2, 3, 4]), np.array([1, 2, 9, 4])
    actual = np.array([1, 0, 0, 0])
    assert discrete_differences(actual, ref, torch32, None) == 2
    undecided = np.array([False, True, True, False])
    assert discrete_differences(actual, ref, torch32, undecided) == 1


def problem_of(*cases: list[float]) -> str | None:
    variation = Variation()
    for case in cases:
        variation.add(np.array(case), np.dtype(np.float32))
    return variation.problem


def test_variation_tells_what_proves_nothing() -> None:
    assert problem_of([1.0, 2.0], [1.5, 2.0]) is None
    assert problem_of([0.0, 0.0], [0.0, 0.0]) == "is 0 everywhere"
    assert problem_of([1.0, 2.0], [1.0, 2.0]) == "is the same for every input"
    assert problem_of([1.0, 2.0], [1.0, 2.0 + 1e-9]) == "is the same for every input"
    assert problem_of([np.nan, np.inf]) == "has no finite value"


def test_equal_predictions_are_counted_in_rows() -> None:
    a = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]], np.float32)
    b = a.copy()
    b[1] = b[1, ::-1]
    assert equal_predictions(b, a) == (2, 3)
    assert equal_predictions(a[:, 0], a[:, 0]) is None


def test_a_limit_of_nothing_is_used_up_at_once() -> None:
    assert Limit(0.0, 0.0).used(Stats.of(np.array([0.0]))) == 0
    assert Limit(0.0, 0.0).used(Stats.of(np.array([1e-30]))) == float("inf")
