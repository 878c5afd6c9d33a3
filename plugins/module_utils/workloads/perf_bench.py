# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the benchmarks of perf have in common: a fixed number of operations, and how they are reported."""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils.workloads.base import (
    WorkloadError,
    WorkSpec,
    find,
)

_TIME = re.compile(r"^\s+Total time: ([0-9.]+) \[sec\]$", re.MULTILINE)
_PER_OPERATION = re.compile(r"^\s+([0-9.]+) usecs/op$", re.MULTILINE)


def loops(spec: WorkSpec, scenario: str, default: int) -> int:
    """Number of operations of one iteration; a tenth of them warms up."""
    count = spec.loops.get(scenario, default)
    return max(count // 10, 1) if spec.warmup else count


def argv(benchmark: str, option: str, count: int) -> list[str]:
    """The command line of ``perf bench``.

    :param benchmark: its collection and name, like ``syscall basic``.
    :param option: the option for the number of operations.
    """
    return ["perf", "bench", *benchmark.split(), option, str(count)]


def microseconds(stdout: str, executed: re.Pattern[str], count: int, what: str) -> float:
    """Read the microseconds of one operation, held against perf's own counts.

    :param executed: matches the line that says how many operations there were; newer perfs write
        1,000,000 for 1000000.
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
