# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``index.html``: the report as one page that needs neither network nor JavaScript."""

from __future__ import annotations

from vcompare_runner.report import forest, view
from vcompare_runner.report.figures import scenario_svg
from vcompare_runner.report.model import Report


def render(report: Report) -> str:
    """Render the report as one HTML file."""
    context = view.context(report)
    pictures = [
        scenario_svg(scenario, slug, context["ambiguous"])
        for scenario, slug in zip(report["scenarios"], context["slugs"], strict=True)
    ]
    claim_pictures = {
        claim["id"]: {
            "tests": forest.pictures(claim["tests"], f"forest-{claim['id']}"),
            "beside": forest.pictures(claim["figures"], f"beside-{claim['id']}"),
        }
        for claim in context["judged"]
    }
    return (
        view.environment(autoescape=True)
        .get_template("index.html.j2")
        .render(context, pictures=pictures, claim_pictures=claim_pictures)
    )
