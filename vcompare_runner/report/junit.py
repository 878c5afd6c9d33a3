# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``junit.xml``: the verdicts for whatever shows test results, a test case a claim.

============================ ===========================================
CONFIRMED, REFUTED, MIXED    passed: the claim was decided
INCONCLUSIVE, REFUSED        skipped: it was measured, and left open
NOT RUN                      skipped
============================ ===========================================

A refuted claim is not a failure: the measurement did what it should, and what it found is its result.
A pipeline that shall stop at a certain verdict reads it from ``report.json``, or from the first
word of a test case's ``system-out`` here. Nothing in this file ever fails.
"""

from __future__ import annotations

import re
import typing as t

import junitparser

from vcompare_runner.report.model import Report

_DECIDED = ("CONFIRMED", "REFUTED", "MIXED")
# What XML 1.0 can't hold, not even escaped (section 2.2 of its specification).
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """Render the claims of a report as JUnit XML."""
    suite = junitparser.TestSuite("vcompare")
    suite.timestamp = _clean(report["run"]["created_at"])
    for name, value in (
        ("run", report["run"]["id"]),
        ("profile", report["run"]["profile"]["name"]),
        ("claims.sha256", report["catalogue"]["sha256"]),
    ):
        suite.add_property(name, _clean(value))
    for claim in report["claims"]:
        suite.add_testcase(_case(claim))
    document = junitparser.JUnitXml("vcompare")
    document.add_testsuite(suite)
    # No times in it: how long a claim took is nothing that a report knows.
    text = document.tostring().decode("utf-8")
    return text if text.endswith("\n") else text + "\n"


def _case(claim: t.Mapping[str, t.Any]) -> junitparser.TestCase:
    case = junitparser.TestCase(_clean(claim["id"]), classname="vcompare.claims")
    said = f"{claim['verdict']}: {claim['title']}. {claim['sentence']}"
    if claim["settle"]:
        said += f" What would settle it: {claim['settle']}."
    if claim["verdict"] not in _DECIDED:
        case.result = [junitparser.Skipped(message=_clean(said))]
    case.system_out = _clean(said)
    return case


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
