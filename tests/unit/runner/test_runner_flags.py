# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Trends, outliers, power and blocks needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Synthetic, read_lines, write_lines

from vcompare_runner.analysis.statistics import (
    analyse,
    find_remarks,
    flags,
    median_interval,
    order,
    power,
)
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.report import build_report

values = st.lists(st.floats(min_value=-100, max_value=100), min_size=5, max_size=20)


def test_five_in_order_are_a_trend() -> None:
    found = flags.trend([1.0, 1.1, 1.3, 1.35, 1.5])
    # One of 5! orders rises, one falls.
    assert found.p == pytest.approx(2 / math.factorial(5))
    assert found.tau == pytest.approx(1.0)
    assert found.change == pytest.approx(4 * 0.125, rel=0.05)
    assert found.flagged


def test_no_trend() -> None:
    found = flags.trend([1.0, 1.4, 0.9, 1.2, 1.1, 1.3, 1.0])
    assert found.p is not None
    assert found.p > 0.3
    assert not found.flagged


@pytest.mark.parametrize("series", [[], [1.0, 2.0, 3.0, 4.0], [2.0] * 9])
def test_what_can_not_have_a_trend(series: list[float]) -> None:
    assert flags.trend(series) == flags.Trend(None, None, None, False)


def test_trends_are_flagged_as_often_as_said() -> None:
    rng = np.random.default_rng(1)
    share = np.mean([flags.trend(rng.normal(size=8)).flagged for _number in range(600)])
    assert 0.02 <= share <= 0.09


def test_a_warm_up_that_blocks_share() -> None:
    rng = np.random.default_rng(2)
    falling = [np.array([1.3, 1.2, 1.1, 1.0]) + rng.normal(0, 0.02, 4) for _number in range(5)]
    found = flags.trend_within([list(group) for group in falling])
    assert found.flagged
    assert found.tau == pytest.approx(-1.0)
    assert found.change == pytest.approx(-0.3, abs=0.05)
    assert not flags.trend_within([list(group) for group in falling[:4]]).flagged
    mixed = [[1.0, 1.1], [1.1, 1.0], [1.0, 1.1], [1.1, 1.0], [1.0, 1.1], [1.1, 1.0]]
    assert not flags.trend_within(mixed).flagged


def test_outliers_by_hand() -> None:
    # Median 10, MAD 1: 0.6745·|x − 10| is 3.37 for 15, and 3.51 for 15.2.
    assert flags.outliers([9.0, 9.0, 10.0, 11.0, 10.0, 11.0, 15.0]) == ()
    assert flags.outliers([9.0, 9.0, 10.0, 11.0, 10.0, 11.0, 15.2]) == (6,)


def test_outliers_among_equal_values() -> None:
    assert flags.outliers([5.0] * 9 + [6.0]) == (9,)
    assert flags.outliers([5.0] * 9) == ()
    assert flags.outliers([1.0, 1.0, 1.0, 99.0]) == ()


@given(values, st.floats(min_value=0.1, max_value=10), st.floats(min_value=-10, max_value=10))
@settings(max_examples=60, deadline=None)
def test_at_most_half_are_outliers(series: list[float], factor: float, move: float) -> None:
    assert len(flags.outliers(series)) <= len(series) / 2


def test_lag_correlation() -> None:
    # Deviations −2 … 2: (2 + 0 + 0 + 2) / 10.
    assert flags.lag_correlation([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(0.4)
    found = flags.lag_correlation([1.0, 2.0] * 10)
    assert found is not None
    assert found < -0.9
    assert flags.lag_correlation([1.0] * 9) is None
    assert flags.lag_correlation([1.0, 2.0, 3.0]) is None


def ten(spread: float = 0.05) -> np.ndarray:
    return np.random.default_rng(3).normal(0, spread, 10)


def test_power_grows_with_the_effect_and_falls_with_the_tests() -> None:
    found = [
        power.detection_power(ten(), math.log1p(effect), [1]) for effect in (0.01, 0.05, 0.1, 0.3)
    ]
    assert all(figure is not None for figure in found)
    assert found == sorted(found, key=lambda figure: figure or 0.0)
    assert (found[-1] or 0) > 0.99
    alone, among = (
        power.detection_power(ten(), 0.08, [1]),
        power.detection_power(ten(), 0.08, [1], tests=20),
    )
    assert (among or 0) < (alone or 0)
    assert power.detection_power(ten()[:4], 0.3, [1]) is None


def test_power_on_average_is_what_is_found() -> None:
    """Normal noise, 20 blocks, an effect of one standard deviation, one test."""
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(2000, 20))
    found = float(np.mean(order.p_either(noise + 1.0, 0.0) <= 0.05))
    stated = float(np.mean(power.powers(noise[:200], [1.0], 0.05, rng, 200)))
    assert stated == pytest.approx(found, abs=0.1)


def test_half_the_width_needs_about_four_times_the_blocks() -> None:
    interval = median_interval(ten())
    assert interval is not None
    assert power.blocks_needed(ten(), interval.half_width_log) == 10
    needed = power.blocks_needed(ten(), interval.half_width_log / 2)
    assert needed is not None
    assert 30 <= needed <= 48
    assert power.blocks_needed(ten(), 1e-6) is None
    assert power.blocks_needed(ten()[:4], 1.0) is None
    with pytest.raises(ValueError, match="positive"):
        power.blocks_needed(ten(), 0.0)


def test_that_many_blocks_are_enough_about_half_of_the_time() -> None:
    rng = np.random.default_rng(6)
    enough = []
    for _number in range(200):
        needed = power.blocks_needed(rng.normal(0, 0.05, 10), 0.02)
        assert needed is not None
        low, high = order.bounds(rng.normal(0, 0.05, needed), 0.95)
        enough.append(float(high - low) / 2 <= 0.02)
    assert 0.3 <= np.mean(enough) <= 0.7


def changed(folder: Path, change: Callable[[dict[str, Any]], float]) -> Bundle:
    """Multiply the values of a bundle without noise by a factor, and load it."""
    root = Synthetic(arms=("bare", "kvm"), scenarios=("cpu",), blocks=12, noise=0.001).write(folder)
    records = read_lines(root / "samples.jsonl")
    for record in records:
        record["value"] *= change(record)
    write_lines(root / "samples.jsonl", records)
    return load_bundle(root)


def test_what_may_be_zero_has_no_trend(tmp_path: Path) -> None:
    root = Synthetic(arms=("bare", "kvm"), scenarios=("cpu",), blocks=12).write(tmp_path)
    records = read_lines(root / "samples.jsonl")
    for record in records:
        record |= {"unit": "count", "value": float(record["block"] // 6)}
    write_lines(root / "samples.jsonl", records)
    bundle = load_bundle(root)
    with np.errstate(all="raise"):
        assert not find_remarks(bundle, analyse(bundle))


def found_in(bundle: Bundle) -> list[tuple[str, str, tuple[int, ...]]]:
    found = find_remarks(bundle, analyse(bundle))
    told = {(note["code"], note["text"]) for note in build_report(bundle)["notes"]}
    assert {(remark.kind, remark.text) for remark in found} <= told
    return [(remark.kind, remark.arm, remark.blocks) for remark in found]


def test_remarks_name_the_series_and_its_blocks(tmp_path: Path) -> None:
    def drift(record: dict[str, Any]) -> float:
        return 1.05 ** record["block"] if record["arm"] == "kvm" else 1.0

    def slow_block(record: dict[str, Any]) -> float:
        return 0.5 if (record["arm"], record["block"]) == ("kvm", 3) else 1.0

    def long_warm_up(record: dict[str, Any]) -> float:
        return 1.05 ** record["iteration"] if record["arm"] == "kvm" else 1.0

    over_blocks = found_in(changed(tmp_path / "a", drift))
    assert ("trend-over-blocks", "kvm", ()) in over_blocks
    assert ("blocks-correlated", "kvm", ()) in over_blocks
    assert ("outliers", "kvm", (3,)) in found_in(changed(tmp_path / "b", slow_block))
    assert ("trend-over-iterations", "kvm", ()) in found_in(changed(tmp_path / "c", long_warm_up))


def test_a_machine_that_slows_down_as_a_whole_is_said_of_bare_only(tmp_path: Path) -> None:
    found = found_in(changed(tmp_path, lambda record: 4.0 ** -record["block"]))
    trends = [arm for kind, arm, _blocks in found if kind == "trend-over-blocks"]
    assert trends == ["bare"]


def test_very_many_iterations_are_looked_at_in_pieces() -> None:
    rng = np.random.default_rng(1)
    groups = [np.linspace(0, 0.1, 5000) + rng.normal(0, 0.01, 5000) for _number in range(6)]
    found = flags.trend_within(groups)
    assert found.flagged
    assert found.change == pytest.approx(0.1, rel=0.05)
