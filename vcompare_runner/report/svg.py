# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What the pictures of a report share: colours, axes, and becoming a part of the page.

An SVG goes into the HTML as it is. So its colours are CSS variables (light and dark follow the
reader), its text is text (it can be read aloud, found and copied), its ids are unique within the
page, and nothing in it depends on the day.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import typing as t

# Matplotlib wants colours; these stand for CSS variables of the page and are replaced afterwards.
_COLOURS = {
    "#010101": "var(--text)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--neutral)",
    "#050505": "var(--better)",
    "#060606": "var(--worse)",
    "#070707": "var(--better-soft)",
    "#080808": "var(--warn)",
}
TEXT, MUTED, LINE, NEUTRAL, BETTER, WORSE, BETTER_SOFT, WARN = _COLOURS
_FONT = "DejaVu Sans"


@contextlib.contextmanager
def settings(slug: str) -> t.Iterator[None]:
    """Make matplotlib draw the same bytes for the same picture."""
    # Late: matplotlib takes a second to import, and only reports need it.
    import matplotlib

    with matplotlib.rc_context(
        {
            "svg.hashsalt": slug,
            "svg.fonttype": "none",
            "font.family": _FONT,
            "font.size": 10,
            "path.simplify": False,
        }
    ):
        yield


def tidy(axes: t.Any, label: str) -> None:
    """Give axes the look of all pictures."""
    axes.minorticks_off()
    axes.grid(axis="x", color=LINE, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, length=0, pad=6)
    axes.tick_params(axis="x", labelcolor=MUTED)
    axes.set_xlabel(label, color=MUTED, fontsize=9, labelpad=6)
    for spine in axes.spines.values():
        spine.set_visible(False)


def element(figure: t.Any, slug: str, label: str) -> str:
    """Render a figure as an ``<svg>`` element of the page.

    :param slug: prefix of all ids.
    :param label: what the picture says, for whoever can't see it.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    return _inline(buffer.getvalue(), slug, label)


def ratio_ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Return where to put numbers on an axis of ratios."""
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
