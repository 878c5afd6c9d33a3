# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durations as people write them: ``90s``, ``20m``, ``2h``, ``1h30m``."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?\Z")
MOST_S = 366 * 24 * 3600
_MOST_DIGITS = 8
REMEDY = "give hours, minutes, seconds: 2h, 20m, 1h30m, 90s"


def parse(text: str) -> int:
    """Return a duration in seconds.

    :raises ValueError: it is not a duration, is zero, or is longer than a year; the text says which.
    """
    found = _DURATION.match(text.strip().lower())
    if found is None or not any(found.groups()):
        raise ValueError(f"'{text}' is not a duration")
    if any(len(part or "") > _MOST_DIGITS for part in found.groups()):
        raise ValueError("it is longer than a year")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return checked(hours * 3600 + minutes * 60 + seconds, text)


def checked(seconds: int, text: str) -> int:
    """Return a number of seconds that is a duration; raises as `parse` does."""
    if seconds < 1:
        raise ValueError(f"'{text}' is no time at all")
    if seconds > MOST_S:
        raise ValueError("it is longer than a year")
    return seconds


def write(seconds: float) -> str:
    """Render seconds the same way: ``1h30m``."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def budget(value: str | int | None) -> int | None:
    """Return the seconds of a budget: also a plain number, and None where nothing is said.

    :raises ValueError: as `parse`.
    """
    text = str(value if value is not None else "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return checked(int(text[: _MOST_DIGITS + 1]), text)
    return parse(text)
