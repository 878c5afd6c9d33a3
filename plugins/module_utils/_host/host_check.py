# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a server can be used at all: asked of every server before anything is made on one."""

from __future__ import annotations

import os
import platform
import shutil
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions

ARCHITECTURES = ("x86_64", "amd64")


def inspect(folder: str, needed_mib: int) -> dict[str, t.Any]:
    """Return boot (the id of this boot) and free_mib.

    :param folder: where the image will be; what is there already counts as free.
    :raises VcompareError: no root, another architecture, too little space.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise VcompareError(
            f"This server is {machine}, and all arms run the same programs, which are x86-64's.",
            "Take the server out of the inventory's groups, or use one with x86-64.",
        )
    if os.geteuid() != 0:
        raise VcompareError(
            "Root is needed on this server.",
            "Set ansible_become: true for it, with the password of sudo in a vault (ansible_become_password).",
        )
    existing = folder
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    free_mib = (shutil.disk_usage(existing).free >> 20) + _used_mib(folder)
    if free_mib < needed_mib:
        raise VcompareError(
            f"The image needs {needed_mib} MiB, and {free_mib} MiB are free in {existing}.",
            "Free some space on this server, then start again.",
        )
    return {"boot": conditions.boot_id(), "free_mib": free_mib}


def _used_mib(folder: str) -> int:
    paths = (os.path.join(top, name) for top, _folders, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_blocks * 512 for path in paths) >> 20
