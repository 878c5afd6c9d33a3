# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one shape of an error that a user may meet: what, and what to do next."""

from __future__ import annotations


class VcompareError(Exception):
    """Something could not be done.

    :param message: what was being done and what came back.
    :param remedy: what the user can do next, one sentence; empty when unknown.
    :param evidence: what was seen, e.g. the last lines of a console.
    """

    def __init__(self, message: str, remedy: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.evidence = evidence

    @property
    def text(self) -> str:
        """Message and remedy, as sentences that follow each other."""
        if not self.remedy:
            return self.message
        end = "" if self.message.rstrip().endswith((".", "!", "?", ":")) else "."
        return f"{self.message.rstrip()}{end} {self.remedy}"

    def as_result(self) -> dict[str, str]:
        """The arguments of ``fail_json``."""
        return {"msg": self.text, "remedy": self.remedy, "evidence": self.evidence}


class BackendError(VcompareError):
    """An arm could not do what was asked."""


class NotPossible(BackendError):
    """This technology has no such thing, or not on this host; the text says what is missing."""
