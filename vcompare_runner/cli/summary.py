# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The end of a comparison in a few lines: verdicts, ratios, what was refused, where the report is."""

from __future__ import annotations

import typing as t
from pathlib import Path

from vcompare_runner.core import words
from vcompare_runner.report import model, view


def headline(report: model.Report) -> tuple[list[str], list[list[str]]]:
    """Return header and rows.

    A scenario a row, an arm a column, ratio to bare [95% interval] in the cells; without what bare has no figure in.
    """
    columns, ambiguous = _columns(report)
    rows = []
    for scenario in report["scenarios"]:
        if not view.of_bare(scenario):
            continue
        cells = {(entry["arm"], entry["host"]): entry for entry in scenario["arms"]}
        name = words.label(scenario["scenario"], scenario["metric"])
        row = [f"{name} ({words.better(scenario['direction'])})"]
        for column in columns:
            row.append(_cell(cells.get((column["arm"], column["host"])), column))
        rows.append(row)
    return ["ratio to bare", *(words.arm_label(column, ambiguous) for column in columns)], rows


def plain(report: model.Report) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of what bare has no figure in: the medians themselves, with their unit."""
    columns, ambiguous = _columns(report)
    rows = []
    for scenario in report["scenarios"]:
        if view.of_bare(scenario):
            continue
        cells = {(entry["arm"], entry["host"]): entry for entry in scenario["arms"]}
        variant = "" if scenario["variant"] == "minimal" else f", {scenario['variant']}"
        row = [
            f"{scenario['scenario']}: {scenario['metric'].replace('_', ' ')}{variant} ({scenario['unit']})"
        ]
        for column in columns:
            entry = cells.get((column["arm"], column["host"]))
            row.append(words.median(entry, scenario["unit"]))
        rows.append(row)
    return ["figures", *(words.arm_label(column, ambiguous) for column in columns)], rows


def _columns(report: model.Report) -> tuple[list[t.Mapping[str, t.Any]], set[str]]:
    columns = [arm for arm in report["arms"] if arm["arm"] != "bare"]
    names = [arm["arm"] for arm in columns]
    return columns, {name for name in names if names.count(name) > 1}


def _cell(entry: t.Mapping[str, t.Any] | None, arm: t.Mapping[str, t.Any]) -> str:
    if entry is None or entry["ratio"] is None:
        return (
            arm["state"]
            if arm["state"] in ("refused", "failed", "not measured")
            else words.NO_VALUE
        )
    interval = words.interval(entry["interval"])
    return f"{words.ratio(entry['ratio'])} {interval}".rstrip()


def verdicts(report: model.Report) -> list[list[str]]:
    """Return a row for each claim that was judged, and one for all that were not run."""
    rows = [
        [
            claim["verdict"],
            f"{claim['tests_run']} of {claim['tests_declared']}",
            claim["title"] + (" (a result is questioned)" if claim["questioned"] else ""),
        ]
        for claim in report["claims"]
        if claim["verdict"] != "NOT RUN"
    ]
    not_run = [claim["id"] for claim in report["claims"] if claim["verdict"] == "NOT RUN"]
    if not_run:
        rows.append(["NOT RUN", "0", ", ".join(not_run)])
    return rows


def remarks(report: model.Report) -> list[str]:
    """Return what must be said beside the figures."""
    lines = []
    if model.emulated_hosts(report):
        lines.append(
            "measured on emulated hardware: ratios hold for this substrate, absolute times don't"
        )
    ratios = [
        entry
        for scenario in report["scenarios"]
        for entry in scenario["arms"]
        if entry["ratio"] is not None
    ]
    for reason in dict.fromkeys(
        entry["reason"] for entry in ratios if entry["interval"] is None and entry["reason"]
    ):
        lines.append(f"no interval: {reason}")
    # Whoever waited for it wants to know how to go on.
    lines += [note["text"] for note in report["notes"] if note["code"] == "stopped-by-budget"]
    for arm in report["arms"]:
        if arm["state"] != "ok":
            lines.append(
                f"{arm['arm']} on {arm['host']}: {arm['state']}: "
                f"{arm['reason'] or 'no reason given'}"
            )
    return lines


def incomplete(report: model.Report) -> bool:
    """Say whether an arm or a single measurement was refused or failed."""
    return bool(report["problems"]) or any(arm["state"] != "ok" for arm in report["arms"])


def location(index: Path) -> str:
    """Return the line that says where the report is."""
    return f"report: {index}"
