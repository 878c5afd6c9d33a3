# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Text of others (run ids, arms, reasons, names of folders) for a terminal: shown, never interpreted."""

from __future__ import annotations

import re

# What a terminal acts on (C0 without tab and line feed, DEL, C1), what changes the direction of
# text, and half characters that no encoding has.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return a text with what a terminal would act on as escape sequences of Python (``\\x1b``)."""
    return _ACTIVE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
