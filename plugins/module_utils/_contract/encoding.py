# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one form of a value that is hashed: JSON with sorted keys, no blanks, UTF-8."""

from __future__ import annotations

import hashlib
import json
import typing as t


def canonical(value: t.Any) -> bytes:
    """Return a value as canonical JSON.

    :raises ValueError: it has NaN or infinity in it.
    """
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    return text.encode("utf-8")


def digest(value: t.Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()
