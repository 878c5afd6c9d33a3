# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Errors that are meant for the user: what happened, and what to do next.

Never shown as a traceback.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3
EXIT_INTERRUPTED = 130


class VcompareError(Exception):
    """Something could not be done.

    :param message: what was being done and what came back.
    :param remedy: what the user can do next; empty when unknown.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageError(VcompareError):
    """The input is wrong; nothing was made."""

    exit_code = EXIT_USAGE


class BundleError(VcompareError):
    """A bundle is missing or broken: wrong input of whoever wants it reported."""

    exit_code = EXIT_USAGE


class PlaybookError(VcompareError):
    """A playbook could not be run or did not succeed."""
