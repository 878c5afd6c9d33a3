# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Integer arithmetic: sysbench looks for primes by trial division, for a fixed time."""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    as_long_as,
    counted,
    find,
)

_RATE = re.compile(r"^\s+events per second:\s+([0-9.]+)$", re.MULTILINE)
_EVENTS = re.compile(r"^\s+total number of events:\s+([0-9]+)$", re.MULTILINE)
_TIME = re.compile(r"^\s+total time:\s+([0-9.]+)s$", re.MULTILINE)
_THREADS = re.compile(r"^Number of threads: ([0-9]+)$", re.MULTILINE)


def argv(spec: WorkSpec) -> list[str]:
    """The command line; the prime limit fixes the size of one event."""
    limit = ["--events=50"] if spec.warmup else []
    return [
        "sysbench",
        "cpu",
        "--cpu-max-prime=10000",
        f"--threads={spec.vcpus}",
        f"--time={spec.seconds}",
        *limit,
        "run",
    ]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read events per second."""
    threads = int(find(_THREADS, stdout, "the number of threads").group(1))
    if threads != spec.vcpus:
        raise WorkloadError(f"sysbench ran {threads} threads instead of {spec.vcpus}")
    rate = float(find(_RATE, stdout, "'events per second'").group(1))
    events = int(find(_EVENTS, stdout, "'total number of events'").group(1))
    seconds = float(find(_TIME, stdout, "'total time'").group(1))
    as_long_as(spec, seconds)
    return counted(rate, events, seconds, "events per second")


WORKLOAD = Workload(
    name="cpu",
    metric="events_per_second",
    unit="1/s",
    direction="higher",
    argv=argv,
    parse=parse,
    # An event takes about 0.2 ms on a core of today; 1e7 would be 2,000 such cores.
    low=0.1,
    high=1e7,
)
