# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lab server has left, asked before anything is made."""

from __future__ import annotations

import os

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

MIB = 1024 * 1024


def memory_mib() -> int:
    """Memory that can be had without swapping, in MiB; a container's own limit counts."""
    available = 0
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) // 1024
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            with open(limit, encoding="ascii") as top, open(used, encoding="ascii") as now:
                text = top.read().strip()
                if text != "max":
                    available = min(available, max(0, int(text) - int(now.read())) // MIB)
        except (OSError, ValueError):
            continue
    return available


def disk_mib(path: str) -> int:
    """Free disk below a path that may not exist yet, in MiB."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize // MIB


def require(path: str, *, memory: int, disk: int, what: str, memory_option: str) -> None:
    """Refuse what would not fit.

    :param memory: MiB that will be used.
    :param disk: MiB that will be used below ``path``.
    :raises VcompareError: naming what is missing, the option and the remedy.
    """
    have = memory_mib()
    if have < memory:
        raise VcompareError(
            f"{what} needs {memory} MiB of memory, and this machine has {have} MiB available.",
            f"End something, or lower {memory_option}.",
        )
    free = disk_mib(path)
    if free < disk:
        raise VcompareError(
            f"{what} needs {disk} MiB of disk, and {path} has {free} MiB free.",
            "Make room, or put the home elsewhere (VCOMPARE_HOME, vcompare_home).",
        )
