# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Ctrl-C and SIGTERM: end Ansible and everything that it started, in order, then by force.

Ansible's workers are leaders of sessions of their own, so that killing its process group alone
leaves them, and the modules that they run, behind. SIGINT to ansible-playbook makes it end them
itself; what is still there afterwards is found through /proc. Only descendants are ended: what a
task started as a daemon (a lab's machines) has left the family and goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import types
import typing as t
from pathlib import Path

GRACE_S = 15.0
_FORCE_AFTER_S = 3.0


class Interrupt:
    """A context in which SIGINT and SIGTERM are requests to stop.

    The second one asks to be quick about it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, t.Any] = {}

    @property
    def requested(self) -> bool:
        """Whether to stop."""
        return self.count > 0

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: types.FrameType | None) -> None:
        self.count += 1


class Stopper:
    """Ends one ansible-playbook, as the cancel callback of ansible-runner."""

    def __init__(
        self, interrupt: Interrupt, tick: t.Callable[[], None], grace_s: float = GRACE_S
    ) -> None:
        self._interrupt = interrupt
        self._tick = tick
        self._grace_s = grace_s
        self._since: float | None = None
        self._family: dict[int, str] = {}

    def __call__(self) -> bool:
        """Return whether ansible-runner shall kill the process group now.

        Called every half second.
        """
        self._tick()
        if not self._interrupt.requested:
            return False
        # Workers come and go while it ends: look again every time.
        self._family |= descendants(os.getpid())
        if self._since is None:
            self._since = time.monotonic()
            leaders = [
                pid for pid in children(os.getpid()) if "ansible-playbook" in command_line(pid)
            ]
            for pid in leaders:
                _send(pid, signal.SIGINT)
            return not leaders
        return self._interrupt.count > 1 or time.monotonic() - self._since > self._grace_s

    def finish(self) -> list[int]:
        """End what is left of the family once ansible-playbook has ended.

        Return what could not be ended.
        """
        left = self._left()
        for pid in left:
            _send(pid, signal.SIGTERM)
        deadline = time.monotonic() + _FORCE_AFTER_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            _send(pid, signal.SIGKILL)
        deadline = time.monotonic() + _FORCE_AFTER_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _left(self) -> list[int]:
        # A number may have been given to another process since: the start time tells them apart.
        return [pid for pid, started in self._family.items() if _status(pid) == started]


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on.

    Empty when there is no such process.
    """
    try:
        # The second field is the name, in parentheses, and may contain anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid: int) -> str:
    """Return the start time of a live process; empty when it ended (also as a zombie)."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if len(fields) > 1:
            parents[int(entry.name)] = int(fields[1])
    return parents


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    return [child for child, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> dict[int, str]:
    """Return all live descendants of a process, with their start times."""
    parents = _parents()
    family = {pid}
    grown = True
    while grown:
        grown = False
        for child, parent in parents.items():
            if parent in family and child not in family:
                family.add(child)
                grown = True
    return {member: started for member in family - {pid} if (started := _status(member))}


def command_line(pid: int) -> str:
    """Return the command line of a process; empty when it can't be read."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""
