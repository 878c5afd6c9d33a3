# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Intervals, p-values and Holm's correction: computed by hand, their properties, their level."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vcompare_runner.analysis.statistics import inference, order

logs = st.floats(min_value=-5, max_value=5, allow_nan=False).map(lambda value: round(value, 6))


def samples(least: int = 5) -> st.SearchStrategy[np.ndarray]:
    return st.lists(logs, min_size=least, max_size=30, unique=True).map(np.array)


def test_ten_blocks_by_hand() -> None:
    """Of 1 … 10: (2, 9) covers 1 − 2·11/1024, (3, 8) covers 1 − 2·56/1024."""
    wide, narrow = 1 - Fraction(22, 1024), 1 - Fraction(112, 1024)
    share = (wide - Fraction(95, 100)) / (wide - narrow)
    weight = 8 * share / (2 + 6 * share)
    low, high = order.bounds(np.arange(1.0, 11.0), 0.95)
    assert float(low) == pytest.approx(float(2 + weight))
    assert float(high) == pytest.approx(float(9 - weight))


def test_five_blocks_are_their_range_and_say_what_that_covers() -> None:
    interval = inference.median_interval(np.log([1.3, 1.1, 1.5, 1.2, 1.4]))
    assert interval is not None
    assert (interval.low, interval.high) == (pytest.approx(1.1), pytest.approx(1.5))
    assert interval.coverage_at_most == 0.9375 < interval.level


def test_beyond_95_percent_ends_are_order_statistics() -> None:
    # 99%: P(Bin(10, ½) ≤ 0) = 1/1024 is below 0.5%, P(Bin(10, ½) ≤ 1) = 11/1024 is not.
    low, high = order.bounds(np.arange(1.0, 11.0), 0.99)
    assert (low, high) == (1.0, 10.0)


def test_fewer_than_five_blocks_show_nothing() -> None:
    four = np.array([3.0, 3.1, 3.2, 3.3])
    assert inference.median_interval(four) is None
    assert inference.p_above(four, 0.0) == 1.0
    assert inference.p_either(np.array([]), 0.0) == 1.0


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        inference.median_interval(np.array([1.0, 2.0, 3.0, 4.0, wrong]))
    with pytest.raises(ValueError, match="finite"):
        inference.p_above(np.array([1.0, 2.0, 3.0, 4.0, wrong]), 0.0)


def test_sign_test_by_hand() -> None:
    ten = np.arange(1.0, 11.0)
    # Beyond the 95% interval p-values are those of the sign test: 11 ways of 1024 with one below.
    assert inference.p_above(ten, 1.5) == pytest.approx(11 / 1024)
    # All on one side, but so near that nothing more can be said.
    assert inference.p_above(ten, 0.99) == pytest.approx(1 / 1024)
    assert inference.p_above(ten, 5.5) == pytest.approx(0.5)
    assert inference.p_below(ten, 9.5) == pytest.approx(11 / 1024)


def test_far_from_all_blocks_the_tail_of_t_is_used_with_its_factor() -> None:
    values = np.array([0.99, 1.0, 1.01, 1.02, 0.98])
    spread = float(np.std(values, ddof=1))
    # Student's t with 4 degrees of freedom has a closed tail: 1/2 − 3/8·u·(1 − u²/12), where u =
    # t/√(1 + t²/4)  (Abramowitz and Stegun, 26.7.4, rewritten).
    score = (1.0 - 0.9) / (spread / math.sqrt(5))
    share = score / math.sqrt(1 + score**2 / 4)
    tail = 0.5 - 3 / 8 * share * (1 - share**2 / 12)
    factor = 2 * (math.pi * 5) ** 2.5 / (2**5 * 5 * math.gamma(2.5))
    assert inference.p_above(values, 0.9) == pytest.approx(factor * tail, rel=1e-6)
    assert inference.p_above(values, 0.9) < inference.smallest_free_p(5)


def test_equal_blocks_are_no_endless_evidence() -> None:
    equal = np.full(5, math.log(1.1))
    assert 0 < inference.p_above(equal, 0.0) < inference.smallest_free_p(5)
    assert inference.p_either(np.zeros(5), 0.0) == 1.0
    assert inference.p_either(np.full(12, 1e-16), 0.0) == 1.0


@given(samples(), st.floats(min_value=-6, max_value=6))
@settings(max_examples=200, deadline=None)
def test_p_values_and_interval_agree(values: np.ndarray, bound: float) -> None:
    interval = inference.median_interval(values)
    assert interval is not None
    low, high = math.log(interval.low), math.log(interval.high)
    assume(min(abs(bound - low), abs(bound - high)) > 1e-6)
    outside = not low <= bound <= high
    shown = inference.p_either(values, bound) <= 0.05
    if len(values) > 5:
        assert shown == outside
    else:
        # The range of five covers 93.75%: that something lies outside is not enough.
        assert outside or not shown


@given(samples(), st.floats(min_value=-6, max_value=6), st.floats(min_value=0, max_value=3))
@settings(max_examples=100, deadline=None)
def test_a_higher_bound_is_harder_to_be_above(
    values: np.ndarray, bound: float, step: float
) -> None:
    assert inference.p_above(values, bound) <= inference.p_above(values, bound + step) + 1e-12


@given(samples(), st.floats(min_value=-6, max_value=6), st.floats(min_value=-3, max_value=3))
@settings(max_examples=100, deadline=None)
def test_units_and_sides_do_not_matter(values: np.ndarray, bound: float, move: float) -> None:
    assume(float(np.min(np.abs(values - bound))) > 1e-6)
    p = inference.p_above(values, bound)
    assert inference.p_above(values + move, bound + move) == pytest.approx(p, rel=1e-6, abs=1e-12)
    assert inference.p_below(-values, -bound) == p
    assert 0 <= p <= 1


def test_equivalence_needs_both_sides() -> None:
    near = np.array([0.001, -0.002, 0.0, 0.003, -0.001, 0.002, -0.003, 0.004])
    assert inference.p_equivalent(near, -0.05, 0.05) < 0.05
    assert inference.p_equivalent(near + 0.05, -0.05, 0.05) > 0.05
    assert inference.p_equivalent(near * 50, -0.05, 0.05) > 0.05
    with pytest.raises(ValueError, match="margin"):
        inference.p_equivalent(near, 0.05, -0.05)


def test_holm_from_a_textbook() -> None:
    """Steps 4·0.005, 3·0.01, 2·0.03, and 1·0.04 which may not be below the step before it."""
    adjusted = inference.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


def test_holm_of_nothing_and_of_nonsense() -> None:
    assert inference.holm({}) == {}
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="between"):
            inference.holm({"a": wrong})


@given(st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_holm_keeps_the_order_and_is_between_bonferroni_and_nothing(p_values: list[float]) -> None:
    adjusted = inference.holm(dict(enumerate(p_values)))
    ranks = sorted(range(len(p_values)), key=p_values.__getitem__)
    steps = [adjusted[rank] for rank in ranks]
    assert steps == sorted(steps)
    for number, p in enumerate(p_values):
        assert p <= adjusted[number] <= min(1.0, p * len(p_values)) + 1e-12


@pytest.mark.parametrize("blocks", [5, 6, 8, 10, 15])
@pytest.mark.parametrize("shape", ["normal", "uniform", "heavy"])
def test_small_p_values_are_not_too_small(blocks: int, shape: str) -> None:
    """The level that a test in a report of 20 has to hold; uniform noise is worst for t's tail."""
    rng = np.random.default_rng(blocks)
    size = (40_000, blocks)
    values = {
        "normal": lambda: rng.normal(size=size),
        "uniform": lambda: rng.uniform(-1, 1, size),
        "heavy": lambda: rng.standard_t(3, size),
    }[shape]()
    for level in (0.01, 0.0025):
        share = float(np.mean(order.p_either(values, 0.0) <= level))
        assert share <= level + 3 * math.sqrt(level / len(values))


@pytest.mark.parametrize("blocks", [5, 6, 7, 8, 10, 15])
def test_coverage_where_the_mean_is_not_the_median(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    values = rng.exponential(size=(20_000, blocks))
    low, high = order.bounds(values, 0.95)
    held = float(np.mean((low <= math.log(2)) & (math.log(2) <= high)))
    assert 0.93 <= held <= 0.97
