# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has an emulated host run on one processor while its kernel changes its own code.

QEMU before 8.1, when it emulates several processors, may keep code that it translated from the middle of such a change
(a breakpoint where an instruction was): then all processors step on it for ever, and the host has to be reset. Two
switches of the function tracer, which changes 50,000 places, were enough for that in dom0. With one processor there is
nobody to see the middle.

A kernel of its own takes its other processors away meanwhile. What runs there is moved, and what was bound to them is
bound again afterwards: a control group finds its way back by itself, but not what a thread was held to by its own
affinity. A control domain is held to the first processor by Xen instead: it crashed when it had one of its own back.
"""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

_CPUS = Path("/sys/devices/system/cpu")
_PROC = Path("/proc")
_DOM0 = "Domain-0"
_XL_S = 60.0


@contextlib.contextmanager
def while_code_changes(cpus: Path = _CPUS, proc: Path = _PROC) -> t.Iterator[None]:
    """On an emulated host, have one processor for as long as this lasts; elsewhere nothing is changed.

    :raises BackendError: Xen does not do it.
    """
    if not emulated(proc):
        yield
    elif "control_d" in _text(proc / "xen" / "capabilities"):
        with _held_by_xen():
            yield
    else:
        with _others_away(cpus, proc):
            yield


def emulated(proc: Path = _PROC) -> bool:
    """Say whether this host's processors are QEMU's translator, as they say themselves."""
    return "QEMU TCG" in _text(proc / "cpuinfo")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _others_away(cpus: Path, proc: Path) -> t.Iterator[None]:
    held = affinities(proc)
    try:
        with contextlib.ExitStack() as stack:
            # The first processor has no such file.
            for other in sorted(cpus.glob("cpu[0-9]*/online")):
                if other.read_text(encoding="ascii").strip() == "1":
                    # First what puts it back.
                    stack.callback(other.write_text, "1", encoding="ascii")
                    other.write_text("0", encoding="ascii")
            yield
    finally:
        restore(held)


def affinities(proc: Path = _PROC) -> dict[int, frozenset[int]]:
    """Return which CPUs each thread of this host may use, by its number; what ends meanwhile is left out."""
    found = {}
    for folder in proc.glob("[0-9]*/task/[0-9]*"):
        tid = int(folder.name)
        with contextlib.suppress(OSError):
            found[tid] = frozenset(os.sched_getaffinity(tid))
    return found


def restore(held: t.Mapping[int, frozenset[int]]) -> None:
    """Bind each thread to the CPUs that it had; those of the kernel that can't be bound have never been moved."""
    for tid, wanted in held.items():
        with contextlib.suppress(OSError):
            if os.sched_getaffinity(tid) != wanted:
                os.sched_setaffinity(tid, wanted)


@contextlib.contextmanager
def _held_by_xen() -> t.Iterator[None]:
    listed = host_run(["xl", "vcpu-list", _DOM0], _XL_S, "reading where dom0 runs").stdout
    before = bound(listed)
    try:
        host_run(["xl", "vcpu-pin", _DOM0, "all", "0"], _XL_S, "holding dom0 to one processor")
        yield
    finally:
        for vcpu, where in before.items():
            argv = ["xl", "vcpu-pin", _DOM0, vcpu, where]
            host_run(argv, _XL_S, "letting dom0 run where it did")


def bound(listed: str) -> dict[str, str]:
    """Return to which processors each one of a domain is bound, from what ``xl vcpu-list`` says (hard affinity)."""
    rows = (line.split() for line in listed.splitlines()[1:])
    # Name, ID, VCPU, CPU, State, Time(s), Affinity (Hard / Soft)
    return {row[2]: row[6] for row in rows if len(row) >= 9 and row[2].isdigit()}
