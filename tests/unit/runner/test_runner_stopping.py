# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""More blocks while an open claim's interval is too wide, and none for claims that they don't help."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import Synthetic, read_lines, write_lines

from vcompare_runner.analysis import stopping
from vcompare_runner.bundle.read import load_bundle

TEST = {
    "name": "cpu",
    "scenario": "cpu",
    "metric": "events_per_second",
    "variant": "minimal",
    "arms": ["docker"],
    "against": "bare",
    "comparison": "equivalence",
    "margin": 1.05,
}


def made(tmp_path: Path, tests: list[dict[str, t.Any]] | None, **fields: t.Any) -> Path:
    defaults: dict[str, t.Any] = {
        "arms": ("bare", "docker", "xen-pv"),
        "scenarios": ("startup", "cpu"),
        "blocks": 10,
    }
    folder = Synthetic(**{**defaults, **fields}).write(tmp_path)
    if tests is not None:
        manifest = json.loads((folder / "manifest.json").read_text())
        claims = [{"id": f"claim-{number}", "tests": [test]} for number, test in enumerate(tests)]
        manifest["claims"] = {"sha256": "x", "files": [], "claims": claims}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_narrow_interval_is_enough(tmp_path: Path) -> None:
    assert stopping.open_claims(made(tmp_path, [TEST], noise=0.005)) == []


def test_a_wide_interval_leaves_the_claim_open(tmp_path: Path) -> None:
    (found,) = stopping.open_claims(made(tmp_path, [TEST], noise=0.3))
    assert found.claim == "claim-0"
    assert found.blocks_needed > 10
    assert "cpu of docker against bare: known within" in found.why
    assert set(found.as_dict()) == {"claim", "blocks_needed", "why"}


def test_a_wider_margin_needs_less(tmp_path: Path) -> None:
    assert stopping.open_claims(made(tmp_path, [{**TEST, "margin": 3.0}], noise=0.1)) == []


def test_what_the_verdict_would_be_does_not_matter(tmp_path: Path) -> None:
    """Ten times slower for certain, and still not known within half of the margin."""
    test = {**TEST, "scenario": "startup", "metric": "time_to_first_reply", "arms": ["xen-pv"]}
    assert stopping.open_claims(made(tmp_path, [test], noise=0.2))


def test_too_few_blocks_for_an_interval(tmp_path: Path) -> None:
    (found,) = stopping.open_claims(made(tmp_path, [TEST], blocks=3, noise=0.001))
    assert found.blocks_needed == 2


def test_sides_on_different_hosts_and_against_another_arm(tmp_path: Path) -> None:
    test = {**TEST, "arms": ["xen-pv"], "against": "docker"}
    (found,) = stopping.open_claims(made(tmp_path, [test], noise=0.3))
    assert "cpu of xen-pv against docker" in found.why


def test_a_difference_is_narrow_in_its_unit(tmp_path: Path) -> None:
    test = {**TEST, "scenario": "startup", "metric": "time_to_first_reply",
            "comparison": "difference", "unit": "s"}  # fmt: skip
    folder = made(tmp_path, [{**test, "margin": 10.0}, {**test, "margin": 0.001}], noise=0.05)
    assert [each.claim for each in stopping.open_claims(folder)] == ["claim-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"comparison": "yes_no", "margin": None},
        {"scenario": "density", "metric": "instances"},
        {"arms": ["kvm"]},
        {"against": "kvm"},
    ],
)
def test_claims_that_more_blocks_do_not_help(tmp_path: Path, change: dict[str, t.Any]) -> None:
    assert stopping.open_claims(made(tmp_path, [{**TEST, **change}], noise=0.3)) == []


def test_what_emulated_hardware_cannot_decide_is_not_waited_for(tmp_path: Path) -> None:
    test = {**TEST, "hardware_speed": True}
    for substrate, claims in (("nested-tcg", 0), ("metal", 1)):
        folder = made(tmp_path / substrate, [test], noise=0.3, substrate=substrate)
        assert len(stopping.open_claims(folder)) == claims


def test_an_arm_that_fell_silent_is_not_waited_for(tmp_path: Path) -> None:
    folder = made(tmp_path, [TEST], noise=0.3)
    lines = read_lines(folder / "samples.jsonl")
    for record in lines:
        if record["arm"] == "docker" and record["block"] > 6:
            record |= {"status": "failed", "value": None, "reason": "gone"}
    write_lines(folder / "samples.jsonl", lines)
    assert stopping.open_claims(folder) == []


def test_without_claims_every_ratio_is_a_question(tmp_path: Path) -> None:
    (found,) = stopping.open_claims(made(tmp_path, None, noise=0.3))
    assert found.claim == stopping.WITHOUT_CLAIMS
    assert stopping.open_claims(made(tmp_path / "quiet", None, noise=0.002)) == []
    assert stopping.open_claims_of(load_bundle(made(tmp_path / "none", [], noise=0.3))) == []


@given(half=st.floats(0.001, 2), allowed=st.floats(0.001, 2), blocks=st.integers(5, 500))
def test_more_blocks_follow_the_square_root(half: float, allowed: float, blocks: int) -> None:
    more = stopping.more_blocks(half, allowed, blocks)
    assert more >= 1
    expected_half = half * (blocks / (blocks + more)) ** 0.5
    assert expected_half <= max(allowed, half) * (1 + 1e-9)
    if half > allowed:
        assert expected_half <= allowed * (1 + 1e-9)
