# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What roles change on a server outside of our state folder: recorded before the change, so that it can be undone."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import stat
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

PATH = "/var/lib/vcompare/host-journal.jsonl"

# Kinds of things.
FILE = "file"
DIRECTORY = "directory"
PACKAGE = "package"
UNIT = "unit"
KERNEL_MODULE = "kernel-module"
GRUB_MENU = "grub-menu"
GRUB_VARIABLE = "grubenv"
# Docker's daemon.json: a file of which each option is somebody's.
DOCKER_OPTIONS = "docker-options"
# What takes effect with the next start of Docker's daemon, and of the host; noted while a host is released.
DOCKER_RESTART = "docker-restart"
REBOOT = "reboot"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing as it was before our first change of it.

    :param kind: one of the kinds above.
    :param before: by kind; a file: ``{"there": false}``, or there, content (base64), mode, uid, gid; a folder or
        package: ``{"there": false}``; a unit: enabled, active; a kernel module: ``{"loaded": false}``; a variable of
        GRUB: value; what takes effect later: the id of the running daemon or of the boot.
    :param wrote: what we made of it, oldest first; of a file its content (base64), of a variable its value.
    """

    kind: str
    name: str
    before: dict[str, t.Any]
    at: str = ""
    wrote: tuple[str, ...] = ()


def encoded(content: bytes) -> str:
    """Return the content of a file as it is recorded."""
    return base64.b64encode(content).decode("ascii")


class HostJournal:
    """A file of JSON lines. Each is on disk when its call returns; of a thing's states only the first counts.

    A further line adds what we wrote later, or says that the thing is as it was before.
    """

    def __init__(self, path: str = PATH) -> None:
        self.path = path

    def file(self, path: str, content: bytes, kind: str = FILE) -> None:
        """Record a file that is about to be written with a content."""
        path = os.path.realpath(path)
        self.note(kind, path, _state(path), encoded(content))

    def packages(self, names: t.Sequence[str]) -> None:
        """Record packages that are about to be installed."""
        for name in names:
            self.note(PACKAGE, name, {"there": False})

    def unit(self, unit: str, enabled: str, active: str) -> None:
        """Record a unit of systemd that is about to be enabled or started, with systemd's own words."""
        self.note(UNIT, unit, {"enabled": enabled, "active": active})

    def directory(self, path: str) -> None:
        """Record a folder that is about to be made; one that is there needs no record."""
        if not os.path.isdir(path):
            self.note(DIRECTORY, path, {"there": False})

    def note(
        self, kind: str, name: str, before: dict[str, t.Any], wrote: str | None = None
    ) -> None:
        """Record anything, unless it is recorded already, and what is about to be made of it."""
        with self._locked() as handle:
            found = next((e for e in self.entries() if (e.kind, e.name) == (kind, name)), None)
            line: dict[str, t.Any] = {"kind": kind, "name": name}
            if found is None:
                line["before"] = before
            if wrote is not None and (found is None or wrote not in found.wrote):
                line["wrote"] = wrote
            if len(line) > 2:
                _append(handle, line)

    def undone(self, entry: Entry) -> None:
        """Record that a thing is as it was before: it is recorded no more."""
        with self._locked() as handle:
            _append(handle, {"kind": entry.kind, "name": entry.name, "undone": True})

    @contextlib.contextmanager
    def _locked(self) -> t.Iterator[int]:
        os.makedirs(os.path.dirname(self.path), mode=0o711, exist_ok=True)
        # It may hold what only root may read.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def entries(self) -> list[Entry]:
        """Return what is recorded, oldest first; a line that was cut off is passed over: its change never began."""
        try:
            with open(self.path, "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        found: dict[tuple[str, str], Entry] = {}
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                _take(found, json.loads(line))
        return list(found.values())


def _take(found: dict[tuple[str, str], Entry], record: dict[str, t.Any]) -> None:
    key = (record["kind"], record["name"])
    if record.get("undone"):
        found.pop(key, None)
        return
    if "before" in record:
        found.setdefault(key, Entry(*key, record["before"], record["at"]))
    if key in found and "wrote" in record:
        known = found[key]
        found[key] = dataclasses.replace(known, wrote=(*known.wrote, record["wrote"]))


def _state(path: str) -> dict[str, t.Any]:
    """Return what a file is now.

    :raises VcompareError: it is something else than a regular file.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return {"there": False}
    if not stat.S_ISREG(found.st_mode):
        raise VcompareError(
            f"{path} is not a regular file, and would have to be changed.",
            "Put a regular file in its place, or remove it.",
        )
    with open(path, "rb") as file:
        content = encoded(file.read())
    mode = stat.S_IMODE(found.st_mode)
    owner = {"uid": found.st_uid, "gid": found.st_gid}
    return {"there": True, "content": content, "mode": mode, **owner}


def _append(handle: int, record: dict[str, t.Any]) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": now, **record}, sort_keys=True)
    # A writer that was killed may have left half a line.
    size = os.fstat(handle).st_size
    whole = not size or os.pread(handle, 1, size - 1) == b"\n"
    data = (("" if whole else "\n") + line + "\n").encode()
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)
