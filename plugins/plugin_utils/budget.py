# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A time budget as people write it."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?\Z")


def seconds_of(text: str | int | None) -> int | None:
    """Return the seconds of ``2h``, ``20m``, ``1h30m`` or ``90s``; a plain number is seconds.

    None and an empty text are no budget.

    :raises ValueError: it is no duration, or none that lasts.
    """
    words = str(text if text is not None else "").strip().lower()
    if not words:
        return None
    if words.isascii() and words.isdigit():
        total = int(words)
    else:
        found = _DURATION.match(words)
        if found is None:
            raise ValueError(f"{text!r} is no duration: give 2h, 20m, 1h30m or 90s")
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        total = hours * 3600 + minutes * 60 + seconds
    if total < 1:
        raise ValueError(f"{text!r} is no time at all: give 2h, 20m, 1h30m or 90s")
    return total
