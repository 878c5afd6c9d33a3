# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The example under docs/: what it says follows from the bundles that lie beside it, by this code."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from vcompare_runner.bundle.join import join
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.report import build_report, markdown

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "example"
PARTS = sorted(path.parent for path in EXAMPLE.glob("*/manifest.json"))


@pytest.fixture(scope="module")
def report() -> t.Mapping[str, t.Any]:
    assert PARTS
    return build_report(join([load_bundle(part) for part in PARTS]))


def test_its_record_is_as_it_was_written(report: t.Mapping[str, t.Any]) -> None:
    (gate,) = [gate for gate in report["gates"] if gate["name"] == "record"]
    assert gate["refused"] == 0
    assert gate["judged"] > 0


def test_the_page_is_what_this_code_makes_of_it(report: t.Mapping[str, t.Any]) -> None:
    """Whoever changes what a report says writes the example's again (tools/example.sh)."""
    assert markdown.render(report) == (EXAMPLE / "report.md").read_text(encoding="utf-8")


def test_whatever_decided_nothing_says_why(report: t.Mapping[str, t.Any]) -> None:
    assert len(report["claims"]) == 17
    for claim in report["claims"]:
        for test in claim["tests"]:
            assert test["outcome"] in ("holds", "fails", "beside") or test["reason"], test


def test_it_is_small_enough_to_be_kept() -> None:
    size = sum(path.stat().st_size for path in EXAMPLE.rglob("*") if path.is_file())
    assert size < 8 * 2**20


def test_it_names_no_machine_that_it_was_made_on() -> None:
    for part in PARTS:
        manifest = json.loads((part / "manifest.json").read_text(encoding="utf-8"))
        assert {arm["host"] for arm in manifest["arms"]} <= {"lab-linux", "lab-xen"}
        assert not (part / "events").exists()
