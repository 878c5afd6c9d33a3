# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one idle instance costs its host, and what the next one does.

Memory is what the host can give less of (MemAvailable, with Xen's own free memory in a control domain), which counts
what no process has, like page tables and what a hypervisor took; or what the new processes hold for themselves, where
that is more: a host's own memory comes and goes by more than a container takes. The processes' whole memory (PSS), with
the files that they have mapped, is shown beside it.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import data_disk
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    REST,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    replied,
)

NAME = "footprint"
HOST_MEMORY = Metric(NAME, "host_memory", "MiB", "lower", 0.0, 1e6)
PROCESS_MEMORY = Metric(NAME, "process_memory", "MiB", "lower", 0.0, 1e6)
DISK = Metric(NAME, "disk", "KiB", "lower", 0.0, 1e9)
PROCESSES = Metric(NAME, "processes", "count", "lower", 0.0, 1e6)
# What is never idle for a second: redis itself looks around ten times in each.
IDLE_CPU = Metric(NAME, "idle_cpu", "1", "lower", 1e-6, 1e3)
MARGINAL = Metric(NAME, "marginal_memory", "MiB", "lower", 0.0, 1e6)

# Until what a start needed for a moment is given back.
_SETTLED_S = 1.0
_LEAST_IDLE_S = 2


def at_rest(stage: Stage) -> t.Iterator[Figure]:
    """The first instance: its application has replied, and has had nothing to do."""
    time.sleep(_SETTLED_S)
    now = host.state()
    cost = host.cost(stage.before, now)
    yield Figure(HOST_MEMORY, cost.mib, cost.text)
    new = now.new_processes(stage.before)
    names = ", ".join(f"{process.name} ({process.pid})" for process in new) or "none"
    yield Figure(PROCESS_MEMORY, host.proportional_mib(new), f"of the host's processes: {names}")
    inside = 0
    if stage.backend.own_kernel:
        listed = replied(stage.run(["ls", "/proc"], 30.0), "listing its processes").split()
        # Without the list's own process, and the shell and the session around it.
        inside = max(sum(word.isdigit() for word in listed) - 1, 0)
    yield Figure(
        PROCESSES,
        len(new) + inside,
        f"on the host: {names}; of a kernel of its own: {inside}",
    )


def on_disk(stage: Stage) -> t.Iterator[Figure]:
    """What the first instance alone takes of the host's disk."""
    paths = stage.backend.files(stage.spec.name)
    # A data disk is as large as was asked for, and is there for another experiment.
    asked_for = [data_disk.path(path) for path in paths] if stage.spec.data_mib else []
    size = host.allocated_kib(paths) - host.allocated_kib(filter(os.path.lexists, asked_for))
    yield Figure(DISK, size, f"in {', '.join(paths)}")


def idle(stage: Stage) -> t.Iterator[Figure]:
    """What the first instance keeps busy on its host while its application has nothing to do."""
    time.sleep(_SETTLED_S)
    new = host.state().new_processes(stage.before)
    began, before = time.monotonic(), host.cpu_s(new)
    hidden = stage.backend.hidden_cpu(stage.spec.name, max(stage.seconds, _LEAST_IDLE_S))
    after, lasted_s = host.cpu_s(new), time.monotonic() - began
    spent = {process: after[process] - before[process] for process in before if process in after}
    shown = ", ".join(
        f"{process.name} ({process.pid}) {seconds * 1000:.2f} ms"
        for process, seconds in spent.items()
        if seconds
    )
    yield Figure(
        IDLE_CPU,
        sum(spent.values()) / lasted_s + hidden,
        f"processes of the host in {lasted_s:.2f} s: {shown or 'nothing'};"
        f" CPUs that a hypervisor gave it beside them: {hidden:g}",
    )


def next_one(stage: Stage) -> t.Iterator[Figure]:
    """Another one like it, while the first is there: what is shared is paid for already."""
    before = host.state()
    stage.beside()
    time.sleep(_SETTLED_S)
    now = host.state()
    cost = host.cost(before, now)
    yield Figure(MARGINAL, cost.mib, cost.text)


EXPERIMENT = Experiment(
    NAME,
    (
        Step(REST, (HOST_MEMORY, PROCESS_MEMORY, PROCESSES), at_rest),
        # Alone, since a storage driver may not say where an instance's layer is.
        Step(REST, (DISK,), on_disk),
        # With company, since it takes some seconds of each turn, which short profiles haven't got.
        Step(REST, (IDLE_CPU,), idle, company=True),
        Step(LATER, (MARGINAL,), next_one, company=True),
    ),
)
