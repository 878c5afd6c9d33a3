# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What roles change on a server outside of our state folder: recorded before the change, so that it can be undone."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import fcntl
import json
import os
import stat
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError

PATH = "/var/lib/vcompare/host-journal.jsonl"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing as it was before our first change of it.

    :param kind: ``file``, ``directory``, ``package``, ``unit``, or what `HostJournal.note` was given.
    :param before: by kind; a file: ``{"there": false}``, or there, content (base64), mode, uid, gid; or there, link.
    """

    kind: str
    name: str
    before: dict[str, t.Any]
    at: str = ""


class HostJournal:
    """A file of JSON lines, one a thing. Each is on disk when its call returns; only the first of a thing counts."""

    def __init__(self, path: str = PATH) -> None:
        self.path = path

    def file(self, path: str) -> None:
        """Record a file that is about to be written or removed."""
        path = os.path.realpath(path)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            self.note("file", path, {"there": False})
            return
        if not stat.S_ISREG(found.st_mode):
            raise VcompareError(
                f"{path} is not a regular file, and would have to be changed.",
                "Put a regular file in its place, or remove it.",
            )
        with open(path, "rb") as file:
            content = base64.b64encode(file.read()).decode("ascii")
        before = {
            "there": True,
            "content": content,
            "mode": stat.S_IMODE(found.st_mode),
            "uid": found.st_uid,
            "gid": found.st_gid,
        }
        self.note("file", path, before)

    def packages(self, names: t.Sequence[str]) -> None:
        """Record packages that are about to be installed."""
        for name in names:
            self.note("package", name, {"there": False})

    def unit(self, unit: str, enabled: str, active: str) -> None:
        """Record a unit of systemd that is about to be enabled or started, with systemd's own words."""
        self.note("unit", unit, {"enabled": enabled, "active": active})

    def directory(self, path: str) -> None:
        """Record a folder that is about to be made; one that is there needs no record."""
        if not os.path.isdir(path):
            self.note("directory", path, {"there": False})

    def note(self, kind: str, name: str, before: dict[str, t.Any]) -> None:
        """Record anything, unless it is recorded already."""
        os.makedirs(os.path.dirname(self.path), mode=0o711, exist_ok=True)
        # It may hold what only root may read.
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if any((one.kind, one.name) == (kind, name) for one in self.entries()):
                return
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            line = json.dumps(
                {"at": now, "kind": kind, "name": name, "before": before}, sort_keys=True
            )
            # A writer that was killed may have left half a line.
            size = file.seek(0, os.SEEK_END)
            whole = not size or os.pread(handle, 1, size - 1) == b"\n"
            data = (("" if whole else "\n") + line + "\n").encode()
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)

    def entries(self) -> list[Entry]:
        """Return what is recorded, oldest first; a line that was cut off is passed over: its change never began."""
        try:
            with open(self.path, "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        found: dict[tuple[str, str], Entry] = {}
        for line in lines:
            try:
                record = json.loads(line)
                entry = Entry(record["kind"], record["name"], record["before"], record["at"])
            except (ValueError, KeyError, TypeError):
                continue
            found.setdefault((entry.kind, entry.name), entry)
        return list(found.values())
