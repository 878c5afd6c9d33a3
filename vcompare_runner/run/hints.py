# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What to do about failures of Ansible's own, whose messages don't say it.

Ansible has no codes for these. Nothing is decided here: a hint that does not come changes no result.
"""

from __future__ import annotations

import re
import typing as t

from vcompare_runner.run.environment import ASK_REMEDY

_HINTS: t.Sequence[tuple[re.Pattern[str], str]] = (
    (
        re.compile(
            r"(missing|incorrect) \S+ password|a password is required|become password|permission denied \(.*password"
            r"|no vault secrets|decryption failed",
            re.IGNORECASE,
        ),
        ASK_REMEDY,
    ),
    (
        re.compile(r"host key verification failed", re.IGNORECASE),
        "nothing is asked for here: connect to the host once with ssh, compare its key, and accept it; "
        "or put its key into known_hosts",
    ),
)


def hints(texts: t.Iterable[str]) -> list[str]:
    """Return the hints for what failed, each once."""
    said = "\n".join(texts)
    return [hint for pattern, hint in _HINTS if pattern.search(said)]
