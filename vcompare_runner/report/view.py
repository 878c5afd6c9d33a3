# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the templates share: the environment, and the report arranged for reading."""

from __future__ import annotations

import re
import typing as t

import jinja2

from vcompare_runner.names import BARE
from vcompare_runner.report import words
from vcompare_runner.report.model import Report


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
    )
    return made


def context(report: Report) -> dict[str, t.Any]:
    """Arrange the report: what the templates need beside the report itself."""
    ambiguous = _ambiguous(report)
    columns = _columns(report)
    return {
        "report": report,
        "words": words,
        "ambiguous": ambiguous,
        "columns": columns,
        "headline": [_row(scenario, columns) for scenario in report["scenarios"]],
        "slugs": _slugs(report["scenarios"]),
        "statement": words.substrate_statement(report["substrate"]),
        "variants": len({scenario["variant"] for scenario in report["scenarios"]}) > 1,
    }


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
