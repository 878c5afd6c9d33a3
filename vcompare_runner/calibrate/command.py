# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The command ``vcompare calibrate``: what it prints, and its exit code."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing as t
from pathlib import Path

from vcompare_runner._contract.arms import BARE, PLANTED
from vcompare_runner.analysis.statistics.inference import LEVEL
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.calibrate import disk, planted, procedures, real, stopping, study
from vcompare_runner.calibrate.cases import CASES
from vcompare_runner.calibrate.progress import run_steps
from vcompare_runner.calibrate.show import cell, describe, show
from vcompare_runner.calibrate.study import Figure
from vcompare_runner.core.edges import replacing, require_whole, require_writable
from vcompare_runner.core.errors import EXIT_FAILED, EXIT_OK, UsageError
from vcompare_runner.core.names import did_you_mean
from vcompare_runner.run.home import find_bundle, find_home
from vcompare_runner.run.terminal import say, show_table, warn

_LEAST_REPEATS = 100
# The samples of one kind of noise are drawn at once: these take some GiB.
_MOST_REPEATS = 1_000_000
_PROCEDURE_REPEATS = 1000
# Each is a report of 20 tests, looked at after every block.
_STOPPED_REPEATS = 1000


def calibrate(
    cases: t.Sequence[str] | None,
    repeats: int,
    seed: int,
    bundles: int,
    json_file: Path | None,
    bundle: str | None,
    with_procedures: bool,
) -> int:
    """Calibrate on synthetic noise, or check a real run of bare against itself.

    :param cases: names of ``CASES``, comma-separated or repeated; ``None``: all.
    :returns: exit code; 1 when a bound is missed.
    :raises UsageError: a case is not known, there are too few repeats, the options don't fit, or
        there is no folder for the file.
    """
    if json_file is not None:
        json_file = require_writable("--json", json_file)
    if bundle is not None:
        if cases is not None or with_procedures:
            raise UsageError(
                "--bundle checks a real run; --cases and --procedures are for synthetic noise",
                "call it twice",
            )
        return _check_bundle(bundle, json_file)
    names = _names(cases)
    if repeats < _LEAST_REPEATS:
        raise UsageError(
            f"--repeats: {repeats} can't tell 93% from 97%",
            f"take 20,000, or for a quick look 1,000; the least is {_LEAST_REPEATS}",
        )
    require_whole("--repeats", repeats, _LEAST_REPEATS, _MOST_REPEATS)
    require_whole("--seed", seed, 0)
    require_whole("--on-disk", bundles, 1, _MOST_REPEATS)
    if repeats < study.STRICT_FROM:
        warn(
            f"calibrate: with fewer than {study.STRICT_FROM:,} repeats, a figure that chance can "
            "explain is not counted as missed (marked ~)"
        )
    return _measure(names, repeats, seed, bundles, json_file, with_procedures)


def _names(cases: t.Sequence[str] | None) -> list[str]:
    given = [name.strip() for text in cases or () for name in text.split(",") if name.strip()]
    for name in given:
        if name not in CASES:
            raise UsageError(
                f"--cases: there is no case {name}",
                " ".join(
                    filter(None, (did_you_mean(name, CASES), f"there are {', '.join(CASES)}"))
                ),
            )
    return list(dict.fromkeys(given)) or list(CASES)


def _measure(
    names: t.Sequence[str],
    repeats: int,
    seed: int,
    bundles: int,
    json_file: Path | None,
    with_procedures: bool,
) -> int:
    work = study.steps(names, repeats, seed)
    for name in names:
        fewer = min(repeats, _STOPPED_REPEATS)
        stop = functools.partial(stopping.stopped, CASES[name], fewer, seed)
        work.append((f"{name}: runs that stop when they have enough", stop))
    figures = run_steps(work)
    files = run_steps(
        [(f"{name}: bundles on disk", _disk_step(name, bundles, seed)) for name in names]
    )
    show(figures, files, seed)
    document: dict[str, t.Any] = {
        "schema": 1,
        "seed": seed,
        "repeats": repeats,
        "level": LEVEL,
        "tests_in_a_report": study.TESTS,
        "spread": study.SPREAD,
        "figures": [dataclasses.asdict(figure) | {"holds": figure.holds} for figure in figures],
        "bundles": [dataclasses.asdict(figure) | {"holds": figure.holds} for figure in files],
    }
    if with_procedures:
        document["procedures"] = _procedures(names, min(repeats, _PROCEDURE_REPEATS), seed)
    missed = [describe(figure) for figure in figures if not figure.holds]
    missed += [
        f"{figure.case}: {figure.differ} of {figure.intervals} intervals from bundles on disk differ"
        for figure in files
        if not figure.holds
    ]
    document["missed"] = missed
    _write(json_file, document)
    say()
    if missed:
        for words in missed:
            say(f"MISSED: {words}")
        return EXIT_FAILED
    chance = sum(not figure.within for figure in figures)
    say(
        f"all {len(figures) + len(files)} figures are within their bounds"
        + (f", but for {chance} that chance explains (~)" if chance else "")
    )
    return EXIT_OK


def _disk_step(name: str, bundles: int, seed: int) -> t.Callable[[], list[disk.DiskFigure]]:
    return lambda: [disk.through_files(CASES[name], bundles, seed)]


def _procedures(names: t.Sequence[str], repeats: int, seed: int) -> list[dict[str, t.Any]]:
    measured = run_steps(
        [
            (
                f"{name}: other intervals, {pairs} blocks",
                functools.partial(_procedure_step, name, pairs, repeats, seed),
            )
            for name in names
            for pairs in procedures.PROCEDURE_PAIRS
        ]
    )
    by_name = {
        (procedure, figure.case, figure.pairs): figure
        for figures in measured
        for procedure, figure in figures.items()
    }
    say()
    show_table(
        ["interval", "case", *map(str, procedures.PROCEDURE_PAIRS)],
        [
            [
                procedure,
                name,
                *(cell(by_name[procedure, name, pairs]) for pairs in procedures.PROCEDURE_PAIRS),
            ]
            for procedure in procedures.PROCEDURES
            for name in names
        ],
        f"Coverage of other 95% intervals in %, {repeats:,} samples each, by paired blocks (for "
        "comparison; * outside the bounds)",
    )
    return [
        {"procedure": procedure} | dataclasses.asdict(figure)
        for (procedure, _case, _pairs), figure in by_name.items()
    ]


def _procedure_step(name: str, pairs: int, repeats: int, seed: int) -> list[dict[str, Figure]]:
    return [procedures.measure_procedures(name, pairs, repeats, seed)]


def _check_bundle(name: str, json_file: Path | None) -> int:
    """Check a real run: bare against itself shows no difference, and what was planted is found."""
    bundle = load_bundle(find_bundle(find_home(), name))
    result = real.compare_same(bundle)
    show_table(
        ["scenario", "host", "blocks", "ratio", "95% interval", "p", "p, Holm", "3/10/30% shown"],
        [_row(test) for test in result.tests],
        f"{real.AGAIN} against bare, run {result.run}",
    )
    say()
    for text in result.skipped:
        say(f"not tested: {text}")
    fewest = min(len(test.comparison.blocks) for test in result.tests)
    if fewest < real.BLOCKS_WANTED:
        say(f"only {fewest} blocks: little would have been found; {real.BLOCKS_WANTED} are wanted")
    outside = sum(
        test.comparison.interval is not None and test.comparison.interval.excludes(1.0)
        for test in result.tests
    )
    say(
        f"{outside} of {len(result.tests)} uncorrected 95% intervals exclude 1 "
        f"(by chance about {(1 - LEVEL) * len(result.tests):.1f})"
    )
    shown = [test for test in result.tests if test.shows_difference]
    for test in shown:
        say(f"WRONG: {test.scenario}/{test.metric} on {test.host} shows a difference from itself")
    if not shown:
        say("no verdict of difference, as it has to be")
    effects, found = _check_planted(bundle)
    _write(
        json_file, _document(result) | {"planted": [dataclasses.asdict(each) for each in effects]}
    )
    return EXIT_OK if found and not shown else EXIT_FAILED


def _check_planted(bundle: Bundle) -> tuple[tuple[planted.Effect, ...], bool]:
    """Say what the run finds of what was planted in it; return that, and whether it is all and right."""
    effects, skipped = planted.find_planted(bundle)
    if effects:
        say()
        show_table(
            ["scenario", "host", "blocks", "planted", "found", "95% interval"],
            [
                [
                    f"{each.scenario}/{each.metric}",
                    each.host,
                    str(each.blocks),
                    f"{each.planted} ({each.unit})",
                    f"{each.found:.4f}",
                    f"{each.low:.4f} to {each.high:.4f}",
                ]
                for each in effects
            ],
            f"{PLANTED} against {BARE}: effects of known size",
        )
        say()
    for text in skipped:
        say(f"not looked at: {text}")
    for each in effects:
        where = f"{each.scenario}/{each.metric} on {each.host}"
        if not each.right:
            say(f"WRONG: {where}: {each.planted} was planted and lies outside of the interval")
        elif not each.shown:
            say(f"NOT FOUND: {where}: its interval reaches {each.null:g}; more --blocks narrow it")
        else:
            say(f"found: {where}: the interval reaches {each.planted}, and not {each.null:g}")
    return effects, not skipped and all(each.shown and each.right for each in effects)


def _row(test: real.SameArm) -> list[str]:
    comparison = test.comparison
    interval = comparison.interval
    return [
        f"{test.scenario}/{test.metric}" + (f" ({test.variant})" if test.variant else ""),
        test.host,
        str(len(comparison.blocks)),
        f"{comparison.ratio:.4f}" if comparison.ratio is not None else "–",
        f"{interval.low:.4f} to {interval.high:.4f}" if interval else "–",
        f"{test.p:.3f}",
        f"{test.p_adjusted:.3f}",
        " / ".join(f"{figure:.0%}" for figure in test.power.values()),
    ]


def _document(result: real.SameArms) -> dict[str, t.Any]:
    return {
        "schema": 1,
        "run": result.run,
        "holds": result.holds,
        "skipped": list(result.skipped),
        "tests": [
            {
                "scenario": test.scenario,
                "metric": test.metric,
                "variant": test.variant,
                "host": test.host,
                "blocks": list(test.comparison.blocks),
                "ratio": test.comparison.ratio,
                "interval": dataclasses.asdict(test.comparison.interval)
                if test.comparison.interval
                else None,
                "p": test.p,
                "p_adjusted": test.p_adjusted,
                "power": {str(effect): figure for effect, figure in test.power.items()},
                "shows_difference": test.shows_difference,
            }
            for test in result.tests
        ],
    }


def _write(path: Path | None, document: dict[str, t.Any]) -> None:
    if path is None:
        return
    with replacing(path, "make room there, or name another file with --json") as file:
        file.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
