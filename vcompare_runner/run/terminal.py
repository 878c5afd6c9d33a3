# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Tables and messages: with rich on a terminal, as plain text everywhere else."""

from __future__ import annotations

import sys
import typing as t

import rich.box
import rich.console
import rich.table
import rich.text

from vcompare_runner.core.errors import VcompareError
from vcompare_runner.core.escape import visible
from vcompare_runner.run.progress import wants_plain


def say(text: str = "") -> None:
    """Print a line to standard output."""
    print(visible(text), flush=True)


def warn(text: str) -> None:
    """Print a line to standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def show_error(error: VcompareError) -> None:
    """Print an error and its remedy to standard error."""
    warn(f"vcompare: error: {error.message}")
    if error.remedy:
        warn(f"  remedy: {error.remedy}")


def show_table(header: t.Sequence[str], rows: t.Sequence[t.Sequence[str]], title: str = "") -> None:
    """Print a table to standard output."""
    if wants_plain(sys.stdout):
        for line in plain_table(header, rows, title):
            say(line)
        return
    table = rich.table.Table(
        title=title or None, title_justify="left", box=rich.box.SIMPLE_HEAD, title_style="bold"
    )
    for heading in header:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(rich.text.Text(visible(cell)) for cell in row))
    rich.console.Console(file=sys.stdout, highlight=False).print(table)


def plain_table(
    header: t.Sequence[str], rows: t.Sequence[t.Sequence[str]], title: str = ""
) -> list[str]:
    """Lay out a table with spaces."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [title] if title else []
    for row in (header, *rows):
        lines.append(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return lines
