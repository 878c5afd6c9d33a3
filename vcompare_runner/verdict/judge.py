# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""From a bundle's figures to a verdict on each claim. Pure: the same bundle, the same verdicts.

Verdicts, in the order in which they are looked for:

============ =====================================================================
NOT RUN      none of the claim's tests was measured
MIXED        some tests hold, others fail: whatever is still open, it is neither
             wholly true nor wholly false
REFUSED      a test was measured, but a gate does not admit what it says; where that
             is for emulated hardware only, and the claim doesn't need the test, the
             others decide
INCONCLUSIVE a test was measured, and its interval leaves both answers open
CONFIRMED    every test that was measured holds
REFUTED      every test that was measured fails
============ =====================================================================

Tests that were not measured don't stand in the way of a verdict, since nobody measures everything
at once; ``tests_run`` and the sentence say how much of the claim the verdict is about. Those that
the catalogue marks as needed do: without their answer it is INCONCLUSIVE.

All p-values of a report are corrected together (Holm 1979): two for each test, since each may hold
or fail. So the chance that any verdict of the report rests on a wrong outcome is 5% at most.
"""

from __future__ import annotations

import typing as t

from vcompare_runner.analysis.statistics import ScenarioFigures, holm
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.verdict import comparisons, sentences
from vcompare_runner.verdict.comparisons import Result
from vcompare_runner.verdict.court import Court, Gates
from vcompare_runner.verdict.declared import Catalogue
from vcompare_runner.verdict.schema import Claim

Record = dict[str, t.Any]


def judge(
    bundle: Bundle,
    figures: t.Sequence[ScenarioFigures],
    catalogue: Catalogue,
    gates: Gates | None = None,
) -> list[Record]:
    """Judge every claim of a catalogue.

    :param figures: of the same bundle (``statistics.analyse``).
    :param gates: what the gates say of it; ``None``: none was asked.
    :returns: the ``claims`` of ``report.json`` (docs/contracts.md, "Report"), in the order of the
        catalogue.
    """
    court = Court(bundle, figures, gates)
    results = {
        claim.id: [
            result for test in claim.tests for arm in test.arms for result in court.test(test, arm)
        ]
        for claim in catalogue.claims
    }
    _correct([result for of_claim in results.values() for result in of_claim])
    return [_verdict(court, claim, results[claim.id]) for claim in catalogue.claims]


def _correct(results: t.Sequence[Result]) -> None:
    """Correct the p-values of a whole report, and decide the tests that nothing has refused."""
    waiting = [result for result in results if result.open]
    family = {
        (number, question): p
        for number, result in enumerate(waiting)
        for question, p in result.p.items()
    }
    for (number, question), p in holm(family).items():
        waiting[number].p_adjusted[question] = p
    for result in waiting:
        comparisons.decide(result)


def _verdict(court: Court, claim: Claim, results: t.Sequence[Result]) -> Record:
    outcomes = {result.outcome for result in _deciding(results)}
    ran = [result for result in results if result.outcome != "not run"]
    if not ran:
        verdict = "NOT RUN"
    elif {"holds", "fails"} <= outcomes:
        verdict = "MIXED"
    elif "refused" in outcomes:
        verdict = "REFUSED"
    elif "undecided" in outcomes or sentences.lacking(results):
        verdict = "INCONCLUSIVE"
    else:
        verdict = "CONFIRMED" if "holds" in outcomes else "REFUTED"
    tests = [_record(court, result) for result in results]
    took_part = {result.arm for result in ran} | {result.test.against for result in ran}
    return {
        "id": claim.id,
        "title": claim.title,
        "verdict": verdict,
        "sentence": sentences.sentence(verdict, results),
        "settle": sentences.settle(verdict, results),
        "need": claim.need,
        "favours": [arm for arm in claim.favours if arm in took_part]
        if verdict == "CONFIRMED"
        else [],
        "tests_declared": len(results),
        "tests_run": len(ran),
        "questioned": any(test["questioned"] for test in tests),
        "tests": tests,
        "figures": _beside(court, claim),
    }


def _deciding(results: t.Sequence[Result]) -> t.Sequence[Result]:
    """Return the tests that a verdict rests on.

    What emulated hardware can't decide stands in the way of a claim that needs it, and otherwise no more than what
    nobody measured.
    """
    rest = [result for result in results if result.cause != "substrate" or result.test.needed]
    return rest if any(result.outcome != "not run" for result in rest) else results


def _beside(court: Court, claim: Claim) -> list[Record]:
    """Return the figures of arms that a claim does not speak of, to be shown beside."""
    results = [
        result for test in claim.tests for arm in test.beside for result in court.test(test, arm)
    ]
    return [
        _record(court, result) | {"outcome": None, "reason": result.reason or None}
        for result in results
        if result.estimate is not None
    ]


def _record(court: Court, result: Result) -> Record:
    test, pairs = result.test, result.pairs
    held = court.held(result)
    question = min(result.p, key=lambda each: result.p[each], default=None)
    return {
        "name": test.name,
        "scenario": test.scenario,
        "metric": test.metric,
        "variant": test.variant,
        "topic": sentences.topic(test),
        "asked": sentences.margin(test),
        "seen": sentences.seen(result),
        "arm": result.arm,
        "host": result.host,
        "against": {"arm": test.against, "host": result.against_host} if test.against else None,
        "comparison": test.comparison,
        "margin": test.margin,
        "unit": result.unit or test.unit,
        "direction": test.direction,
        "why": test.why,
        "hardware_speed": test.hardware_speed,
        "needed": test.needed,
        "outcome": result.outcome,
        "cause": result.cause,
        "reason": result.reason or sentences.outcome(result),
        "estimate": result.estimate,
        "interval": {
            "low": result.interval[0],
            "high": result.interval[1],
            "level": 1 - comparisons.ALPHA,
            "coverage_at_most": result.coverage_at_most,
        }
        if result.interval
        else None,
        "p": result.p[question] if question else None,
        "p_adjusted": result.p_adjusted.get(question) if question else None,
        "blocks": list(pairs.blocks) if pairs else [],
        "values": list(pairs.values) if pairs else [],
        "against_values": list(pairs.against) if pairs else [],
        "samples": [list(row) for row in result.rows],
        "blocks_needed": result.blocks_needed,
        "band": held.as_data() if held else None,
        "questioned": held.questioned if held else False,
    }
