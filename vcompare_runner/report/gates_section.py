# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The gates in a report: a row each, and what was refused.

Bare's second measurement is not a technology that is compared: it is in here, as what bare against bare
gave, and nowhere among the arms.
"""

from __future__ import annotations

import dataclasses
import typing as t

from vcompare_runner._contract.arms import AGAIN
from vcompare_runner.analysis.gates import Gates
from vcompare_runner.bundle.gate_limits import AA, LIMITS, GateResult

Report = dict[str, t.Any]

# A gate that refused more than this is read in report.json.
_MOST_SHOWN = 20


def add(report: Report, gates: Gates) -> Report:
    """Return the report with its section ``gates``, and without the arm bare-again elsewhere.

    ``gates`` is a list, one entry a gate: ``name``, ``question``, ``limit``, ``unit``, how many things
    it ``judged``, ``refused``, and could not judge (``open``), the ``worst`` figure with where it was,
    and ``results``: what it refused, and what is about no single block.
    """
    scenarios = [
        {**scenario, "arms": [arm for arm in scenario["arms"] if arm["arm"] != AGAIN]}
        for scenario in report["scenarios"]
    ]
    return {
        **report,
        "arms": [arm for arm in report["arms"] if arm["arm"] != AGAIN],
        "scenarios": scenarios,
        "gates": [_gate(name, gates) for name in LIMITS],
    }


def _gate(name: str, gates: Gates) -> dict[str, t.Any]:
    limit = LIMITS[name]
    results = [result for result in gates.results if result.name == name]
    judged = [result for result in results if result.passed is not None]
    refused = [result for result in judged if not result.passed]
    worst = max(
        (result for result in (judged or results) if result.figure is not None),
        key=lambda result: t.cast(float, result.figure),
        default=None,
    )
    return {
        "name": name,
        "question": limit.question,
        "limit": limit.value,
        "unit": limit.unit,
        "judged": len(judged),
        "refused": len(refused),
        "open": len(results) - len(judged),
        "answer": _answer(name, results, judged, refused),
        "worst": _plain(worst) if worst else None,
        "results": [
            _plain(result) for result in results if result.passed is False or result.block is None
        ],
        "shown": [_said(result) for result in refused[:_MOST_SHOWN]]
        + [_said(result) for result in results if result.passed is not False and not result.block]
        + ([f"and {len(refused) - _MOST_SHOWN} more"] if len(refused) > _MOST_SHOWN else []),
    }


def _answer(
    name: str,
    results: t.Sequence[GateResult],
    judged: t.Sequence[GateResult],
    refused: t.Sequence[GateResult],
) -> str:
    if name == AA:
        return (
            "for each claim by its margin"
            if results
            else "bare was not measured twice often enough"
        )
    if refused:
        return f"refused {len(refused)}" + (f" of {len(judged)}" if len(judged) > 1 else "")
    if judged:
        return f"passed {len(judged)}" if len(judged) > 1 else "passed"
    if results:
        return f"not judged: {results[0].sentence}"
    return "no figures"


def _plain(result: GateResult) -> dict[str, t.Any]:
    return dataclasses.asdict(result)


def _said(result: GateResult) -> str:
    parts = [result.scenario, result.arm, f"on {result.host}" if result.host else None]
    where = " ".join(part for part in parts if part)
    if result.block is not None:
        where += f", block {result.block}"
    return f"{where}: {result.sentence}" if where else result.sentence
