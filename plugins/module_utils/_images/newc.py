# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives of the format newc, which a kernel's initial file system is (Documentation/driver-api/early-userspace).

Of an entry: six bytes of magic and thirteen numbers of eight hexadecimal digits, its name with a zero,
its content; the name and the content are padded so that what follows begins at a multiple of four.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

_MAGIC = b"070701"
_HEADER = 110
_END = b"TRAILER!!!"


def timeless(archive: bytes, epoch: int) -> bytes:
    """The same archive with one time for all, and inodes in their order instead of those of where it was packed.

    :param archive: not compressed; nothing may follow its end but zeros.
    :param epoch: seconds since 1970.
    :raises VcompareError: when it is not such an archive.
    """
    out = bytearray(archive)
    inodes: dict[bytes, int] = {}
    last = 0
    for place, header, name in _entries(archive):
        last = place
        if name == _END:
            break
        # Names of one file (hard links) have one inode; on which device it was says nothing.
        inode = inodes.setdefault(header[6:14] + header[62:78], len(inodes) + 1)
        out[place + 6 : place + 14] = b"%08X" % inode
        out[place + 46 : place + 54] = b"%08X" % epoch
        out[place + 62 : place + 78] = b"0" * 16
    if archive[last + _HEADER + len(_END) + 1 :].strip(b"\0"):
        raise VcompareError(
            "The initrd has more than one archive in it, of which the second was not read."
        )
    return bytes(out)


def first(initrd: bytes) -> tuple[bytes, bytes]:
    """Split an initrd after the archive that it begins with, if that one is not compressed.

    Debian 13 puts what is compressed already (modules) into such an archive, and the rest, compressed, behind it.

    :returns: the archive with the zeros behind it, and what follows; the first is empty where all is compressed.
    :raises VcompareError: when an archive begins there and does not end.
    """
    if not initrd.startswith(_MAGIC):
        return b"", initrd
    end = max(place for place, _header, _name in _entries(initrd)) + _HEADER + len(_END) + 1
    rest = initrd[end:].lstrip(b"\0")
    end = len(initrd) - len(rest)
    return initrd[:end], rest


def _entries(archive: bytes) -> t.Iterator[tuple[int, bytes, bytes]]:
    """Place, header and name of each entry, the end's own last."""
    place = 0
    while True:
        header = archive[place : place + _HEADER]
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            raise VcompareError(
                f"What is at byte {place} of the initrd is not an entry of the format newc."
            )
        size = int(header[54:62], 16)
        name_size = int(header[94:102], 16)
        name = archive[place + _HEADER : place + _HEADER + name_size - 1]
        yield place, header, name
        if name == _END:
            return
        place = _aligned(_aligned(place + _HEADER + name_size) + size)


def _aligned(place: int) -> int:
    return -(-place // 4) * 4
