# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Progress of a calibration: a bar on a terminal, a line for each kind of noise everywhere else."""

from __future__ import annotations

import sys
import time
import typing as t

import rich.console
import rich.progress

from vcompare_runner.run.progress import duration, wants_plain
from vcompare_runner.run.terminal import warn

T = t.TypeVar("T")


def run_steps(steps: t.Sequence[tuple[str, t.Callable[[], list[T]]]]) -> list[T]:
    """Do all steps, and return what they measured.

    :param steps: (name, work); the name's beginning, up to a colon, is the group that it belongs
        to.
    """
    results: list[T] = []
    if wants_plain(sys.stderr):
        begin = time.monotonic()
        group = ""
        for number, (name, work) in enumerate(steps):
            if (new := name.partition(":")[0]) != group:
                group = new
                warn(
                    f"calibrate: {group} ({number} of {len(steps)} steps done, "
                    f"{duration(time.monotonic() - begin)})"
                )
            results += work()
        warn(f"calibrate: done in {duration(time.monotonic() - begin)}")
        return results
    columns = (
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
    )
    console = rich.console.Console(file=sys.stderr, highlight=False)
    with rich.progress.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=len(steps))
        for name, work in steps:
            shown.update(task, description=name)
            results += work()
            shown.advance(task)
    return results
