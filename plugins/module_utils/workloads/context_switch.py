# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From one process to the next: perf has two of them pass a word to and fro, a fixed number of times.

The word goes through two pipes, so that each process sleeps until the other has written. On one CPU a
round is two switches; with more CPUs the scheduler may wake the other one elsewhere, and half a round
is a wake-up in place of a switch.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils.workloads import perf_bench
from ansible_collections.vcompare.lab.plugins.module_utils.workloads.base import (
    Workload,
    WorkSpec,
)

_NAME = "context-switch"
_DEFAULT_LOOPS = 200_000
_ROUNDS = re.compile(r"^# Executed ([0-9,]+) pipe operations between two processes$", re.MULTILINE)


def _loops(spec: WorkSpec) -> int:
    return perf_bench.loops(spec, _NAME, _DEFAULT_LOOPS)


def argv(spec: WorkSpec) -> list[str]:
    """The command line; two processes whatever the number of CPUs: latency, not capacity."""
    return perf_bench.argv("sched pipe", "--loop", _loops(spec))


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read nanoseconds a switch."""
    return perf_bench.microseconds(stdout, _ROUNDS, _loops(spec), "pipe operations") * 1000 / 2


WORKLOAD = Workload(
    name=_NAME,
    metric="time_per_switch",
    unit="ns",
    direction="lower",
    argv=argv,
    parse=parse,
    # A switch with a read and a write costs hundreds of nanoseconds at the very least; ten milliseconds
    # are beyond even an emulator in an emulator.
    low=50.0,
    high=1e7,
)
