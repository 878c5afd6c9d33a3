# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way into the kernel and back: perf calls getppid, a fixed number of times.

stress-ng's system call stressors walk over whatever is mounted, so that their rate says more of the
instance's mounts than of its system calls; getppid does the same in every arm.
"""

from __future__ import annotations

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import perf_bench

WORKLOAD = perf_bench.workload(
    "syscall",
    "time_per_call",
    "syscall basic",
    "getppid() calls",
    loops=1_000_000,
    # Entering and leaving the kernel costs tens of nanoseconds at least; a tenth of a millisecond
    # is beyond even an emulator in an emulator.
    low=5.0,
    high=1e6,
)
