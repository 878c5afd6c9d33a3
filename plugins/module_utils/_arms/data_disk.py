# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A writable file system of an instance's own, which lies on the host's disk and is at ``/mnt`` inside.

Where an instance shares the host's kernel it is a folder, which is mounted there and has no size of its own. A virtual
machine gets a file with a file system in it as its second disk.
"""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

MOUNT_POINT = "/mnt"
# An ext4 that is smaller has no room for its journal.
LEAST_MIB = 16

_MAKE_S = 600.0
_LOOP_S = 120.0


def path(folder: str) -> str:
    """Return where it lies: a folder or a file in the folder of its instance, with which it goes."""
    return f"{folder}/data"


def check(spec: InstanceSpec) -> None:
    """Refuse one that can't be.

    :raises BackendError: it is too small, or nothing would mount it.
    """
    if spec.data_mib == 0:
        return
    if spec.data_mib < LEAST_MIB:
        raise BackendError(
            f"{spec.name}: {spec.data_mib} MiB are too little for a file system of its own",
            remedy=f"Give at least {LEAST_MIB} MiB, or 0 for none.",
        )
    if spec.image is None:
        raise BackendError(
            f"{spec.name}: a machine without an image mounts no data disk",
            remedy="Give it a disk with its other disks.",
        )


def make_folder(folder: str) -> None:
    """Make the folder of an instance that shares the host's kernel."""
    Path(path(folder)).mkdir(mode=0o755, exist_ok=True)


def make_file(folder: str, name: str, mib: int) -> None:
    """Make the file of a virtual machine, with an ext4 in it, unless it is there.

    All of its space is taken at once, and nothing of the file system is left for later: what is measured on it must
    not wait for the host's file system to find room, nor run beside what ext4 would write by and by.

    :param name: of the instance, for messages.
    """
    file = Path(path(folder))
    if file.exists():
        return
    unfinished = Path(f"{file}.new")
    doing = f"{name}: making its data disk of {mib} MiB"
    try:
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, mib << 20)
            lazy = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
            host_run(
                ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazy, str(unfinished)], _MAKE_S, doing
            )
            # After it, since mkfs makes holes of what it wants to be zero.
            os.posix_fallocate(handle, 0, mib << 20)
        finally:
            os.close(handle)
        unfinished.replace(file)
    except OSError as error:
        raise BackendError(
            f"{doing}: {error.strerror or error}", remedy=f"See that there is room (df {folder})."
        ) from None


def attach(folder: str, name: str) -> str:
    """Return a block device that is the file, for who takes no files; its pages stay out of the host's page cache."""
    doing = f"{name}: making a block device of its data disk"
    found = _devices(folder, doing)
    if found:
        return found[0]
    argv = ["losetup", "--find", "--show", "--direct-io=on", path(folder)]
    return host_run(argv, _LOOP_S, doing).stdout.strip()


def attached(device: str, folder: str) -> bool:
    """Say whether a block device still is the file: it is another one's after the host was restarted."""
    backing = Path("/sys/block", Path(device).name, "loop", "backing_file")
    try:
        return backing.read_text(encoding="utf-8").rstrip("\n") == path(folder)
    except OSError:
        return False


def detach(folder: str, name: str) -> None:
    """Take away the block devices of the file, if there are any."""
    if not Path(path(folder)).exists():
        return
    doing = f"{name}: taking away the block device of its data disk"
    for device in _devices(folder, doing):
        host_run(["losetup", "--detach", device], _LOOP_S, doing)


def _devices(folder: str, doing: str) -> t.Sequence[str]:
    argv = ["losetup", "--noheadings", "--output", "NAME", "--associated", path(folder)]
    return host_run(argv, _LOOP_S, doing).stdout.split()
