# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was seen, kept word for word under the hash of its bytes."""

from __future__ import annotations

import hashlib
import shlex
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result


class Evidence:
    """A set of texts by their sha256."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def keep(self, text: str) -> str:
        """Keep a text; return its key, the sha256 of its UTF-8 bytes in hexadecimal."""
        # Lone surrogates (undecodable bytes) can't be written as UTF-8, nor sent as JSON.
        clean = text.encode("utf-8", errors="backslashreplace").decode("utf-8")
        key = sha256(clean)
        self.texts[key] = clean
        return key

    def keep_result(self, argv: t.Sequence[str], result: Result) -> str:
        """Keep a command with all that it printed."""
        return self.keep(
            f"$ {shlex.join(argv)}\n"
            f"rc: {result.rc}\n"
            f"host_elapsed_s: {result.host_elapsed_s!r}\n"
            f"guest_elapsed_s: {result.guest_elapsed_s!r}\n"
            f"--- standard output\n{result.stdout}\n"
            f"--- standard error\n{result.stderr}\n"
        )


def sha256(text: str) -> str:
    """The key of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
