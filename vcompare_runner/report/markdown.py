# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``report.md``: the report as text, for a merge request, a wiki, or a terminal."""

from __future__ import annotations

import typing as t

from vcompare_runner.core import words
from vcompare_runner.core.escape import visible
from vcompare_runner.report import view
from vcompare_runner.report.model import Report


def render(report: Report) -> str:
    """Render the report as GitHub-flavoured Markdown."""
    page = view.environment(autoescape=False)
    page.filters["cell"] = cell
    # Inside a fence nothing is acted on, but what ends it: a line of its own.
    page.filters["code"] = lambda value: visible(" ".join(str(value).split()))
    return page.get_template("report.md.j2").render(view.context(report)).rstrip() + "\n"


def cell(value: t.Any) -> str:
    """Make a text fit into one cell, with nothing in it that Markdown or HTML would act on."""
    text = words.NO_VALUE if value is None or value == "" else str(value)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return visible(" ".join(text.split()))
