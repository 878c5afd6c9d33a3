# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host keeps of its disks in memory, and how it is made to forget that."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)

_DROP = Path("/proc/sys/vm/drop_caches")
_MEMINFO = Path("/proc/meminfo")
_VMSTAT = Path("/proc/vmstat")


def drop(switch: Path = _DROP) -> None:
    """Have the kernel drop every page that is on a disk as well, and what it knows of files by their names.

    What was not written yet is written first, since it would stay. Pages that a running program has mapped stay in any
    case (Linux' documentation of vm.drop_caches).

    :raises NotPossible: it is not permitted here.
    """
    os.sync()
    try:
        switch.write_text("3\n", encoding="ascii")
    except OSError as error:
        raise NotPossible(
            f"what this host has cached of its disks can't be dropped: {error}"
        ) from None


def cached_mib(meminfo: Path = _MEMINFO) -> float:
    """Return how much of its disks the host has in memory, in MiB: files and blocks."""
    found = _numbers(meminfo, "Cached", "Shmem", "Buffers")
    return (found["Cached"] - found["Shmem"] + found["Buffers"]) / 1024


def read_mib(vmstat: Path = _VMSTAT) -> float:
    """Return how much was read from block devices since the host's boot, in MiB."""
    return _numbers(vmstat, "pgpgin")["pgpgin"] / 1024


def _numbers(path: Path, *wanted: str) -> dict[str, int]:
    """Return what a file of names and numbers says; sizes are in KiB.

    :raises BackendError: it can't be read, or lacks one that is wanted.
    """
    try:
        pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines())
        found = {words[0].rstrip(":"): int(words[1]) for words in pairs if len(words) > 1}
    except (OSError, ValueError) as error:
        raise BackendError(f"{path} can't be read: {error}") from None
    if lacking := [name for name in wanted if name not in found]:
        raise BackendError(f"{path} does not say {', '.join(lacking)}")
    return found
