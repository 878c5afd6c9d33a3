# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way into the kernel and back: perf calls getppid, a fixed number of times.

stress-ng's system call stressors walk over whatever is mounted, so that their rate says more of the
instance's mounts than of its system calls; getppid does the same in every arm.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils.workloads import perf_bench
from ansible_collections.vcompare.lab.plugins.module_utils.workloads.base import (
    Workload,
    WorkSpec,
)

_NAME = "syscall"
_DEFAULT_LOOPS = 1_000_000
_CALLS = re.compile(r"^# Executed ([0-9,]+) getppid\(\) calls$", re.MULTILINE)


def _loops(spec: WorkSpec) -> int:
    return perf_bench.loops(spec, _NAME, _DEFAULT_LOOPS)


def argv(spec: WorkSpec) -> list[str]:
    """The command line."""
    return perf_bench.argv("syscall basic", "--loop", _loops(spec))


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read nanoseconds a call."""
    return perf_bench.microseconds(stdout, _CALLS, _loops(spec), "getppid calls") * 1000


WORKLOAD = Workload(
    name=_NAME,
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
