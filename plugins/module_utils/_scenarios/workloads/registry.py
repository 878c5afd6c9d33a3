# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scenarios that there are. A new workload is a file beside this one, and a line here."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.registry import (
    EXPERIMENTS,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import (
    context_switch,
    cpu,
    fork,
    memcached,
    memory_bandwidth,
    memory_latency,
    redis,
    startup,
    syscall,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Metric,
    Workload,
)

WORKLOADS: t.Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        cpu.WORKLOAD,
        memory_bandwidth.WORKLOAD,
        memory_latency.WORKLOAD,
        syscall.WORKLOAD,
        fork.WORKLOAD,
        context_switch.WORKLOAD,
        redis.WORKLOAD,
        memcached.WORKLOAD,
    )
}


def metrics(scenario: str) -> tuple[Metric, ...]:
    """Return what the samples of a scenario may be called; KeyError when there is none of that name."""
    if scenario == startup.NAME:
        return (startup.FIGURE,)
    if scenario in WORKLOADS:
        return (WORKLOADS[scenario].figure,)
    return EXPERIMENTS[scenario].metrics


SCENARIOS: tuple[str, ...] = (startup.NAME, *WORKLOADS, *EXPERIMENTS)
