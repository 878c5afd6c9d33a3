# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The tables of ``vcompare calibrate``. They fit 80 columns."""

from __future__ import annotations

import typing as t

from vcompare_runner.calibrate import disk, stopping, study
from vcompare_runner.calibrate.cases import CASES
from vcompare_runner.calibrate.study import Figure
from vcompare_runner.run.terminal import say, show_table


def show(figures: t.Sequence[Figure], files: t.Sequence[disk.DiskFigure], seed: int) -> None:
    """Print the tables of a calibration."""
    names = list(dict.fromkeys(figure.case for figure in figures))
    for name in names:
        say(f"{name}: {CASES[name].text}")
    by_place = {(figure.kind, figure.case, figure.pairs): figure for figure in figures}
    repeats = {figure.kind: figure.repeats for figure in figures}
    least, most = study.COVERAGE
    say()
    _matrix(
        f"Coverage of the 95% interval in %, {repeats['coverage']:,} samples each, by paired "
        f"blocks (bounds {least:.0%} to {most:.0%}; * outside)",
        "coverage",
        names,
        study.PAIRS,
        by_place,
    )
    _matrix(
        f"Reports with a wrong verdict in %, {study.TESTS} tests on true nulls each, "
        f"{repeats['wrong']:,} reports, by paired blocks (at most {study.WRONG_AT_MOST:.0%}; in "
        "brackets without Holm's correction)",
        "wrong",
        names,
        study.REPORT_PAIRS,
        by_place,
    )
    show_table(
        ["case", "blocks", *(f"{effect:.0%} in {spread:.0%}" for effect, spread in study.PLANTED)],
        [
            [name, str(pairs), *(_shown(figures, name, pairs, *what) for what in study.PLANTED)]
            for name in names
            for pairs in study.POWER_PAIRS
        ],
        f"Planted effects among {study.TESTS} tests, {repeats['power']:,} samples each: effect in "
        "spread, how often shown / the power that reports state, in % (within "
        f"{100 * study.POWER_WITHIN:.0f} points; * outside)",
    )
    say()
    _show_stopped([figure for figure in figures if figure.kind.startswith("stopped")])
    show_table(
        ["case", "bundles", "intervals", "differ", "hold the truth"],
        [
            [
                figure.case,
                str(figure.bundles),
                str(figure.intervals),
                f"{figure.differ}{'' if figure.holds else ' *'}",
                f"{figure.held:.1%}",
            ]
            for figure in files
        ],
        f"Through bundles on disk, {disk.BLOCKS} blocks: intervals that are not those of the drawn "
        "values",
    )
    say()
    say(f"seed {seed}; the same seed gives the same figures")


def _show_stopped(figures: t.Sequence[Figure]) -> None:
    if not figures:
        return
    show_table(
        ["case", "blocks, mean", "coverage", "wrong reports"],
        [
            [covered.case, str(covered.pairs), cell(covered), cell(wrong)]
            for covered, wrong in zip(figures[::2], figures[1::2], strict=True)
        ],
        f"Runs of {study.TESTS} tests that stop when all half-widths are under "
        f"{stopping.ENOUGH:.3f}, or after {stopping.BLOCKS_AT_MOST} blocks, "
        f"{figures[0].repeats:,} runs, in % (* outside)",
    )
    say()


def _matrix(
    title: str,
    kind: str,
    names: t.Sequence[str],
    pairs: t.Sequence[int],
    figures: t.Mapping[tuple[str, str, int], Figure],
) -> None:
    rows = [[name, *(cell(figures[kind, name, count]) for count in pairs)] for name in names]
    show_table(["case", *map(str, pairs)], rows, title)
    say()


def cell(figure: Figure) -> str:
    """Render a figure in %, marked when it is outside of its bounds."""
    text = f"{100 * figure.measured:.1f}"
    if figure.uncorrected is not None:
        text += f" ({100 * figure.uncorrected:.0f})"
    return text + _mark(figure)


def _mark(figure: Figure) -> str:
    if figure.within:
        return ""
    return " ~" if figure.holds else " *"


def _shown(figures: t.Sequence[Figure], name: str, pairs: int, effect: float, spread: float) -> str:
    wanted = ("power", name, pairs, effect, spread)
    figure = next(
        figure
        for figure in figures
        if (figure.kind, figure.case, figure.pairs, figure.effect, figure.spread) == wanted
    )
    stated = "–" if figure.stated is None else f"{100 * figure.stated:.0f}"
    return f"{100 * figure.measured:.0f} / {stated}{_mark(figure)}"


def describe(figure: Figure) -> str:
    """Say what was measured, and between which bounds it has to be."""
    low, high = figure.bounds
    what = {
        "coverage": "coverage",
        "wrong": "reports with a wrong verdict",
        "stopped-coverage": "coverage after stopping",
        "stopped-wrong": "stopped reports with a wrong verdict",
        "power": f"{figure.effect:.0%} in a spread of {figure.spread:.0%} shown",
    }[figure.kind]
    return (
        f"{figure.case}, {figure.pairs} blocks: {what} {figure.measured:.1%} ± {figure.error:.1%}, "
        f"bounds {low:.1%} to {high:.1%}"
    )
