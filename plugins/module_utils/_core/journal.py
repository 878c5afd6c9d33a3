# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A journal of what we make: written before a thing exists, closed after it is gone.

Whatever a killed run left behind is found from here.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import typing as t

Record = dict[str, t.Any]


class Journal:
    """A file of JSON lines: ``{"op": "create"|"gone", "kind": …, "id": …, "owner": …, "time": …}``.

    Each record is on disk when its call returns. Several processes may write at once.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def create(self, kind: str, ident: str, owner: str, **extra: t.Any) -> None:
        """Record that a thing is about to be made.

        :param kind: what it is, e.g. an arm's name or ``bridge``.
        :param ident: its identity among things of that kind.
        :param extra: whatever its removal needs; values that JSON has.
        """
        self._append({"op": "create", "kind": kind, "id": ident, "owner": owner, **extra})

    def gone(self, kind: str, ident: str, owner: str = "") -> None:
        """Record that a thing is gone."""
        self._append({"op": "gone", "kind": kind, "id": ident, "owner": owner})

    def _append(self, record: Record) -> None:
        record["time"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = (json.dumps(record, sort_keys=True) + "\n").encode()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            # a writer that was killed may have left half a line: ours must not be glued to it
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line
            while line:
                line = line[os.write(fd, line) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def records(self) -> list[Record]:
        """Return every whole record, oldest first; lines that were cut off are passed over."""
        try:
            with open(self.path, "rb") as handle:
                lines = handle.read().split(b"\n")
        except FileNotFoundError:
            return []
        records: list[Record] = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and {"op", "kind", "id"} <= record.keys():
                records.append(record)
        return records

    def pending(self, kind: str | None = None) -> list[Record]:
        """Return the records of what was made, or nearly, and is not known to be gone."""
        open_records: dict[tuple[str, str], Record] = {}
        for record in self.records():
            key = (record["kind"], record["id"])
            open_records.pop(key, None)
            if record["op"] == "create":
                open_records[key] = record
        return [
            record for record in open_records.values() if kind is None or record["kind"] == kind
        ]
