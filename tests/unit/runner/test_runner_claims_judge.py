# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Verdicts on bundles whose truth is known."""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t
from pathlib import Path

import numpy as np
import pytest
from chained import chain_up
from synthetic import METRICS, Synthetic, read_lines, write_lines

from vcompare_runner.analysis.statistics import ArmFigures, Interval, ScenarioFigures, analyse
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.verdict import schema
from vcompare_runner.verdict.declared import Catalogue, catalogue_of, digest
from vcompare_runner.verdict.judge import judge

TRUE = {"startup": {"docker": 2.0, "kvm": 20.0}, "cpu": {"docker": 1.0, "kvm": 0.8}}


def asked(**fields: t.Any) -> dict[str, t.Any]:
    """A test: is kvm's cpu figure below 0.9 of docker's?"""
    return {
        "name": "slower",
        "scenario": "cpu",
        "metric": METRICS[fields.get("scenario", "cpu")][0],
        "arms": ["kvm"],
        "against": "docker",
        "comparison": "ratio",
        "direction": "below",
        "margin": 0.9,
        "why": "a tenth",
        "hardware_speed": False,
    } | fields


def catalogue(*tests: dict[str, t.Any], **claim: t.Any) -> Catalogue:
    declared = [{"id": "c", "title": "A claim", "need": "know", "tests": list(tests)} | claim]
    claims = schema.parse_claims({"schema": 1, "claims": declared}, "test")
    return Catalogue(claims, ("claims.yml",), digest(declared), declared=True)


@dataclasses.dataclass
class Refusal:
    sentence: str


@dataclasses.dataclass
class Gates:
    """Gates that refuse what a test tells them to."""

    noise: Interval | None = None
    refused: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)

    def refuses(self, scenario: str, arm: str, host: str, answers: bool = False) -> list[Refusal]:
        why = self.refused.get((scenario, arm))
        return [Refusal(why)] if why else []

    def aa_noise(
        self, scenario: str, metric: str, variant: str | None = None, host: str | None = None
    ) -> Interval | None:
        return self.noise


def synthetic(**fields: t.Any) -> Synthetic:
    return Synthetic(
        **{
            "arms": ("bare", "docker", "kvm"),
            "scenarios": ("startup", "cpu"),
            "substrate": "metal",
            "blocks": 10,
            "ratios": TRUE,
        }
        | fields
    )


def verdict(
    folder: Path, of: Catalogue, gates: Gates | None = None
) -> tuple[dict[str, t.Any], list[dict[str, t.Any]]]:
    bundle = load_bundle(folder)
    (claim,) = judge(bundle, analyse(bundle), of, gates)
    return claim, claim["tests"]


STARTS = asked(name="start", scenario="startup", direction="above", margin=2.0)
NEAR = {"arms": ["docker"], "against": "bare", "comparison": "equivalence", "direction": None}


def near(**fields: t.Any) -> dict[str, t.Any]:
    test = asked(**{**NEAR, "margin": 1.1} | fields)
    return {name: value for name, value in test.items() if value is not None}


@pytest.mark.parametrize(
    ("tests", "expected", "outcomes"),
    [
        ([asked()], "CONFIRMED", ["holds"]),
        ([asked(direction="above")], "REFUTED", ["fails"]),
        ([asked(), STARTS], "CONFIRMED", ["holds", "holds"]),
        ([STARTS, asked(direction="above")], "MIXED", ["holds", "fails"]),
        # The truth lies on the margin: no number of blocks decides it.
        ([asked(margin=0.8)], "INCONCLUSIVE", ["undecided"]),
        ([near()], "CONFIRMED", ["holds"]),
        ([near(arms=["kvm"])], "REFUTED", ["fails"]),
        ([near(margin=1.01)], "INCONCLUSIVE", ["undecided"]),
        (
            [
                asked(
                    scenario="startup", arms=["docker"], against="bare", comparison="difference",
                    direction="below", margin=1.0, unit="s",
                )
            ],
            "CONFIRMED",
            ["holds"],
        ),
        (
            [
                asked(
                    scenario="startup", comparison="difference", direction="below", margin=1.0,
                    unit="s",
                )
            ],
            "REFUTED",
            ["fails"],
        ),
        ([asked(scenario="fork")], "NOT RUN", ["not run"]),
        ([asked(), asked(name="other", scenario="fork")], "CONFIRMED", ["holds", "not run"]),
        (
            [asked(), asked(name="other", scenario="fork", needed=True)],
            "INCONCLUSIVE",
            ["holds", "not run"],
        ),
        ([asked(), asked(name="other", margin=0.8)], "INCONCLUSIVE", ["holds", "undecided"]),
        (
            [asked(), STARTS | {"direction": "below"}, asked(name="other", margin=0.8)],
            "MIXED",
            ["holds", "fails", "undecided"],
        ),
    ],
)  # fmt: skip
def test_each_verdict(
    tmp_path: Path, tests: list[dict[str, t.Any]], expected: str, outcomes: list[str]
) -> None:
    claim, results = verdict(synthetic().write(tmp_path), catalogue(*tests))
    assert [result["outcome"] for result in results] == outcomes
    assert claim["verdict"] == expected
    assert claim["sentence"].endswith(".")
    # What is open has something that would settle it, what is decided has not.
    assert (claim["settle"] is None) == (
        expected in ("CONFIRMED", "REFUTED")
        or (expected == "MIXED" and "undecided" not in outcomes)
    )
    json.dumps(claim, allow_nan=False)


def test_figures_of_a_test(tmp_path: Path) -> None:
    folder = synthetic().write(tmp_path)
    claim, (result,) = verdict(folder, catalogue(asked(beside=["bare"]), favours=["docker"]))
    assert math.isclose(result["estimate"], 0.8, rel_tol=0.03)
    assert result["interval"]["low"] <= result["estimate"] <= result["interval"]["high"]
    assert result["against"] == {"arm": "docker", "host": "lab-linux"}
    assert result["blocks"] == list(range(1, 11))
    assert result["p"] <= result["p_adjusted"] <= 0.05
    assert claim["favours"] == ["docker"]
    (beside,) = claim["figures"]
    assert (beside["arm"], beside["outcome"]) == ("bare", None)
    # The samples behind it: every counted iteration of both arms, and nothing else.
    rows = [row for first, last in result["samples"] for row in range(first, last + 1)]
    records = read_lines(folder / "samples.jsonl")
    behind = [records[row - 1] for row in rows]
    expected = [
        record
        for record in records
        if record["scenario"] == "cpu"
        and record["arm"] in ("kvm", "docker")
        and not record["warmup"]
    ]
    assert behind == expected
    values = [
        np.median([r["value"] for r in behind if (r["block"], r["arm"]) == (block, "kvm")])
        for block in result["blocks"]
    ]
    assert np.allclose(values, result["values"])


def test_the_same_bundle_the_same_verdicts(tmp_path: Path) -> None:
    folder = synthetic().write(tmp_path)
    bundle = load_bundle(folder)
    first, second = (
        judge(bundle, analyse(bundle), catalogue_of(bundle.manifest)) for _number in "ab"
    )
    assert first == second


def test_arms_on_two_hosts_are_paired_by_block(tmp_path: Path) -> None:
    arms = ("bare", "docker", "xen-pv")
    ratios = {"cpu": {"docker": 1.0, "xen-pv": 0.6}}
    folder = synthetic(arms=arms, scenarios=("cpu",), ratios=ratios, drift=0.5).write(tmp_path)
    _claim, (result,) = verdict(folder, catalogue(asked(arms=["xen-pv"])))
    assert (result["host"], result["against"]["host"]) == ("lab-xen", "lab-linux")
    assert result["outcome"] == "holds"
    # A drift of half between blocks cancels.
    assert math.isclose(result["estimate"], 0.6, rel_tol=0.03)


def test_few_blocks_decide_nothing(tmp_path: Path) -> None:
    claim, (result,) = verdict(synthetic(blocks=4).write(tmp_path), catalogue(asked()))
    assert claim["verdict"] == "INCONCLUSIVE"
    assert result["p"] is None
    assert result["estimate"] is not None
    assert "4 paired blocks give no interval" in claim["sentence"]
    assert "at least 5" in claim["settle"]


def test_more_blocks_are_named_and_are_enough(tmp_path: Path) -> None:
    ratios = {"cpu": {"docker": 1.0, "kvm": 0.86}}
    of = catalogue(asked())
    few = synthetic(ratios=ratios, noise=0.1, blocks=6, scenarios=("cpu",), iterations=1)
    claim, (result,) = verdict(few.write(tmp_path / "few"), of)
    assert claim["verdict"] == "INCONCLUSIVE"
    assert result["blocks_needed"] > 6
    assert f"about {result['blocks_needed']} " in claim["settle"]
    many = dataclasses.replace(few, blocks=4 * result["blocks_needed"])
    claim, _results = verdict(many.write(tmp_path / "many"), of)
    assert claim["verdict"] == "CONFIRMED"


def test_a_scenario_that_the_profile_has_not_is_named(tmp_path: Path) -> None:
    claim, results = verdict(synthetic().write(tmp_path), catalogue(asked(scenario="fork")))
    assert results[0]["reason"] == "the run's profile (quick) has no scenario fork"
    assert claim["settle"] == "a run that measures the scenario fork"


def test_variants_metrics_and_arms_that_are_missing_are_named(tmp_path: Path) -> None:
    of = catalogue(
        asked(variant="full-system"),
        asked(name="metric", metric="other"),
        asked(name="arm", arms=["xen-pv"]),
        asked(name="against", against="xen-pv"),
    )
    claim, results = verdict(synthetic().write(tmp_path), of)
    assert claim["verdict"] == "NOT RUN"
    assert [result["reason"] for result in results] == [
        "the scenario cpu was run without variant full-system",
        "the scenario cpu was run without metric other",
        "the run has no arm xen-pv",
        "the run has no arm xen-pv to compare with",
    ]


@pytest.mark.parametrize("side", ["kvm", "docker"])
def test_an_arm_that_proved_nothing_is_refused(tmp_path: Path, side: str) -> None:
    folder = synthetic(refused={side: "its CPUID signature was wrong"}).write(tmp_path)
    claim, (result,) = verdict(folder, catalogue(asked()))
    assert claim["verdict"] == "REFUSED"
    assert result["estimate"] is None
    assert "its CPUID signature was wrong" in claim["sentence"]
    assert "prove what they are" in claim["settle"]


def test_an_arm_that_was_not_planned_or_failed_is_not_run(tmp_path: Path) -> None:
    for kind, folder in (
        ("unplanned", synthetic(arms=("bare", "docker"), unplanned={"kvm": "no /dev/kvm"})),
        ("failed", synthetic(failed={"kvm": "no /dev/kvm"})),
    ):
        claim, (result,) = verdict(folder.write(tmp_path / kind), catalogue(asked()))
        assert claim["verdict"] == "NOT RUN"
        assert result["outcome"] == "not run"
        assert "no /dev/kvm" in claim["sentence"]


def test_speed_of_hardware_is_not_decided_on_emulated_hardware(tmp_path: Path) -> None:
    folder = synthetic(substrate="nested-tcg").write(tmp_path)
    claim, (result,) = verdict(folder, catalogue(asked(hardware_speed=True)))
    assert claim["verdict"] == "REFUSED"
    assert result["cause"] == "substrate"
    # The ratio is said all the same, and what it is worth.
    assert f"{result['estimate']:.3f} times on emulated hardware" in result["reason"]
    assert "emulated hardware only" in claim["sentence"]
    assert "real hardware" in claim["settle"]
    claim, _results = verdict(folder, catalogue(asked(hardware_speed=False)))
    assert claim["verdict"] == "CONFIRMED"


@pytest.mark.parametrize(("needed", "expected"), [(False, "CONFIRMED"), (True, "REFUSED")])
def test_what_emulated_hardware_cannot_decide_stands_in_the_way_where_it_is_needed(
    tmp_path: Path, needed: bool, expected: str
) -> None:
    folder = synthetic(substrate="nested-tcg").write(tmp_path)
    fast = asked(name="fast", hardware_speed=True, needed=needed)
    claim, results = verdict(folder, catalogue(asked(), fast))
    assert [result["outcome"] for result in results] == ["holds", "refused"]
    assert claim["verdict"] == expected
    # It is said all the same.
    assert "emulated hardware only" in claim["sentence"]


def test_what_is_refused_for_another_reason_stands_in_the_way(tmp_path: Path) -> None:
    folder = synthetic(substrate="nested-tcg").write(tmp_path)
    gates = Gates(refused={("startup", "kvm"): "too much load"})
    claim, results = verdict(folder, catalogue(asked(), STARTS), gates)
    assert [result["outcome"] for result in results] == ["holds", "refused"]
    assert claim["verdict"] == "REFUSED"


@pytest.mark.parametrize("substrate", ["nested-kvm", "metal", "vm"])
def test_speed_of_hardware_is_decided_on_hardware(tmp_path: Path, substrate: str) -> None:
    folder = synthetic(substrate=substrate).write(tmp_path)
    claim, _results = verdict(folder, catalogue(asked(hardware_speed=True)))
    assert claim["verdict"] == "CONFIRMED"


def test_hosts_of_unknown_kind_decide_nothing_about_hardware(tmp_path: Path) -> None:
    folder = synthetic(substrate="unknown").write(tmp_path)
    claim, _results = verdict(folder, catalogue(asked(hardware_speed=True)))
    assert claim["verdict"] == "REFUSED"
    assert "is not known" in claim["sentence"]


def test_hardware_that_nobody_knows_decides_nothing(tmp_path: Path) -> None:
    folder = synthetic().write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    for plan in manifest["arms"]:
        plan["substrate"] = None
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for path in (folder / "facts").iterdir():
        path.unlink()
    claim, _results = verdict(folder, catalogue(asked(hardware_speed=True)))
    assert claim["verdict"] == "REFUSED"
    assert "is not known" in claim["sentence"]


AGAIN = ("bare", "bare-again", "docker", "kvm")


@pytest.mark.parametrize(
    ("noise", "test", "expected"),
    [
        # Half of a margin of 0.9 is a factor of 1.054.
        ((0.99, 1.01), asked(), "CONFIRMED"),
        ((0.94, 1.03), asked(), "REFUSED"),
        # Narrow, but bare is not itself.
        ((1.07, 1.08), asked(), "REFUSED"),
        ((0.98, 1.03), near(margin=1.05), "REFUSED"),
        # Half of a margin of 10 s is a factor of 6.9 for a start of 0.84 s.
        (
            (0.5, 2.0),
            asked(
                scenario="startup", comparison="difference", direction="below", margin=10.0,
                unit="s",
            ),
            "CONFIRMED",
        ),
        (
            (0.5, 2.0),
            asked(
                scenario="startup", comparison="difference", direction="below", margin=1.0,
                unit="s",
            ),
            "REFUSED",
        ),
    ],
)  # fmt: skip
def test_noise_against_half_of_the_margin(
    tmp_path: Path, noise: tuple[float, float], test: dict[str, t.Any], expected: str
) -> None:
    folder = synthetic(arms=AGAIN).write(tmp_path)
    gates = Gates(Interval(*noise, 0.95, 0.99))
    claim, (result,) = verdict(folder, catalogue(test), gates)
    assert claim["verdict"] == expected
    if expected == "REFUSED":
        assert result["cause"] == "noise"
        assert "bare against itself" in claim["sentence"]
        assert "quieter host" in claim["settle"]


def test_noise_that_is_not_known_refuses_where_it_was_to_be_measured(tmp_path: Path) -> None:
    of = catalogue(asked())
    claim, _results = verdict(synthetic(arms=AGAIN).write(tmp_path / "a"), of, Gates(None))
    assert claim["verdict"] == "REFUSED"
    # Bundles of old did not measure bare twice.
    claim, _results = verdict(synthetic().write(tmp_path / "b"), of, Gates(None))
    assert claim["verdict"] == "CONFIRMED"


@pytest.mark.parametrize("side", ["kvm", "docker"])
def test_a_gate_refuses_either_side(tmp_path: Path, side: str) -> None:
    folder = synthetic().write(tmp_path)
    gates = Gates(refused={("cpu", side): "12% of its time was stolen, 1% is allowed"})
    claim, (result, other) = verdict(folder, catalogue(asked(), STARTS), gates)
    assert claim["verdict"] == "REFUSED"
    assert (result["outcome"], other["outcome"]) == ("refused", "holds")
    assert "12% of its time was stolen" in claim["sentence"]


def stealing(folder: Path, share: float, blocks: int) -> Path:
    """Have a part of the CPU time of the machine below stolen in the first blocks."""

    def change(line: dict[str, t.Any]) -> None:
        below = line["controller"]
        stolen = share if line["block"] <= blocks else 0.0
        below["steal_s"] = stolen * below["wall_s"] * below["cpus"]

    return chain_up(folder, change)


def test_stolen_time_refuses_what_it_could_have_made(tmp_path: Path) -> None:
    """4% of the time can make a margin of 5%, and not one of a factor of 2; neither can it where it came seldom."""
    tests = catalogue(near(margin=1.05), STARTS)
    claim, (close, start) = verdict(stealing(synthetic().write(tmp_path / "a"), 0.04, 10), tests)
    assert (close["outcome"], close["cause"]) == ("refused", "gate")
    assert "up to 4.0%, and at most 2.4% is allowed" in claim["sentence"]
    assert start["outcome"] == "holds"
    _claim, (close, start) = verdict(stealing(synthetic().write(tmp_path / "b"), 0.04, 4), tests)
    assert close["outcome"] == "holds" and close["blocks"] == [5, 6, 7, 8, 9, 10]
    assert len(start["blocks"]) == 10


@pytest.mark.parametrize(("speed", "outcome"), [(False, "holds"), (True, "refused")])
def test_stolen_time_has_a_limit_where_there_is_no_margin(
    tmp_path: Path, speed: bool, outcome: str
) -> None:
    """An answer that speed decides has none to hold 4% against; one that it does not decide stands."""
    folder = stealing(answers(synthetic(blocks=3).write(tmp_path), [1, 1, 1]), 0.04, 3)
    _claim, (result,) = verdict(folder, catalogue({**ALWAYS, "hardware_speed": speed}))
    assert result["outcome"] == outcome


@pytest.mark.parametrize(("unit", "outcome"), [("count", "holds"), ("MiB", "refused")])
def test_stolen_time_changes_no_count_of_what_is_seen(
    tmp_path: Path, unit: str, outcome: str
) -> None:
    folder = synthetic().write(tmp_path)
    records = read_lines(folder / "samples.jsonl")
    for record in records:
        record["unit"] = unit
    write_lines(folder / "samples.jsonl", records)
    test = asked(comparison="difference", direction="below", margin=-1.0, unit=unit)
    _claim, (result,) = verdict(stealing(folder, 0.08, 10), catalogue(test))
    assert result["outcome"] == outcome


def test_units_that_differ_are_not_compared(tmp_path: Path) -> None:
    folder = synthetic().write(tmp_path)
    records = read_lines(folder / "samples.jsonl")
    for record in records:
        if record["arm"] == "kvm" and record["scenario"] == "startup":
            record["unit"] = "ms"
    write_lines(folder / "samples.jsonl", records)
    claim, (result,) = verdict(folder, catalogue(STARTS))
    assert (claim["verdict"], result["cause"]) == ("REFUSED", "unusable")
    of = catalogue(asked(comparison="difference", direction="below", margin=1.0, unit="s"))
    claim, (result,) = verdict(folder, of)
    assert result["reason"] == "the margin is in s, the figures are in 1/s"


@pytest.mark.parametrize(("kept", "expected"), [((), "CONFIRMED"), (("bare",), "REFUSED")])
def test_what_bare_is_not_measured_in_has_no_noise_of_bare(
    tmp_path: Path, kept: tuple[str, ...], expected: str
) -> None:
    folder = synthetic(arms=AGAIN).write(tmp_path)
    records = [
        record
        for record in read_lines(folder / "samples.jsonl")
        if record["scenario"] != "cpu" or record["arm"] in ("docker", "kvm", *kept)
    ]
    for record in records:
        # Bare that was measured, and failed: its noise was to be known, and is not.
        if record["scenario"] == "cpu" and record["arm"] in kept:
            record |= {"status": "failed", "value": None, "reason": "it broke"}
    write_lines(folder / "samples.jsonl", records)
    claim, _results = verdict(folder, catalogue(asked()), Gates(None))
    assert claim["verdict"] == expected


def answers(folder: Path, values: t.Sequence[float]) -> Path:
    """Turn the cpu scenario into a question, with an answer for each block of kvm."""
    records = [r for r in read_lines(folder / "samples.jsonl") if r["scenario"] == "cpu"]
    for record in records:
        record["unit"] = "yes/no"
        record["value"] = values[record["block"] - 1] if record["arm"] == "kvm" else 1.0
    write_lines(folder / "samples.jsonl", records)
    return folder


ALWAYS = {
    name: value
    for name, value in asked(comparison="yes_no", direction="always").items()
    if name not in ("margin", "against")
}


@pytest.mark.parametrize(
    ("values", "direction", "outcome"),
    [
        ([1, 1, 1], "always", "holds"),
        ([1, 0, 1], "always", "fails"),
        ([0, 0, 0], "never", "holds"),
        ([0, 0, 1], "never", "fails"),
        ([1, 0.5, 1], "always", "refused"),
    ],
)
def test_answers(tmp_path: Path, values: list[float], direction: str, outcome: str) -> None:
    folder = answers(synthetic(blocks=3).write(tmp_path), values)
    claim, (result,) = verdict(folder, catalogue({**ALWAYS, "direction": direction}))
    assert result["outcome"] == outcome
    if outcome != "refused":
        assert f"yes in {sum(values)} of 3 blocks" in claim["sentence"]


def test_a_result_outside_of_its_band_is_questioned(tmp_path: Path) -> None:
    ratios = {"cpu": {"docker": 0.9, "kvm": 0.95}}
    folder = synthetic(scenarios=("cpu",), ratios=ratios, substrate="nested-tcg").write(tmp_path)
    claim, (result,) = verdict(folder, catalogue(near(beside=["kvm"])))
    assert claim["questioned"] is True
    assert result["questioned"] is True
    assert result["band"]["low"] == 0.97
    assert "Felter" in result["band"]["source"]
    # KVM's band was taken on real hardware and says nothing here.
    assert claim["figures"][0]["band"]["applies"] is False
    assert claim["figures"][0]["questioned"] is False
    folder = synthetic(scenarios=("cpu",)).write(tmp_path / "good")
    claim, (result,) = verdict(folder, catalogue(near()))
    assert (claim["questioned"], result["questioned"]) == (False, False)


def figures_of(rng: np.random.Generator, tests: int, blocks: int) -> list[ScenarioFigures]:
    """Figures of as many metrics, each with noise of its own, and kvm at 0.8 of docker."""
    found = []
    for number in range(tests):
        arms = []
        for arm, true in (("docker", 1.0), ("kvm", 0.8)):
            values = true * np.exp(rng.normal(0, 0.05, blocks))
            by_block = dict(enumerate(values.tolist(), start=1))
            arms.append(ArmFigures(arm, "lab-linux", by_block, blocks, None, None, None))
        found.append(ScenarioFigures("cpu", f"m{number}", "1/s", "higher", "minimal", tuple(arms)))
    return found


@pytest.mark.parametrize("blocks", [6, 15])
def test_a_report_errs_as_often_as_it_says(tmp_path: Path, blocks: int) -> None:
    """With the truth on the margin neither answer is right: 400 reports of 10 such tests each.

    Any answer in any of its tests makes a report wrong; without a correction over the report it
    would be two in three.
    """
    bundle = load_bundle(synthetic(blocks=1, scenarios=("cpu",)).write(tmp_path))
    of = catalogue(
        *(asked(name=f"t{number}", metric=f"m{number}", margin=0.8) for number in range(10))
    )
    rng = np.random.default_rng(3)
    wrong = 0
    for _report in range(400):
        (claim,) = judge(bundle, figures_of(rng, 10, blocks), of)
        wrong += any(test["outcome"] != "undecided" for test in claim["tests"])
    # 5% are 20; more than 34 would happen once in a thousand times.
    assert wrong <= 34


def test_p_values_are_corrected_over_the_whole_report(tmp_path: Path) -> None:
    """Also by the tests of other claims, and by both questions of each."""
    bundle = load_bundle(synthetic(blocks=1, scenarios=("cpu",)).write(tmp_path))
    figures = figures_of(np.random.default_rng(4), 4, 7)
    claims = [
        {"id": f"c{n}", "title": "A claim", "need": "know", "tests": [asked(metric=f"m{n}")]}
        for n in range(4)
    ]
    parsed = schema.parse_claims({"schema": 1, "claims": claims}, "test")
    together = judge(bundle, figures, Catalogue(parsed, (), "", declared=True))
    alone = judge(bundle, figures, Catalogue(parsed[:1], (), "", declared=True))
    smallest = min((claim["tests"][0] for claim in together), key=lambda test: test["p"])
    assert smallest["p_adjusted"] == pytest.approx(8 * smallest["p"])
    (test,) = alone[0]["tests"]
    assert test["p_adjusted"] == pytest.approx(2 * test["p"])
