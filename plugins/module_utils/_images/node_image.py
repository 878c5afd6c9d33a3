# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disk that the nodes of a nested lab boot from, through GRUB, as a real machine would."""

from __future__ import annotations

import glob
import os
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import filesystem, newc
from ansible_collections.vcompare.lab.plugins.module_utils._images.image_build import (
    EPOCH,
    Recipe,
    as_builder,
    debian_tar,
    remove_tree,
    unpack,
)

NAME = "vc-node"
_GRUB_CFG = """\
# The first boot's menu; update-grub writes its own.
serial --unit=0 --speed=115200
terminal_output serial
set default=0
set timeout=0
menuentry 'Debian GNU/Linux' {{
    search --no-floppy --fs-uuid --set=root {uuid}
    linux /boot/{kernel} root=UUID={uuid} ro console=ttyS0,115200 tsc=reliable fsck.mode=skip quiet
    initrd /boot/{initrd}
}}
"""


def make(recipe: Recipe, folder: str, work: str) -> dict[str, t.Any]:
    """Build ``node.raw`` into ``folder``; `image_build.build` calls it.

    :returns: kernel release and size of the disk.
    """
    tar = os.path.join(work, "root.tar")
    tree = os.path.join(work, "root")
    debian_tar(recipe, tar, work, keep_apt=True)
    unpack(tar, tree)
    os.unlink(tar)
    kernel = _newest(tree, "vmlinuz-")
    initrd = _newest(tree, "initrd.img-")
    _without_traces(tree, initrd, work)
    uuid = filesystem.fixed_uuid(NAME)
    _write(tree, "boot/grub/grub.cfg", _GRUB_CFG.format(uuid=uuid, kernel=kernel, initrd=initrd))
    _write(
        tree,
        "etc/fstab",
        f"UUID={uuid} / ext4 errors=remount-ro 0 1\n" + str(recipe.settings.get("fstab", "")),
    )
    # GRUB's own modules, which a menu written by update-grub loads.
    command.run(
        [
            *as_builder(),
            "cp",
            "-a",
            os.path.join(tree, "usr/lib/grub/i386-pc"),
            os.path.join(tree, "boot/grub/"),
        ],
        "copying GRUB's modules into the node image",
    )
    # What was written here, and the folders that it is in.
    command.run(
        [
            *as_builder(),
            "find",
            tree,
            "-newermt",
            f"@{EPOCH}",
            "-exec",
            "touch",
            "-h",
            "-d",
            f"@{EPOCH}",
            "{}",
            "+",
        ],
        "setting the times of what was written into the node image",
    )
    disk = os.path.join(folder, "node.raw")
    filesystem.partition(disk, recipe.size_mib)
    filesystem.make_ext4(
        disk,
        tree,
        size_mib=recipe.size_mib,
        name=NAME,
        epoch=EPOCH,
        offset=filesystem.PARTITION_OFFSET,
        prefix=as_builder(),
    )
    filesystem.install_grub(disk)
    remove_tree(tree)
    return {
        "schema": 1,
        "release": recipe.release,
        "kernel": kernel.removeprefix("vmlinuz-"),
        "disk_mib": recipe.size_mib,
    }


def _without_traces(tree: str, initrd: str, work: str) -> None:
    """Take out what building left that would differ in the next build of the same packages."""
    path = os.path.join(tree, "boot", initrd)
    packed = command.run_bytes([*as_builder(), "cat", path], "reading the node's initrd")
    plain, packed = newc.first(packed)
    archive = command.run_bytes(["gzip", "-dc"], "unpacking the node's initrd", stdin=packed)
    packed = command.run_bytes(
        ["gzip", "-9n"], "packing the node's initrd", stdin=newc.timeless(archive, EPOCH)
    )
    own = os.path.join(work, "initrd")
    with open(own, "wb") as file:
        file.write((newc.timeless(plain, EPOCH) if plain else b"") + packed)
    # GRUB's package asks debconf with the name of a scratch file, which debconf keeps.
    script = """
        cat "$2" > "$1"/boot/"$3"
        sed -i 's|/tmp/grub\\.[A-Za-z0-9]*|/tmp/grub|' "$1"/var/cache/debconf/config.dat
        rm -f "$1"/var/cache/debconf/*-old
    """
    command.run(
        [*as_builder(), "sh", "-ec", script, "sh", tree, own, initrd],
        "taking the traces of its build out of the node image",
    )
    os.unlink(own)


def _newest(tree: str, prefix: str) -> str:
    found = sorted(glob.glob(os.path.join(tree, "boot", prefix + "*")))
    if not found:
        raise VcompareError(f"The node image has no /boot/{prefix}*: its kernel was not installed.")
    return os.path.basename(found[-1])


def _write(tree: str, path: str, text: str) -> None:
    """Write a file of root's into a tree that may belong to a user namespace."""
    command.run(
        [*as_builder(), "sh", "-c", 'cat > "$1"', "sh", os.path.join(tree, path)],
        f"writing /{path} of the node image",
        stdin=text.encode(),
    )
