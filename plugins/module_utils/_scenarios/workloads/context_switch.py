# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From one process to the next: perf has two of them pass a word to and fro, a fixed number of times.

The word goes through two pipes, so that each process sleeps until the other has written. On one CPU a
round is two switches; with more CPUs the scheduler may wake the other one elsewhere, and half a round
is a wake-up in place of a switch. Two processes whatever the number of CPUs: latency, not capacity.
"""

from __future__ import annotations

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import perf_bench

WORKLOAD = perf_bench.workload(
    "context-switch",
    "time_per_switch",
    "sched pipe",
    "pipe operations between two processes",
    loops=200_000,
    parts=2,
    # A switch with a read and a write costs hundreds of nanoseconds at the very least; ten milliseconds
    # are beyond even an emulator in an emulator.
    low=50.0,
    high=1e7,
)
