# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way into the kernel and back: perf calls getppid, a fixed number of times.

stress-ng's system call stressors walk over whatever is mounted, so that their rate says more of the
instance's mounts than of its system calls; getppid does the same in every arm.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    find,
)

DEFAULT_LOOPS = 1_000_000

# perf before 6.2 wrote "# Executed 1000000 getppid() calls", with the comma style of newer ones
# ("1,000,000") accepted too.
_CALLS = re.compile(r"^# Executed ([0-9,]+) getppid\(\) calls$", re.MULTILINE)
_TIME = re.compile(r"^\s+Total time: ([0-9.]+) \[sec\]$", re.MULTILINE)
_PER_CALL = re.compile(r"^\s+([0-9.]+) usecs/op$", re.MULTILINE)


def loops(spec: WorkSpec) -> int:
    """Number of calls of one iteration."""
    count = spec.loops.get("syscall", DEFAULT_LOOPS)
    return max(count // 10, 1) if spec.warmup else count


def argv(spec: WorkSpec) -> list[str]:
    """The command line."""
    return ["perf", "bench", "syscall", "basic", "--loop", str(loops(spec))]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read nanoseconds a call."""
    calls = int(find(_CALLS, stdout, "the number of getppid calls").group(1).replace(",", ""))
    if calls != loops(spec):
        raise WorkloadError(f"perf made {calls} calls instead of {loops(spec)}")
    seconds = float(find(_TIME, stdout, "'Total time'").group(1))
    per_call_us = float(find(_PER_CALL, stdout, "'usecs/op'").group(1))
    # perf cuts the total to milliseconds, it does not round it.
    if not seconds - 0.0001 <= per_call_us * calls / 1e6 <= seconds + 0.0011:
        raise WorkloadError(
            f"perf printed {per_call_us:g} microseconds a call, but its own counts give"
            f" {seconds * 1e6 / calls:g}"
        )
    return per_call_us * 1000


WORKLOAD = Workload(
    name="syscall",
    metric="time_per_call",
    unit="ns",
    direction="lower",
    argv=argv,
    parse=parse,
    # Entering and leaving the kernel costs tens of nanoseconds at least; a tenth of a millisecond
    # is beyond even an emulator in an emulator.
    low=5.0,
    high=1e6,
)
