# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has at one moment: memory that is to be had, and processes."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run
from ansible_collections.vcompare.lab.plugins.module_utils._host import freed

_PROC = Path("/proc")
_LIBC = ctypes.CDLL(None)
_HYPERVISOR = Path("/sys/hypervisor/type")
# Kernel threads that come and go with whatever work there is, and belong to no instance.
_PASSING = ("kworker/", "ksoftirqd/", "migration/", "cpuhp/")
# Our own way into virtual machines.
_OURS = ("ssh",)


@dataclasses.dataclass(frozen=True)
class Process:
    """A process or kernel thread; the start time tells it from a later one with its number.

    Its name is not part of what it is: that changes when it becomes another program.
    """

    pid: int
    started: int
    name: str = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class State:
    """A host at one moment.

    :param available_mib: what its kernel can give without swapping; in a control domain of Xen with the memory that
        the hypervisor still has.
    :param hypervisor_mib: the hypervisor's part of that; None where there is none below this kernel.
    """

    available_mib: float
    processes: frozenset[Process]
    hypervisor_mib: float | None = None

    def new_processes(self, earlier: State) -> list[Process]:
        """Return the processes that came since, without our own and those of passing work."""
        ours = _descendants(os.getpid(), self.processes)
        return sorted(
            (
                process
                for process in self.processes - earlier.processes
                if process.pid not in ours
                and process.name not in _OURS
                and not process.name.startswith(_PASSING)
            ),
            key=lambda process: process.pid,
        )


def state() -> State:
    """Look at this host now.

    :raises BackendError: its kernel doesn't say how much memory is available.
    """
    available = freed.available_mib()
    if not available:
        raise BackendError("this host does not say how much memory is available (/proc/meminfo)")
    below = _hypervisor_free_mib()
    return State(available + (below or 0), frozenset(_processes()), below)


def total_mib() -> int:
    """Return the memory that this host's kernel has.

    :raises BackendError: it doesn't say.
    """
    for line in (_PROC / "meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) >> 10
    raise BackendError("this host does not say how much memory it has (/proc/meminfo)")


def _hypervisor_free_mib() -> int | None:
    try:
        if _HYPERVISOR.read_text(encoding="ascii").strip() != "xen":
            return None
    except OSError:
        return None
    said = host_run(["xl", "info", "free_memory"], 120, "asking Xen for its free memory").stdout
    try:
        return int(said)
    except ValueError:
        raise BackendError(f"Xen's free memory is not a number: {said.strip()!r}") from None


def _processes() -> t.Iterator[Process]:
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended in the meantime
        name, _end, rest = text.partition("(")[2].rpartition(")")
        yield Process(int(folder.name), int(rest.split()[19]), name)


def _descendants(pid: int, processes: t.Collection[Process]) -> set[int]:
    """Return a process and all that it started, and their children, as far as they have not been given away."""
    parents: dict[int, int] = {}
    for process in processes:
        try:
            text = (_PROC / str(process.pid) / "stat").read_text(errors="replace")
        except OSError:
            continue
        parents[process.pid] = int(text.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {
        child for child, parent in parents.items() if parent in found and child not in found
    }:
        found |= more
    return found


def proportional_mib(processes: t.Iterable[Process], *fields: str) -> float:
    """Return the memory of processes, each shared page divided by who shares it; kernel threads have none.

    :param fields: of ``smaps_rollup``; all of it (``Pss``) when none is named.
    :raises BackendError: the kernel does not say it of a process that is there.
    """
    wanted = {f"{field}:" for field in fields or ("Pss",)}
    total_kib = 0
    for process in processes:
        folder = _PROC / str(process.pid)
        try:
            text = (folder / "smaps_rollup").read_text(encoding="ascii")
        except ProcessLookupError:
            continue  # a thread of the kernel, or it ended in the meantime
        except OSError as error:
            if not folder.exists():
                continue
            raise BackendError(
                f"the memory of process {process.pid} ({process.name}) can't be read: {error}"
            ) from None
        found = {
            line[0]: int(line[1]) for line in map(str.split, text.splitlines()) if line[0] in wanted
        }
        if lacking := sorted(wanted - found.keys()):
            raise BackendError(
                f"this kernel does not say {', '.join(lacking)} of a process (smaps_rollup)"
            )
        total_kib += sum(found.values())
    return total_kib / 1024


def cpu_s(processes: t.Iterable[Process]) -> dict[Process, float]:
    """Return the seconds that processes have been on a CPU for, all their threads together.

    By each process's own clock, which has nanoseconds and goes on counting what threads used that have ended: the times
    in ``/proc/PID/stat`` come in steps of ten milliseconds, and a sum over the threads that are there falls when one
    ends (a machine's monitor ends those it reads its disk with). Source: clock_getcpuclockid(3).
    """
    spent: dict[Process, float] = {}
    for process in processes:
        clock = ctypes.c_int()
        # The number of an error, and not -1 with errno.
        if _LIBC.clock_getcpuclockid(process.pid, ctypes.byref(clock)):
            continue  # it ended in the meantime
        try:
            spent[process] = time.clock_gettime(clock.value)
        except OSError:
            continue
    return spent


@dataclasses.dataclass(frozen=True)
class Cost:
    """What came to a host between two moments, in memory.

    :param less_mib: what the host can give less of.
    :param held_mib: what the new processes hold and can't give back without swap (anonymous and shared memory).
    """

    less_mib: float
    held_mib: float

    @property
    def mib(self) -> float:
        """The larger of both: the host's own memory comes and goes by some MiB, which hides a small instance."""
        return max(self.less_mib, self.held_mib)

    @property
    def text(self) -> str:
        """Both, in words."""
        return (
            f"available on the host: {self.less_mib:g} MiB less;"
            f" held by the new processes without a file behind it: {self.held_mib:.1f} MiB"
        )


def cost(before: State, now: State) -> Cost:
    """Return what memory went since an earlier moment."""
    held = proportional_mib(now.new_processes(before), "Pss_Anon", "Pss_Shmem")
    return Cost(before.available_mib - now.available_mib, held)


def allocated_kib(paths: t.Iterable[str]) -> float:
    """Return the disk space that files and folders take, as it is allocated.

    :raises BackendError: one of them is not there; what goes inside a folder meanwhile takes none.
    """
    total = 0
    for path in paths:
        if not os.path.lexists(path):
            raise BackendError(f"{path} is not there, so that its size can't be measured")
        for folder, _folders, files in os.walk(path):
            for entry in [folder, *(os.path.join(folder, name) for name in files)]:
                try:
                    total += os.lstat(entry).st_blocks
                except OSError:
                    continue
        if os.path.isfile(path):
            total += os.lstat(path).st_blocks
    return total / 2
