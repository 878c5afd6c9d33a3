# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``vcompare calibrate``: its noise has the truth that it says, its checks can fail."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import numpy as np
import pytest
import synthetic
from synthetic import Synthetic

from vcompare_runner._contract.arms import ARMS, PLANTED
from vcompare_runner.analysis.statistics import order
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.calibrate import disk, planted, procedures, real, stopping, study
from vcompare_runner.calibrate.cases import CASES, Case, Size, log_ratios
from vcompare_runner.cli import app as cli
from vcompare_runner.core.errors import BundleError
from vcompare_runner.report import build_report

each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["calibrate", *arguments])
    return int(caught.value.code or 0)


@each_case
def test_the_true_median_is_zero(case: Case) -> None:
    rng = np.random.default_rng(1)
    ratios = np.concatenate(log_ratios(case, rng, Size(4000, 10, 3), 0.05), axis=-1)
    # Half of all log ratios are above the truth. A block's arms share bare, hence few hundredths.
    assert np.mean(ratios > 0) == pytest.approx(0.5, abs=0.01)


@each_case
def test_coverage_and_wrong_verdicts(case: Case) -> None:
    for pairs in (5, 7, 10):
        assert study.coverage(case, pairs, 2000, 1).measured == pytest.approx(0.945, abs=0.025)
    for pairs in (5, 10):
        figure = study.wrong_verdicts(case, pairs, 400, 1)
        assert figure.holds
        assert (figure.uncorrected or 0) > figure.measured


def test_half_of_the_blocks_are_lost() -> None:
    rng = np.random.default_rng(1)
    first, second = log_ratios(CASES["half-missing"], rng, Size(3, 10, 3), 0.05)
    assert (first.shape, second.shape) == ((3, 5), (3, 10))


def test_larger_effects_are_found_more_often() -> None:
    figures = study.found(CASES["lognormal"], 10, 500, 1)
    assert [(figure.effect, figure.spread) for figure in figures] == list(study.PLANTED)
    assert figures[1].measured < figures[2].measured < figures[3].measured
    # Less noise, more power.
    assert figures[0].measured > figures[1].measured
    assert all(figure.holds for figure in figures)


def test_runs_that_stop_when_they_have_enough() -> None:
    covered, wrong = stopping.stopped(CASES["lognormal"], 200, 1)
    assert covered.holds
    assert wrong.holds
    assert 5 < covered.pairs < stopping.BLOCKS_AT_MOST
    assert stopping.stopped(CASES["half-missing"], 200, 1) == []


def test_figures_do_not_depend_on_what_else_is_measured() -> None:
    def named(cases: list[str]) -> list[study.Figure]:
        steps = study.steps(cases, 100, 5)
        return next(work for name, work in steps if name == "bimodal: intervals of 6 blocks")()

    assert named(["bimodal"]) == named(["lognormal", "bimodal"])


def test_too_narrow_intervals_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = order.bounds

    def narrow(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        low, high = right(values, level)
        return low + (high - low) / 8, high - (high - low) / 8

    monkeypatch.setattr(order, "bounds", narrow)
    assert not study.coverage(CASES["lognormal"], 10, 2000, 1).holds


def test_few_repeats_are_given_chance_and_many_are_not() -> None:
    few = study.Figure("coverage", "lognormal", 5, 1000, 0.92, study.COVERAGE)
    many = study.Figure("coverage", "lognormal", 5, 20_000, 0.92, study.COVERAGE)
    far = study.Figure("coverage", "lognormal", 5, 1000, 0.88, study.COVERAGE)
    assert (few.within, few.holds) == (False, True)
    assert (many.within, many.holds) == (False, False)
    assert not far.holds


def test_missing_correction_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "holm_adjusted", lambda p_values: p_values)
    assert not study.wrong_verdicts(CASES["lognormal"], 10, 400, 1).holds


@each_case
def test_bundles_on_disk_have_the_intervals_of_the_drawn_values(case: Case) -> None:
    found = disk.through_files(case, 2, 1)
    assert found.holds
    # Each arm but bare, in each scenario of each bundle.
    assert found.intervals == 2 * 4 * (len(ARMS) - 1)


@pytest.mark.parametrize("wrong", ["warm-up", "median"])
def test_what_goes_wrong_before_block_values_is_noticed(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong == "median":
        monkeypatch.setattr(np, "median", np.mean)
    else:
        right: t.Callable[..., dict[str, t.Any]] = disk._sample
        monkeypatch.setattr(disk, "_sample", lambda *what: right(*what) | {"warmup": False})
    assert not disk.through_files(CASES["lognormal"], 1, 1).holds


@pytest.mark.parametrize(
    ("case", "pairs", "worse"),
    [
        ("lognormal", 7, "percentile bootstrap"),
        ("lognormal", 7, "BCa bootstrap"),
        ("lognormal", 7, "basic bootstrap"),
        ("one-arm-bimodal", 15, "Student's t"),
    ],
)
def test_other_intervals_are_worse(case: str, pairs: int, worse: str) -> None:
    found = procedures.measure_procedures(case, pairs, 300, 1)
    assert set(found) == set(procedures.PROCEDURES)
    assert found["interpolated order statistics"].measured > 0.92
    assert found[worse].measured < 0.92


def test_the_command_prints_tables_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calibration.json"
    options = ("--cases", "drifting", "--repeats", "1000", "--on-disk", "1", "--seed", "3")
    code = run(*options, "--json", str(file))
    shown = capsys.readouterr()
    document = json.loads(file.read_text())
    assert code == 0
    assert document["missed"] == []
    assert len(document["figures"]) == (
        len(study.PAIRS) + len(study.REPORT_PAIRS) + len(study.PLANTED) * len(study.POWER_PAIRS) + 2
    )
    assert "Coverage of the 95% interval in %, 1,000 samples each" in shown.out
    assert "with fewer than 4,000 repeats" in shown.err
    assert "drifting (0 of" in shown.err


def test_a_missed_bound_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "COVERAGE", (0.0, 0.5))
    assert run("--cases", "lognormal", "--repeats", "100", "--on-disk", "1") == 1
    assert "MISSED: lognormal, 5 blocks: coverage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cases", "logn"), "did you mean 'lognormal'?"),
        (("--repeats", "10"), "can't tell 93% from 97%"),
        (("--seed", "-1"), "from 0 to"),
        (("--on-disk", "0"), "from 1 to"),
        (("--json", "/nowhere/file.json"), "there is no folder /nowhere"),
        (("--bundle", "latest", "--cases", "drifting"), "--bundle checks a real run"),
        (("--bundle", "/nowhere/at/all"), "there is no folder"),
    ],
)
def test_wrong_options_are_explained(
    options: tuple[str, ...], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "remedy:" in shown


@pytest.fixture
def same_arms(monkeypatch: pytest.MonkeyPatch) -> Synthetic:
    monkeypatch.setitem(synthetic.HOST_OF, real.AGAIN, "lab-linux")
    return Synthetic(arms=("bare", real.AGAIN, "docker"), blocks=12)


def test_bare_against_itself_shows_nothing(
    same_arms: Synthetic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "same.json"
    assert run("--bundle", str(same_arms.write(tmp_path)), "--json", str(file)) == 0
    shown = capsys.readouterr().out
    assert "no verdict of difference" in shown
    document = json.loads(file.read_text())
    assert document["holds"] is True
    assert [test["scenario"] for test in document["tests"]] == list(synthetic.METRICS)
    assert all(test["p_adjusted"] > 0.05 for test in document["tests"])


def test_a_difference_from_itself_is_named(
    same_arms: Synthetic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(synthetic.RATIOS["cpu"], real.AGAIN, 1.2)
    assert run("--bundle", str(same_arms.write(tmp_path))) == 1
    assert "WRONG: cpu/events_per_second on lab-linux" in capsys.readouterr().out


@pytest.fixture
def with_planted(monkeypatch: pytest.MonkeyPatch) -> Synthetic:
    monkeypatch.setitem(synthetic.HOST_OF, PLANTED, "lab-linux")
    # 0.42 s is the figure of bare there.
    for scenario, ratio in (("cpu", 0.8), ("startup", 1 + planted.LATE_S / 0.42)):
        monkeypatch.setitem(synthetic.RATIOS[scenario], PLANTED, ratio)
    return Synthetic(arms=("bare", real.AGAIN, PLANTED), blocks=12, drift=0.0)


def test_what_was_planted_is_found(
    with_planted: Synthetic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "planted.json"
    assert run("--bundle", str(with_planted.write(tmp_path)), "--json", str(file)) == 0
    shown = capsys.readouterr().out
    assert (
        "found: cpu/events_per_second on lab-linux: the interval reaches 0.8 to 0.85, and" in shown
    )
    assert (
        "found: startup/time_to_first_reply on lab-linux: the interval reaches 0.05, and" in shown
    )
    notes = build_report(load_bundle(tmp_path / synthetic.RUN))["notes"]
    assert any(note["code"] == "planted" for note in notes)
    by_name = {effect["scenario"]: effect for effect in json.loads(file.read_text())["planted"]}
    assert by_name["cpu"]["low"] < 0.8 < by_name["cpu"]["high"] < 1
    assert 0 < by_name["startup"]["low"] < 0.05 < by_name["startup"]["high"]


def test_a_planted_effect_of_another_size_is_wrong(
    with_planted: Synthetic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(synthetic.RATIOS["cpu"], PLANTED, 0.9)
    assert run("--bundle", str(with_planted.write(tmp_path))) == 1
    assert (
        "WRONG: cpu/events_per_second on lab-linux: 0.8 to 0.85 was planted"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("begin", range(0, 500, 50))
def test_the_most_of_a_cpu_that_a_quota_gives(begin: int) -> None:
    """Millisecond by millisecond, for an iteration of 10 s that begins anywhere in a period that was idle before."""
    period, quota = (
        round(planted.PERIOD_S * 1000),
        round(planted.SHARE_OF_CPU * planted.PERIOD_S * 1000),
    )
    ran, left = 0, quota
    for now in range(begin, begin + 10_000):
        left = quota if now % period == 0 else left
        ran, left = (ran + 1, left - 1) if left else (ran, left)
    assert planted.SHARE_OF_CPU <= ran / 10_000 <= planted.most_of_cpu(10.0)
    if begin == round(period * (1 - planted.SHARE_OF_CPU)):
        assert ran / 10_000 == pytest.approx(planted.most_of_cpu(10.0))


def test_a_planted_effect_that_drowns_is_said(
    with_planted: Synthetic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_planted.noise = 0.5
    assert run("--bundle", str(with_planted.write(tmp_path))) == 1
    assert "NOT FOUND: startup/time_to_first_reply on lab-linux" in capsys.readouterr().out


def test_few_blocks_with_a_planted_effect(with_planted: Synthetic, tmp_path: Path) -> None:
    with_planted.blocks = 4
    effects, skipped = planted.find_planted(load_bundle(with_planted.write(tmp_path)))
    assert effects == ()
    assert "cpu on lab-linux: 4 blocks with bare and bare-planted" in " ".join(skipped)


def test_what_could_not_be_looked_at_is_not_found(
    with_planted: Synthetic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_planted.failed = {PLANTED: "its cgroup could not be made"}
    assert run("--bundle", str(with_planted.write(tmp_path))) == 1
    assert "not looked at: cpu on lab-linux: 0 blocks" in capsys.readouterr().out


def test_few_blocks_are_said(
    same_arms: Synthetic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same_arms.blocks = 6
    assert run("--bundle", str(same_arms.write(tmp_path))) == 0
    assert "only 6 blocks" in capsys.readouterr().out


def test_a_run_without_the_pair_of_arms(bundle_dir: Path) -> None:
    with pytest.raises(BundleError, match="no arm bare-again"):
        real.compare_same(load_bundle(bundle_dir))


def test_too_few_blocks_of_the_pair(same_arms: Synthetic, tmp_path: Path) -> None:
    same_arms.blocks = 4
    with pytest.raises(BundleError, match="4 paired blocks"):
        real.compare_same(load_bundle(same_arms.write(tmp_path)))
