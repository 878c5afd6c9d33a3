# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Durations as people write them: ``90s``, ``20m``, ``2h``, ``1h30m``."""

from __future__ import annotations

import re

from vcompare_runner.edges import require_whole
from vcompare_runner.errors import UsageError

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_MOST_SECONDS = 366 * 24 * 3600
_MOST_DIGITS = 8
REMEDY = "give hours, minutes, seconds: 2h, 20m, 1h30m, 90s"


def parse_duration(option: str, text: str) -> int:
    """Return a duration in seconds.

    :param option: whose value it is, for the message.
    :raises UsageError: it is no duration, or none at all.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        raise UsageError(f"{option}: '{text}' is no duration", REMEDY)
    if any(len(part or "") > _MOST_DIGITS for part in found.groups()):
        raise UsageError(f"{option}: it is longer than a year", REMEDY)
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total < 1:
        raise UsageError(f"{option}: {text} is no time at all", REMEDY)
    return require_whole(option, total, 1, _MOST_SECONDS)


def write_duration(seconds: float) -> str:
    """Render seconds the same way: ``1h30m``."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
