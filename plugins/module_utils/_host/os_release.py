# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a system says of itself; see os-release(5)."""

from __future__ import annotations

import os
import shlex
import typing as t

PATHS = ("/etc/os-release", "/usr/lib/os-release")


def parse(text: str) -> dict[str, str]:
    """Return the fields by their names, without the quotes of the shell; a broken line is left out."""
    found = {}
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if not sign or name.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        found[name] = " ".join(words)
    return found


def read(paths: t.Sequence[str] = PATHS) -> dict[str, str]:
    """Return the fields of the first file that is there; empty without any."""
    for path in paths:
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                return parse(file.read())
    return {}
