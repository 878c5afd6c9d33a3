# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The picture of a scenario: each arm's ratio to bare, its interval, and the blocks behind it.

The SVG goes into the HTML as it is. So its colours are CSS variables (light and dark follow the
reader), its text is text (it can be read aloud, found and copied), its ids are unique within the
page, and nothing in it depends on the day.
"""

from __future__ import annotations

import io
import math
import re
import typing as t

from vcompare_runner.report import words

# Matplotlib wants colours; these stand for CSS variables of the page and are replaced afterwards.
_COLOURS = {
    "#010101": "var(--text)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--neutral)",
    "#050505": "var(--better)",
    "#060606": "var(--worse)",
}
_TEXT, _MUTED, _LINE, _NEUTRAL, _BETTER, _WORSE = _COLOURS
_OF_VERDICT: t.Mapping[str | None, str] = {
    "better": _BETTER,
    "worse": _WORSE,
    "not distinguished": _NEUTRAL,
}
_FONT = "DejaVu Sans"


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
    import matplotlib
    from matplotlib.figure import Figure

    settings = {
        "svg.hashsalt": slug,
        "svg.fonttype": "none",
        "font.family": _FONT,
        "font.size": 10,
        "path.simplify": False,
    }
    with matplotlib.rc_context(settings):
        below, rows_high = 0.52, 0.48 * len(rows)
        figure = Figure(figsize=(10.2, below + rows_high + 0.05))
        axes = figure.add_axes(
            (0.13, below / (below + rows_high + 0.05), 0.85, rows_high / (below + rows_high + 0.05))
        )
        low, high, logarithmic = _range(rows)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.set_xlim(low, high)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.axvline(1, color=_TEXT, linewidth=1.2, zorder=1)
        for position, entry in enumerate(rows):
            _draw_arm(axes, position, entry)
        axes.set_yticks(range(len(rows)), [words.arm_label(entry, ambiguous) for entry in rows])
        ticks = _ticks(low, high, logarithmic)
        axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
        axes.minorticks_off()
        axes.grid(axis="x", color=_LINE, linewidth=0.8, zorder=0)
        axes.set_axisbelow(True)
        axes.tick_params(colors=_TEXT, length=0, pad=6)
        axes.tick_params(axis="x", labelcolor=_MUTED)
        axes.set_xlabel(
            f"ratio to bare, {words.better(scenario['direction'])}",
            color=_MUTED,
            fontsize=9,
            labelpad=6,
        )
        for spine in axes.spines.values():
            spine.set_visible(False)
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    label = f"{words.title(scenario['scenario'])}: " + "; ".join(_spoken(entry) for entry in rows)
    return _inline(buffer.getvalue(), slug, label)


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
        color=_MUTED,
        alpha=0.55,
    )
    colour = _OF_VERDICT.get(entry["compared"], _NEUTRAL)
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


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        steps: tuple[float, ...] = (1.0,)
        if high / low < 6:
            steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        elif high / low < 200:
            steps = (1.0, 2.0, 5.0)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [
            tick
            for power in powers
            for step in steps
            if low <= (tick := round(step * 10.0**power, 12)) <= high
        ]
    step = next(
        step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if (high - low) / step <= 8
    )
    first = math.ceil(low / step)
    return [round(number * step, 6) for number in range(first, math.floor(high / step) + 1)]


def _spoken(entry: t.Mapping[str, t.Any]) -> str:
    interval = entry["interval"]
    between = (
        f", 95% interval {words.interval(interval)[1:-1].replace(',', ' to')}"
        if interval
        else ", no interval"
    )
    return f"{entry['arm']} {words.ratio(entry['ratio'])[:-1]} times bare{between}"


def _inline(svg: str, slug: str, label: str) -> str:
    """Make matplotlib's file an element of our page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{slug}-', svg)
    svg = re.sub(r'href="#', f'href="#{slug}-', svg)
    svg = re.sub(r"url\(#", f"url(#{slug}-", svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"font: ([\d.]+)px '[^;\"]*'", r"font: \1px var(--font)", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*(?=[;\"])", r"font: \1px var(--font)", svg)
    box = re.search(r'viewBox="([^"]+)"', svg)
    head = svg.index(">") + 1
    view_box = box.group(1) if box else ""
    opening = f'<svg class="plot" viewBox="{view_box}" role="img" aria-label="{_attribute(label)}">'
    return opening + svg[head:].strip()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
