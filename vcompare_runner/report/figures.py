# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The picture of a scenario: each arm's ratio to bare, its interval, and the blocks behind it."""

from __future__ import annotations

import math
import typing as t

from vcompare_runner.core import words
from vcompare_runner.report import svg

_OF_VERDICT: t.Mapping[str | None, str] = {
    "better": svg.BETTER,
    "worse": svg.WORSE,
    "not distinguished": svg.NEUTRAL,
}


def scenario_svg(
    scenario: t.Mapping[str, t.Any], slug: str, ambiguous: t.Collection[str]
) -> str | None:
    """Draw one scenario of the report.

    :param slug: prefix of all ids.
    :returns: an ``<svg>`` element; ``None`` when no arm has a ratio.
    """
    rows = [entry for entry in scenario["arms"] if entry["ratio"] is not None]
    if not rows:
        return None
    # Late: matplotlib takes a second to import, and only reports need it.
    from matplotlib.figure import Figure

    label = f"{words.title(scenario['scenario'])}: " + "; ".join(_spoken(entry) for entry in rows)
    with svg.settings(slug):
        below, rows_high = 0.52, 0.48 * len(rows)
        figure = Figure(figsize=(10.2, below + rows_high + 0.05))
        axes = figure.add_axes(
            (0.13, below / (below + rows_high + 0.05), 0.85, rows_high / (below + rows_high + 0.05))
        )
        low, high, logarithmic = _range(rows)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.set_xlim(low, high)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.axvline(1, color=svg.TEXT, linewidth=1.2, zorder=1)
        for position, entry in enumerate(rows):
            _draw_arm(axes, position, entry)
        axes.set_yticks(range(len(rows)), [words.arm_label(entry, ambiguous) for entry in rows])
        ticks = svg.ratio_ticks(low, high, logarithmic)
        axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
        svg.tidy(axes, f"ratio to bare, {words.better(scenario['direction'])}")
        return svg.element(figure, slug, label)


def _draw_arm(axes: t.Any, position: int, entry: t.Mapping[str, t.Any]) -> None:
    points = [math.exp(item["log_ratio"]) for item in entry["block_ratios"]]
    # The blocks lie below the estimate, in the order they ran, so that a trend would be seen as a
    # slope.
    steps = max(len(points) - 1, 1)
    heights = [position + 0.14 + 0.2 * number / steps for number in range(len(points))]
    axes.plot(
        points,
        heights,
        linestyle="none",
        marker="o",
        markersize=4,
        markeredgewidth=0,
        color=svg.MUTED,
        alpha=0.55,
    )
    colour = _OF_VERDICT.get(entry["compared"], svg.NEUTRAL)
    if entry["interval"]:
        ends = (entry["interval"]["low"], entry["interval"]["high"])
        axes.plot(
            ends,
            (position - 0.08, position - 0.08),
            color=colour,
            linewidth=2.6,
            solid_capstyle="butt",
            zorder=3,
        )
    # Hollow without an interval: there is an estimate, but nothing to say how sure it is.
    axes.plot(
        [entry["ratio"]],
        [position - 0.08],
        linestyle="none",
        marker="D",
        markersize=6.5,
        markerfacecolor=colour if entry["interval"] else "none",
        markeredgecolor=colour,
        markeredgewidth=1.4,
        zorder=4,
    )


def _range(rows: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[float, float, bool]:
    """Return the ends of the axis, always with 1 in it, and whether it is logarithmic."""
    seen = [1.0]
    for entry in rows:
        seen.append(entry["ratio"])
        seen += [math.exp(item["log_ratio"]) for item in entry["block_ratios"]]
        if entry["interval"]:
            seen += [entry["interval"]["low"], entry["interval"]["high"]]
    low, high = math.log(min(seen)), math.log(max(seen))
    # Not narrower than ±2%: noise shall not fill the picture.
    margin = max(0.06 * (high - low), 0.02)
    low, high = math.exp(low - margin), math.exp(high + margin)
    return low, high, high / low > 3


def _spoken(entry: t.Mapping[str, t.Any]) -> str:
    interval = entry["interval"]
    between = (
        f", 95% interval {words.interval(interval)[1:-1].replace(',', ' to')}"
        if interval
        else ", no interval"
    )
    return f"{entry['arm']} {words.ratio(entry['ratio'])[:-1]} times bare{between}"
