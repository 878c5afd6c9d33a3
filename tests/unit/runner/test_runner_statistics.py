# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Known answers, invariances and coverage of the ratios and their intervals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import RATIOS, Synthetic

from vcompare_runner.analysis import statistics
from vcompare_runner.bundle.read import load_bundle

BASE = ("bare", "lab-linux")

positive = st.floats(min_value=1e-6, max_value=1e9, allow_nan=False, allow_infinity=False)
pairs = st.lists(st.tuples(positive, positive), min_size=1, max_size=25)


def compare(arm: dict[int, float], bare: dict[int, float], seed: int = 1) -> statistics.Comparison:
    return statistics.compare(arm, bare, BASE, [seed])


def test_known_answer() -> None:
    bare = {1: 10.0, 2: 20.0, 3: 40.0, 4: 10.0, 5: 10.0}
    arm = {1: 20.0, 2: 60.0, 3: 160.0, 4: 50.0, 5: 60.0}
    found = compare(arm, bare)
    # The ratios are 2, 3, 4, 5 and 6.
    assert found.ratio == pytest.approx(4.0)
    assert found.interval is not None
    assert 2.0 <= found.interval.low <= 3.0
    assert 5.0 <= found.interval.high <= 6.0 + 1e-9
    assert found.interval.coverage_at_most == pytest.approx(0.9375)


def test_drift_of_the_whole_machine_cancels() -> None:
    speeds = {block: 2.0**block for block in range(1, 9)}
    found = compare({block: 1.5 * speed for block, speed in speeds.items()}, speeds)
    assert found.ratio == pytest.approx(1.5)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(1.5)
    assert found.interval.high == pytest.approx(1.5)


def test_only_blocks_of_both_are_paired() -> None:
    found = compare({1: 2.0, 2: 2.0, 7: 99.0}, {1: 1.0, 2: 1.0, 3: 50.0})
    assert found.blocks == (1, 2)
    assert found.ratio == pytest.approx(2.0)


def test_nothing_in_common_is_no_number() -> None:
    found = compare({1: 2.0}, {2: 1.0})
    assert found.ratio is None
    assert found.interval is None
    assert found.reason


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_too_few_blocks_have_no_interval_and_a_reason(blocks: int) -> None:
    figures = {block: 1.0 + block for block in range(blocks)}
    found = compare(figures, figures)
    assert found.interval is None
    assert f"{blocks} paired block" in (found.reason or "")
    assert str(statistics.MIN_PAIRS) in (found.reason or "")


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_the_other_way_round_is_the_reciprocal(figures: list[tuple[float, float]]) -> None:
    arm = {number: pair[0] for number, pair in enumerate(figures)}
    bare = {number: pair[1] for number, pair in enumerate(figures)}
    there, back = compare(arm, bare).ratio, compare(bare, arm).ratio
    assert there is not None
    assert back is not None
    assert there * back == pytest.approx(1.0, rel=1e-9)


@given(pairs, st.floats(min_value=1e-3, max_value=1e3))
@settings(max_examples=60, deadline=None)
def test_units_do_not_matter(figures: list[tuple[float, float]], factor: float) -> None:
    arm = {number: pair[0] for number, pair in enumerate(figures)}
    bare = {number: pair[1] for number, pair in enumerate(figures)}
    plain = compare(arm, bare)
    scaled = compare(
        {key: value * factor for key, value in arm.items()},
        {key: value * factor for key, value in bare.items()},
    )
    assert scaled.ratio == pytest.approx(plain.ratio, rel=1e-9)
    if plain.interval and scaled.interval:
        assert scaled.interval.low == pytest.approx(plain.interval.low, rel=1e-9)
        assert scaled.interval.high == pytest.approx(plain.interval.high, rel=1e-9)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_the_interval_lies_within_the_blocks_and_holds_the_ratio(
    figures: list[tuple[float, float]],
) -> None:
    found = compare(
        {number: pair[0] for number, pair in enumerate(figures)},
        {number: pair[1] for number, pair in enumerate(figures)},
    )
    if found.interval is None:
        assert len(figures) < statistics.MIN_PAIRS
        return
    ratios = np.exp(found.log_ratios)
    assert found.ratio is not None
    assert ratios.min() * (1 - 1e-9) <= found.interval.low <= found.ratio * (1 + 1e-9)
    assert found.ratio * (1 - 1e-9) <= found.interval.high <= ratios.max() * (1 + 1e-9)


def test_nothing_is_drawn_for_an_interval() -> None:
    rng = np.random.default_rng(5)
    bare = dict(enumerate(rng.lognormal(0, 0.1, 15)))
    arm = dict(enumerate(rng.lognormal(0.2, 0.1, 15)))
    first = compare(arm, bare, 1).interval
    assert first is not None
    assert first == compare(arm, bare, 2).interval


@pytest.mark.parametrize(("blocks", "least", "most"), [(5, 0.88, 0.975), (15, 0.91, 0.995)])
def test_coverage_of_the_bootstrap(blocks: int, least: float, most: float) -> None:
    """What the interval in use is measured against; with 5 blocks, at most 93.75%."""
    rng = np.random.default_rng(20261124)
    trials = 400
    held = 0
    for trial in range(trials):
        interval = statistics.bootstrap_interval(rng.normal(math.log(1.3), 0.2, blocks), [trial])
        assert interval is not None
        held += interval.low <= 1.3 <= interval.high
    assert least <= held / trials <= most


def test_attainable_coverage() -> None:
    assert statistics.attainable_coverage(0) == 0
    assert statistics.attainable_coverage(3) == 0.75
    assert statistics.attainable_coverage(5) == 0.9375


def test_baseline_is_the_same_host_then_the_only_one_then_none() -> None:
    assert statistics.choose_baseline("b", ["a", "b"]) == ("b", None)
    assert statistics.choose_baseline("x", ["a"]) == ("a", None)
    host, reason = statistics.choose_baseline("x", ["a", "b"])
    assert host is None
    assert "several hosts (a, b)" in (reason or "")
    host, reason = statistics.choose_baseline("x", [])
    assert host is None
    assert reason


def test_true_ratios_are_found(tmp_path: Path) -> None:
    bundle = load_bundle(Synthetic(blocks=15, noise=0.02, drift=0.3).write(tmp_path))
    figures = statistics.analyse(bundle)
    assert [scenario.scenario for scenario in figures] == [
        "startup",
        "cpu",
        "memory-bandwidth",
        "syscall",
        "fork",
    ]
    for scenario in figures:
        assert scenario.arms[0].arm == "bare"
        for arm in scenario.arms[1:]:
            assert arm.comparison is not None
            # Noise of 2% a sample; drift of 30% a block has to cancel.
            assert arm.comparison.ratio == pytest.approx(
                RATIOS[scenario.scenario][arm.arm], rel=0.03
            )
            assert arm.comparison.interval is not None


def test_warm_up_is_left_out_and_a_block_counts_once(tmp_path: Path) -> None:
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), blocks=3, iterations=2).write(
        tmp_path
    )
    lines = (folder / "samples.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record["value"] = (
            1e6 if record["warmup"] else float(record["block"] * 10 + record["iteration"])
        )
    (folder / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (bare, docker) = statistics.analyse(load_bundle(folder))[0].arms
    assert bare.values == {1: 11.5, 2: 21.5, 3: 31.5}
    assert bare.median == 21.5
    assert docker.samples == 6


def test_one_more_scenario_does_not_move_the_intervals_of_others(tmp_path: Path) -> None:
    few = statistics.analyse(load_bundle(Synthetic(scenarios=("cpu",)).write(tmp_path / "a")))
    folder = Synthetic(scenarios=("cpu",)).write(tmp_path / "b")
    extra = (folder / "samples.jsonl").read_text().replace('"cpu"', '"other"')
    with (folder / "samples.jsonl").open("a") as file:
        file.write(extra)
    more = statistics.analyse(load_bundle(folder))
    first = [arm.comparison.interval for arm in few[0].arms if arm.comparison]
    assert first == [arm.comparison.interval for arm in more[0].arms if arm.comparison]
