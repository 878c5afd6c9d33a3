# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The workloads that there are. A new one is a file beside this one, and a line here."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.workloads import (
    context_switch,
    cpu,
    fork,
    memory_bandwidth,
    startup,
    syscall,
)
from ansible_collections.vcompare.lab.plugins.module_utils.workloads.base import Workload

WORKLOADS: t.Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        cpu.WORKLOAD,
        memory_bandwidth.WORKLOAD,
        syscall.WORKLOAD,
        fork.WORKLOAD,
        context_switch.WORKLOAD,
    )
}


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a scenario's samples are called."""

    scenario: str
    metric: str
    unit: str
    direction: str


def metric(scenario: str) -> Metric:
    """Return the metric of a scenario; KeyError when there is none of that name."""
    if scenario == startup.NAME:
        return Metric(startup.NAME, startup.METRIC, startup.UNIT, startup.DIRECTION)
    workload = WORKLOADS[scenario]
    return Metric(workload.name, workload.metric, workload.unit, workload.direction)


SCENARIOS: tuple[str, ...] = (startup.NAME, *WORKLOADS)
