# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why something does not count: codes that decisions are made on, and a sentence with its code."""

from __future__ import annotations

# A gate excluded the data; the detail is the gate's name.
GATE = "gate"
# The record is not as it was written.
RECORD = "record"
# The arm was refused, or did not prove what it is.
REFUSED = "refused"
UNPROVEN = "unproven"
# A measurement failed; the detail is what went wrong, without the status.
FAILED = "failed"
# A value that no machine can have.
IMPOSSIBLE_VALUE = "impossible-value"
MISSING_VALUE = "missing-value"
OTHER_RUN = "other-run"
UNFINISHED_BLOCK = "unfinished-block"
UNNAMED_ARM = "unnamed-arm"
DUPLICATE_SAMPLE = "duplicate-sample"


class Reason(str):
    """A sentence for readers, with the code that decisions are made on; empty where all is well.

    :param code: one of this module's.
    :param detail: what the code is about, where that counts.
    """

    __slots__ = ("code", "detail")
    code: str
    detail: str

    def __new__(cls, code: str, text: str, detail: str = "") -> Reason:
        """Make a reason of a code and its sentence."""
        self = super().__new__(cls, text)
        self.code, self.detail = code, detail
        return self

    def within(self, text: str) -> Reason:
        """Return the same reason with another sentence."""
        return Reason(self.code, text, self.detail)


NONE = Reason("", "")
