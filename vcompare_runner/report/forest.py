# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The picture of a claim: for each test the estimate, its interval, its blocks, and the margin.

A row is a test. The tinted part of it is where the claim holds, a dotted bracket is where published
figures lie. Rows of arms that the claim does not speak of are hollow and have no tint.
"""

from __future__ import annotations

import math
import typing as t

from vcompare_runner.core import words
from vcompare_runner.report import svg

Row = t.Mapping[str, t.Any]

_COLOUR: t.Mapping[str | None, str] = {"holds": svg.BETTER, "fails": svg.WORSE}
# A picture with thousands of points is a smear; the rows of samples.csv have all.
MOST_POINTS = 200
_LABEL_SHARE = 0.3


def pictures(rows: t.Sequence[Row], slug: str) -> list[str]:
    """Draw tests of a claim: their ratios on one axis, their differences on one for each unit.

    :param rows: tests as in ``report.json``; arms that are shown beside get a picture of their own,
        since they would stretch the axis that the margins have to be read from.
    :param slug: prefix of all ids.
    :returns: ``<svg>`` elements; none where no test has an estimate that can be drawn.
    """
    drawn = [row for row in rows if row["estimate"] is not None]
    found = []
    ratios = [row for row in drawn if row["comparison"] in ("ratio", "equivalence")]
    if ratios:
        found.append(_draw(ratios, f"{slug}-ratio", None))
    differences = [row for row in drawn if row["comparison"] == "difference"]
    for number, unit in enumerate(dict.fromkeys(row["unit"] for row in differences)):
        rows_of = [row for row in differences if row["unit"] == unit]
        found.append(_draw(rows_of, f"{slug}-difference-{number}", unit))
    return found


def _draw(rows: t.Sequence[Row], slug: str, unit: str | None) -> str:
    """Draw rows on one axis: of ratios, or of differences in a unit."""
    # Late: matplotlib takes a second to import, and only reports need it.
    from matplotlib.figure import Figure

    topics = {row["topic"] for row in rows}
    below, high = 0.55, 0.5 * len(rows)
    whole = below + high + 0.05
    with svg.settings(slug):
        figure = Figure(figsize=(10.2, whole))
        axes = figure.add_axes((_LABEL_SHARE, below / whole, 0.985 - _LABEL_SHARE, high / whole))
        low, top, logarithmic = _range(rows, ratio=unit is None)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.set_xlim(low, top)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.axvline(1 if unit is None else 0, color=svg.TEXT, linewidth=1.2, zorder=1)
        for position, row in enumerate(rows):
            _draw_row(axes, position, row, (low, top))
        axes.set_yticks(
            range(len(rows)),
            [_label(row, len(topics) > 1) for row in rows],
        )
        if unit is None:
            ticks = svg.ratio_ticks(low, top, logarithmic)
            axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
        # The page reads from the left, so that long labels are cut there, not in the middle.
        for tick in axes.get_yticklabels():
            tick.set_fontsize(9.5)
        svg.tidy(axes, "ratio" if unit is None else f"difference in {unit}")
        return svg.element(figure, slug, "; ".join(_spoken(row) for row in rows))


def _label(row: Row, with_topic: bool) -> str:
    compared = f"{row['arm']} {'−' if row['comparison'] == 'difference' else '/'} "
    compared += row["against"]["arm"]
    if not with_topic:
        return compared
    text = f"{row['topic']}: {compared}"
    return text if len(text) <= 44 else f"{text[: 43 - len(compared)]}…: {compared}"


def _draw_row(axes: t.Any, position: int, row: Row, ends: tuple[float, float]) -> None:
    tested = row["outcome"] is not None
    if tested:
        low, high = _where_it_holds(row, ends)
        axes.fill_between(
            [low, high], position - 0.42, position + 0.42, color=svg.BETTER_SOFT, linewidth=0,
            zorder=0.5,
        )  # fmt: skip
        for bound in _margins(row):
            axes.plot(
                [bound, bound], [position - 0.42, position + 0.42], color=svg.MUTED, linewidth=1,
                linestyle=(0, (3, 2)), zorder=1.5,
            )  # fmt: skip
    _draw_band(axes, position, row)
    points, blocks = _points(row)
    # The blocks lie below the estimate, in the order they ran, so that a trend would be seen as a
    # slope.
    heights = [position + 0.1 + 0.24 * number / max(blocks - 1, 1) for number, _value in points]
    axes.plot(
        [value for _number, value in points], heights, linestyle="none", marker="o", markersize=3.6,
        markeredgewidth=0, color=svg.MUTED, alpha=0.6,
    )  # fmt: skip
    colour = _COLOUR.get(row["outcome"], svg.NEUTRAL if tested else svg.MUTED)
    level = position - 0.1
    if row["interval"]:
        axes.plot(
            (row["interval"]["low"], row["interval"]["high"]), (level, level), color=colour,
            linewidth=2.6 if row["outcome"] in _COLOUR else 1.6, solid_capstyle="butt", zorder=3,
        )  # fmt: skip
    # Filled where it decides; hollow where there is an estimate that decides nothing.
    axes.plot(
        [row["estimate"]], [level], linestyle="none", marker="D", markersize=6.5,
        markerfacecolor=colour if row["outcome"] in _COLOUR else "none", markeredgecolor=colour,
        markeredgewidth=1.4, zorder=4,
    )  # fmt: skip


def _draw_band(axes: t.Any, position: int, row: Row) -> None:
    band = row["band"]
    if band is None or not band["applies"]:
        return
    level = position - 0.32
    axes.plot(
        (band["low"], band["high"]), (level, level), color=svg.WARN, linewidth=1.4,
        linestyle=(0, (1, 1.2)), marker="|", markersize=5, zorder=2,
    )  # fmt: skip


def _margins(row: Row) -> list[float]:
    if row["comparison"] == "equivalence":
        return [1 / row["margin"], row["margin"]]
    return [row["margin"]]


def _where_it_holds(row: Row, ends: tuple[float, float]) -> tuple[float, float]:
    margins = _margins(row)
    if len(margins) == 2:
        return margins[0], margins[1]
    return (margins[0], ends[1]) if row["direction"] == "above" else (ends[0], margins[0])


def _points(row: Row) -> tuple[list[tuple[int, float]], int]:
    """Return (place, value) of the blocks, thinned out evenly, and how many blocks there are."""
    pairs = list(zip(row["values"], row["against_values"], strict=True))
    step = max(1, math.ceil(len(pairs) / MOST_POINTS))
    difference = row["comparison"] == "difference"
    return [
        (number, left - right if difference else left / right)
        for number, (left, right) in enumerate(pairs)
        if number % step == 0
    ], len(pairs)


def _range(rows: t.Sequence[Row], ratio: bool) -> tuple[float, float, bool]:
    """Return the ends of the axis and whether it is logarithmic."""
    seen = [1.0 if ratio else 0.0]
    for row in rows:
        seen.append(row["estimate"])
        seen += [value for _number, value in _points(row)[0]]
        if row["interval"]:
            seen += [row["interval"]["low"], row["interval"]["high"]]
        if row["outcome"] is not None:
            seen += _margins(row)
        if row["band"] and row["band"]["applies"]:
            seen += [row["band"]["low"], row["band"]["high"]]
    if not ratio:
        low, high = min(seen), max(seen)
        margin = 0.06 * (high - low) or 1.0
        return low - margin, high + margin, False
    low, high = math.log(min(seen)), math.log(max(seen))
    # Not narrower than ±2%: noise shall not fill the picture.
    margin = max(0.06 * (high - low), 0.02)
    low, high = math.exp(low - margin), math.exp(high + margin)
    return low, high, high / low > 3


def _spoken(row: Row) -> str:
    value = words.figure(row["estimate"])
    interval = row["interval"]
    between = (
        f", 95% interval {words.figure(interval['low'])} to {words.figure(interval['high'])}"
        if interval
        else ", no interval"
    )
    asked = f", {row['asked']}: {row['outcome']}" if row["outcome"] else ", shown beside"
    return f"{_label(row, with_topic=True)} {value}{between}{asked}"
