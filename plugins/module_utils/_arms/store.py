# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state folder of a host: what we know of each instance, and the files that it needs.

``/var/lib/vcompare`` and ``instances/`` are 0711 and not 0700: libvirt runs QEMU as a user of its
own, which must be able to pass through to its kernel, initrd and console. It can't list anything
on the way, and the files themselves are 0600 (libvirt hands over those that a domain uses).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import check_name
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import mounts

Record = dict[str, t.Any]
_PASS_THROUGH = 0o711


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all."""
    temporary = Path(f"{path}.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as handle:
        handle.write(data)
    temporary.replace(path)


class Store:
    """Records and folders of instances.

    A record is ``{"arm", "name", "owner", "address", "mac", "spec": {…}, "started": bool, …}``.
    """

    def __init__(self, state_dir: str = STATE_DIR) -> None:
        self.state_dir = state_dir
        self._instances = Path(state_dir, "instances")

    def ensure(self) -> None:
        """Make the state folder."""
        for path in (Path(self.state_dir), self._instances):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(_PASS_THROUGH)

    def folder(self, name: str) -> str:
        """Return the folder of an instance."""
        return str(self._instances / check_name(name))

    def make_folder(self, name: str) -> str:
        """Make the folder of an instance and return it."""
        self.ensure()
        folder = Path(self.folder(name))
        folder.mkdir(exist_ok=True)
        folder.chmod(_PASS_THROUGH)
        return str(folder)

    @contextlib.contextmanager
    def lock(self) -> t.Iterator[None]:
        """Hold off others that would choose the same address at the same time."""
        self.ensure()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(f"{self.state_dir}/lock", flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def write(self, record: Record) -> None:
        """Keep the record of an instance."""
        folder = self.make_folder(record["name"])
        data = json.dumps(record, indent=1, sort_keys=True).encode() + b"\n"
        write_file(f"{folder}/instance.json", data)

    def read(self, name: str) -> Record | None:
        """Return the record of an instance; None when there is none."""
        try:
            with open(f"{self.folder(name)}/instance.json", encoding="utf-8") as handle:
                record = json.load(handle)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def records(self) -> list[Record]:
        """Return the records of all instances, by name."""
        try:
            names = sorted(os.listdir(self._instances))
        except FileNotFoundError:
            return []
        records: list[Record] = []
        for name in names:
            with contextlib.suppress(BackendError):  # a folder that is none of ours
                record = self.read(name)
                if record is not None:
                    records.append(record)
        return records

    def exists(self, name: str) -> bool:
        """Whether an instance has a folder."""
        return Path(self.folder(name)).is_dir()

    def remove(self, name: str) -> bool:
        """Remove the folder of an instance; return whether there was one."""
        folder = Path(self.folder(name))
        if not folder.is_dir():
            return False
        mounted = mounts.below(str(folder))
        if mounted:
            # removing through a mount would remove what is mounted
            raise BackendError(
                f"{name}: {mounted[0]} is still mounted",
                remedy=f"See what uses it (fuser -vm {mounted[0]}), end that, and try again.",
            )
        shutil.rmtree(folder)
        return True
