# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ext4 file systems and bootable disks, made from a folder without root, mounts or loop devices."""

from __future__ import annotations

import os
import struct
import typing as t
import uuid

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

MIB = 1024 * 1024
PARTITION_OFFSET = MIB
_SECTOR = 512
_GRUB_MODULES = (
    "biosdisk part_msdos ext2 normal linux multiboot2 gzio echo test search search_fs_uuid ls configfile "
    "serial terminal"
)


def fixed_uuid(name: str) -> str:
    """A UUID that follows from a name, so that an image made twice is the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://vcompare.org/{name}"))


def make_ext4(
    path: str,
    tree: str,
    *,
    size_mib: int,
    name: str,
    epoch: int,
    offset: int = 0,
    journal: bool = True,
    prefix: t.Sequence[str] = (),
) -> None:
    """Make a file system in the sparse file ``path`` from the folder ``tree``.

    :param name: what UUID and hash seed follow from.
    :param epoch: time stamp of everything that mke2fs stamps itself, seconds.
    :param offset: where it begins in the file, bytes.
    :param prefix: command that gives the right to read the tree (a user namespace's).
    """
    options = f"hash_seed={fixed_uuid(name + '#hash')},lazy_itable_init=0,lazy_journal_init=0"
    if offset:
        options += f",offset={offset}"
    features = "^metadata_csum_seed" if journal else "^has_journal,^metadata_csum_seed"
    with open(path, "ab") as disk:
        disk.truncate(offset + size_mib * MIB)
    command.run(
        [
            *(*prefix, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", features, "-m", "0"),
            *(
                "-L",
                name[:16],
                "-U",
                fixed_uuid(name),
                "-E",
                options,
                "-d",
                tree,
                path,
                f"{size_mib}M",
            ),
        ],
        f"making the file system {name}",
        remedy="See whether the disk that holds the home is full.",
        env={"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)},
        timeout_s=1800,
    )
    _settle_times(path, epoch, offset)


def _settle_times(path: str, epoch: int, offset: int) -> None:
    """Give every inode the same change and access time.

    mke2fs 1.47.0 copies both from the source tree, where they tell when the tree
    was unpacked. One debugfs script over all inodes costs a fraction of a second.
    """
    image = f"{path}?offset={offset}" if offset else path
    count = _used_inodes(path, offset)
    stamp = f"@{epoch:#x}"
    lines = []
    for inode in count:
        for field in ("ctime", "atime", "crtime"):
            lines.append(f"sif <{inode}> {field} {stamp}\nsif <{inode}> {field}_extra 0\n")
    command.run(
        ["debugfs", "-w", "-f", "-", image],
        f"setting the times inside {path}",
        stdin="".join(lines).encode(),
        env={"E2FSPROGS_FAKE_TIME": str(epoch)},
        timeout_s=600,
    )


def _used_inodes(path: str, offset: int) -> list[int]:
    """Numbers of the inodes in use, read from the inode bitmaps."""
    used: list[int] = []
    with open(path, "rb") as disk:
        disk.seek(offset + 1024)
        sb = disk.read(1024)
        inodes, blocks = struct.unpack_from("<II", sb, 0)
        block_size = 1024 << struct.unpack_from("<I", sb, 24)[0]
        blocks_per_group, _frags, inodes_per_group = struct.unpack_from("<III", sb, 32)
        descriptor = struct.unpack_from("<H", sb, 254)[0] or 32
        table = offset + (block_size if block_size > 1024 else 2048)
        for group in range((blocks + blocks_per_group - 1) // blocks_per_group):
            disk.seek(table + group * descriptor)
            entry = disk.read(descriptor)
            bitmap = struct.unpack_from("<I", entry, 4)[0]
            if descriptor >= 64:
                bitmap |= struct.unpack_from("<I", entry, 36)[0] << 32
            if (
                struct.unpack_from("<H", entry, 18)[0] & 0x1
            ):  # INODE_UNINIT: no inode of this group is in use
                continue
            disk.seek(offset + bitmap * block_size)
            bits = disk.read(inodes_per_group // 8)
            for index in range(inodes_per_group):
                number = group * inodes_per_group + index + 1
                if (
                    bits[index // 8] >> (index % 8) & 1
                    and (number == 2 or number >= 11)
                    and number <= inodes
                ):
                    used.append(number)
    return used


def partition(path: str, size_mib: int) -> None:
    """Write a DOS partition table with one active Linux partition into a new sparse file."""
    with open(path, "wb") as disk:
        disk.truncate(PARTITION_OFFSET + size_mib * MIB)
        entry = struct.pack(
            "<B3sB3sII",
            0x80,
            b"\xfe\xff\xff",
            0x83,
            b"\xfe\xff\xff",
            PARTITION_OFFSET // _SECTOR,
            size_mib * MIB // _SECTOR,
        )
        disk.seek(440)
        disk.write(struct.pack("<I", 0x76636D70) + b"\0\0" + entry + b"\0" * 48 + b"\x55\xaa")


def install_grub(path: str, grub_dir: str = "/usr/lib/grub/i386-pc") -> None:
    """Make the disk boot through GRUB in BIOS mode: boot.img in sector 0, core.img behind it.

    :raises VcompareError: GRUB's files are not there, or core.img does not fit before the partition.
    """
    core = path + ".core"
    command.run(
        [
            "grub-mkimage",
            "-O",
            "i386-pc",
            "-d",
            grub_dir,
            "-o",
            core,
            "-p",
            "(hd0,msdos1)/boot/grub",
            *_GRUB_MODULES.split(),
        ],
        "making GRUB's core image",
    )
    try:
        with open(core, "rb") as image:
            data = image.read()
        if len(data) > PARTITION_OFFSET - _SECTOR:
            raise VcompareError(
                f"GRUB's core image has {len(data)} bytes and does not fit before the partition."
            )
        with open(os.path.join(grub_dir, "boot.img"), "rb") as image:
            boot = image.read()
        with open(path, "r+b") as disk:
            disk.write(boot[:440])
            disk.seek(_SECTOR)
            disk.write(data)
    finally:
        os.unlink(core)
