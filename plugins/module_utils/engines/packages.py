# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Debian packages a host has. apt's own Python cache takes many seconds to open on a slow host; this doesn't."""

from __future__ import annotations

import subprocess
import typing as t


def versions(names: t.Sequence[str]) -> dict[str, str]:
    """Version of each of these packages that is installed."""
    if not names:
        return {}
    done = subprocess.run(
        [
            "dpkg-query",
            "--show",
            "--showformat=${Package}\t${db:Status-Status}\t${Version}\n",
            *names,
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"}


def missing(names: t.Sequence[str]) -> list[str]:
    """Which of these packages are not installed."""
    there = versions(names)
    return [name for name in names if name not in there]
