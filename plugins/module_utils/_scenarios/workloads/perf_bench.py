# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the benchmarks of perf have in common: a fixed number of operations, and how they are reported."""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    find,
)

_TIME = re.compile(r"^\s+Total time: ([0-9.]+) \[sec\]$", re.MULTILINE)
_PER_OPERATION = re.compile(r"^\s+([0-9.]+) usecs/op$", re.MULTILINE)


def workload(
    name: str,
    metric: str,
    benchmark: str,
    what: str,
    *,
    loops: int,
    parts: int = 1,
    low: float,
    high: float,
) -> Workload:
    """Make the workload of a benchmark; its figure is nanoseconds, and lower is better.

    :param benchmark: its collection and name, like ``syscall basic``.
    :param what: how perf names its operations, in the line that counts them.
    :param loops: number of operations of one iteration where none is asked for; a tenth of them warms up.
    :param parts: what is measured happens so many times in one operation.
    :param low: smallest value that is physically possible, in nanoseconds; ``high``: largest.
    """
    # Newer perfs write 1,000,000 for 1000000.
    executed = re.compile(rf"^# Executed ([0-9,]+) {re.escape(what)}$", re.MULTILINE)

    def count(spec: WorkSpec) -> int:
        asked = spec.loops.get(name, loops)
        return max(asked // 10, 1) if spec.warmup else asked

    def argv(spec: WorkSpec) -> list[str]:
        return ["perf", "bench", *benchmark.split(), "--loop", str(count(spec))]

    def parse(spec: WorkSpec, stdout: str, _stderr: str) -> float:
        return _microseconds(stdout, executed, count(spec), what) * 1000 / parts

    return Workload(name, metric, "ns", "lower", argv, parse, low, high)


def _microseconds(stdout: str, executed: re.Pattern[str], count: int, what: str) -> float:
    """Read the microseconds of one operation, held against perf's own counts.

    :raises WorkloadError: perf did another number, or its figures contradict each other.
    """
    done = int(find(executed, stdout, f"the number of {what}").group(1).replace(",", ""))
    if done != count:
        raise WorkloadError(f"perf made {done} {what} instead of {count}")
    seconds = float(find(_TIME, stdout, "'Total time'").group(1))
    each_us = float(find(_PER_OPERATION, stdout, "'usecs/op'").group(1))
    # perf cuts the total to milliseconds, it does not round it.
    if not seconds - 0.0001 <= each_us * done / 1e6 <= seconds + 0.0011:
        raise WorkloadError(
            f"perf printed {each_us:g} microseconds for one of the {what}, but its own counts give"
            f" {seconds * 1e6 / done:g}"
        )
    return each_us
