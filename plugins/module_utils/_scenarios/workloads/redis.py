# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application itself: redis-benchmark reads from the redis of its own instance, a fixed number of times.

Client and server share the instance, so that what is measured is the application with its system calls and its
instance's own network stack, and no bridge. The clients wait for their replies (a closed loop), so the figure is a
throughput and says nothing of latency under load.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkSpec,
    find,
)

NAME = "redis"
_REQUESTS = 20_000
_CLIENTS = 8
# redis 7.0, with --csv: the rate, then latencies.
_RATE = re.compile(r'^"GET","([0-9.]+)"(?:,"[0-9.]+")+$', re.MULTILINE)


def _count(spec: WorkSpec) -> int:
    asked = spec.loops.get(NAME, _REQUESTS)
    return max(asked // 10, 1) if spec.warmup else asked


def argv(spec: WorkSpec) -> list[str]:
    """The command line; the key is never there, which is the same work in every arm."""
    return [
        "redis-benchmark",
        "-h",
        spec.address,
        "-p",
        str(startup.PORT),
        "-t",
        "get",
        "-n",
        str(_count(spec)),
        "-c",
        str(_CLIENTS),
        "--csv",
    ]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read requests per second."""
    return float(find(_RATE, stdout, "the rate of GET").group(1))


WORKLOAD = Workload(
    name=NAME,
    metric="requests_per_second",
    unit="1/s",
    direction="higher",
    argv=argv,
    parse=parse,
    # One processor answers some hundred thousand; a hundred of them are beyond any one redis, which has one thread.
    low=0.1,
    high=1e7,
)
