# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives in cpio's "newc" format, which Linux unpacks from an initrd.

Several archives may stand one after another in an initrd, each at a multiple of four bytes, the
first of them compressed or not (Documentation/driver-api/early-userspace/buffer-format.rst in
Linux).
"""

from __future__ import annotations

import stat
import typing as t


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (
        number,
        mode,
        0,
        0,
        2 if stat.S_ISDIR(mode) else 1,
        0,
        len(data),
        0,
        0,
        0,
        0,
        len(encoded),
        0,
    )
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return pad(head) + pad(data)


def pad(data: bytes) -> bytes:
    """Fill up with NUL bytes to a multiple of four."""
    return data + b"\0" * (-len(data) % 4)


def archive(folder: str, files: t.Mapping[str, bytes]) -> bytes:
    """Return an archive with one folder (0700) and its files (0600), all root's, at time 0.

    :param files: contents by name; a name has no slash.
    """
    entries = [_entry(1, folder, stat.S_IFDIR | 0o700, b"")]
    for number, name in enumerate(sorted(files), start=2):
        if "/" in name or not name:
            raise ValueError(f"{name!r} is not a plain file name")
        entries.append(_entry(number, f"{folder}/{name}", stat.S_IFREG | 0o600, files[name]))
    entries.append(_entry(0, "TRAILER!!!", 0, b""))
    return b"".join(entries)
