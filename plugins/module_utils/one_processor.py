# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has an emulated host run on one processor while its kernel changes its own code.

QEMU before 8.1, when it emulates several processors, may keep code that it translated from the middle of such a change
(a breakpoint where an instruction was): then all processors step on it for ever, and the host has to be reset. Two
switches of the function tracer, which changes 50,000 places, were enough for that in dom0. With one processor there is
nobody to see the middle.

What runs on the others is moved, and what was bound to them is bound again afterwards: a control group finds its way
back by itself, but not what a thread was held to by its own affinity.
"""

from __future__ import annotations

import contextlib
import os
import typing as t
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_PROC = Path("/proc")


def emulated(proc: Path = _PROC) -> bool:
    """Say whether this host's processors are QEMU's translator, as they say themselves."""
    return "QEMU TCG" in (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def while_code_changes(cpus: Path = _CPUS, proc: Path = _PROC) -> t.Iterator[None]:
    """On an emulated host, have one processor for as long as this lasts; elsewhere nothing is changed."""
    if not emulated(proc):
        yield
        return
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
