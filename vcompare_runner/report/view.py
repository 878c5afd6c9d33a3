# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the templates share: the environment, and the report arranged for reading."""

from __future__ import annotations

import re
import typing as t

import jinja2

from vcompare_runner._contract.arms import BARE
from vcompare_runner.core import words
from vcompare_runner.report.forest import MOST_POINTS
from vcompare_runner.report.model import Report

# More blocks than this, and more ranges of rows, are in report.json only.
MOST_ROWS = 50
_MOST_RANGES = 12


def environment(autoescape: bool) -> jinja2.Environment:
    """Make the template environment. An undefined name is an error, never an empty place."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("vcompare_runner.report", "templates"),
        autoescape=autoescape,  # noqa: S701 - Markdown has an escaping of its own (`cell`)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        figure=words.figure,
        ratio=words.ratio,
        interval=words.interval,
        better=words.better,
        title_of=words.title,
        substrate=words.substrate,
        block_list=words.block_list,
        band=_band,
        any_band=_any_band,
        estimate=_estimate,
        between=_between,
        block_rows=_block_rows,
        p=_p,
        rows=_row_ranges,
    )
    return made


def context(report: Report) -> dict[str, t.Any]:
    """Arrange the report: what the templates need beside the report itself."""
    ambiguous = _ambiguous(report)
    columns = _columns(report)
    slugs = _slugs(report["scenarios"])
    rows = [
        _row(scenario, columns) | {"slug": slug}
        for scenario, slug in zip(report["scenarios"], slugs, strict=True)
    ]
    return {
        "report": report,
        "judged": [claim for claim in report["claims"] if claim["verdict"] != "NOT RUN"],
        "not_run": [claim for claim in report["claims"] if claim["verdict"] == "NOT RUN"],
        "most_rows": MOST_ROWS,
        "most_points": MOST_POINTS,
        "words": words,
        "ambiguous": ambiguous,
        "columns": columns,
        "headline": [row for row in rows if of_bare(row["scenario"])],
        "plain": [row for row in rows if not of_bare(row["scenario"])],
        "slugs": slugs,
        "statement": words.substrate_statement(report["substrate"]),
        "variants": len({scenario["variant"] for scenario in report["scenarios"]}) > 1,
    }


def of_bare(scenario: t.Mapping[str, t.Any]) -> bool:
    """Say whether bare is an arm of a scenario, measured or not: of others there is no ratio to it."""
    return any(entry["arm"] == BARE for entry in scenario["arms"])


def _ambiguous(report: Report) -> set[str]:
    arms = [entry["arm"] for entry in report["arms"]]
    return {arm for arm in arms if arms.count(arm) > 1}


def _columns(report: Report) -> list[dict[str, t.Any]]:
    """Return the arms of the headline table: all but bare, which everything is compared with."""
    return [entry for entry in report["arms"] if entry["arm"] != BARE]


def _row(
    scenario: t.Mapping[str, t.Any], columns: t.Sequence[t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    figures = {(entry["arm"], entry["host"]): entry for entry in scenario["arms"]}
    bare = [
        entry for entry in scenario["arms"] if entry["baseline"] and entry["median"] is not None
    ]
    return {
        "scenario": scenario,
        "bare": bare,
        "cells": [figures.get((column["arm"], column["host"])) for column in columns],
    }


def _slugs(scenarios: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Return an id for each scenario, unique within the page."""
    slugs: list[str] = []
    for scenario in scenarios:
        text = f"{scenario['scenario']}-{scenario['metric']}-{scenario['variant']}".lower()
        slug = re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "scenario"
        slugs.append(slug if slug not in slugs else f"{slug}-{len(slugs)}")
    return slugs


def _estimate(test: t.Mapping[str, t.Any]) -> str:
    """Render the estimate of a test."""
    if test["comparison"] == "yes_no":
        count = len(test["blocks"])
        return f"yes in {round(test['estimate'] * count)} of {count}"
    if test["comparison"] == "difference":
        return f"{words.figure(test['estimate'])} {test['unit']}"
    return words.ratio(test["estimate"])


def _between(test: t.Mapping[str, t.Any]) -> str:
    """Render the interval of a test; an empty string where there is none."""
    interval = test["interval"]
    if interval is None or test["comparison"] != "difference":
        return words.interval(interval)
    return f"[{words.figure(interval['low'])}, {words.figure(interval['high'])}]"


def _band(band: t.Mapping[str, t.Any]) -> str:
    """Render a published figure: where it leads one to expect ours, and whose it is."""
    unit = f" {band['unit']}" if band["unit"] else "×"
    return f"{band['low']:g} to {band['high']:g}{unit}: {band['published']}. {band['source']}"


def _any_band(rows: t.Sequence[t.Mapping[str, t.Any]]) -> bool:
    """Say whether a published figure is in the pictures of some tests."""
    return any(row["band"] and row["band"]["applies"] for row in rows)


def _p(value: float) -> str:
    """Render a p-value; below what blocks can tell apart, its order is enough."""
    return "below 0.0001" if value < 0.0001 else f"{value:.2g}"


def _row_ranges(ranges: t.Sequence[t.Sequence[int]]) -> str:
    """Render ranges of rows: ``3–5, 20, 22–24``."""
    parts = [
        str(first) if first == last else f"{first}–{last}" for first, last in ranges[:_MOST_RANGES]
    ]
    more = len(ranges) - _MOST_RANGES
    return ", ".join(parts) + (f" and {more} more ranges in report.json" if more > 0 else "")


def _block_rows(test: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the blocks of a test with both sides' figures and what was compared."""
    against = test["against_values"] or [None] * len(test["values"])
    difference = test["comparison"] == "difference"
    return [
        {
            "block": block,
            "value": value,
            "against": other,
            "compared": None
            if other is None
            else words.figure(value - other)
            if difference
            else words.ratio(value / other),
        }
        for block, value, other in list(zip(test["blocks"], test["values"], against, strict=True))[
            :MOST_ROWS
        ]
    ]
