# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Paths and files that a user names: checked in one way, before they are used."""

from __future__ import annotations

import stat
from pathlib import Path

from vcompare_runner.errors import UsageError

# Larger than any catalogue or lock that makes sense.
_MOST_BYTES = 64 * 1024 * 1024


def expanded(option: str, path: Path) -> Path:
    """Return an absolute path, with a user's home in place of ``~``.

    :param option: where it was given, for messages.
    :raises UsageError: there is no such user.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise UsageError(
            f"{option}: {path}: there is no user of that name", "give the full path"
        ) from None


def require_file(option: str, path: Path) -> Path:
    """Return the path of a file that can be read to its end.

    :raises UsageError: it is missing, is not a regular file (a pipe or device may never end), or is too large.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{option}: {path} can't be read: {why}", "name a file") from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{option}: {path} is not a regular file", "name a file")
    if found.st_size > _MOST_BYTES:
        raise UsageError(
            f"{option}: {path} has {found.st_size >> 20} MiB, and {_MOST_BYTES >> 20} MiB are the most",
            "name another file",
        )
    return path
