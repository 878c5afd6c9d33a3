# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Files of JSON lines, and what becomes of a line whose writer was ended in the middle of it."""

from __future__ import annotations

import pydantic_core

BROKEN_REMEDY = "restore the file from a copy of the bundle, or measure again"


def is_cut_off(line: bytes) -> bool:
    """Say whether a line is the beginning of a JSON object and nothing else.

    Such a line is left over when a run is interrupted (it need not be the last one: a resumed run
    appends after it). Anything else that is not JSON means that the record can't be trusted.
    """
    if not line.startswith(b"{"):
        return False
    try:
        pydantic_core.from_json(line)
        return False
    except ValueError as error:
        # The parser ran out of text: what is there is fine as far as it goes.
        return str(error).startswith("EOF while parsing")


def cut_off_text(name: str, number: int) -> str:
    """Words for the reader of a report about a line that was cut off."""
    return (
        f"{name}, line {number}, was cut off while it was being written (the run was interrupted "
        "then); it was left out"
    )
