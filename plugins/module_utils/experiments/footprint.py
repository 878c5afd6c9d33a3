# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one idle instance costs its host, and what the next one does.

Memory is what the host can give less of (MemAvailable, with Xen's own free memory in a control domain): it counts what
no process has, like page tables, and what a hypervisor took. Processes' own memory (PSS) is shown beside it.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.experiments import host
from ansible_collections.vcompare.lab.plugins.module_utils.experiments.base import (
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
# The host's own memory comes and goes by some MiB, so that a very small instance may seem to give some back.
_LEAST_MIB = -64.0
HOST_MEMORY = Metric(NAME, "host_memory", "MiB", "lower", _LEAST_MIB, 1e6)
PROCESS_MEMORY = Metric(NAME, "process_memory", "MiB", "lower", 0.0, 1e6)
DISK = Metric(NAME, "disk", "KiB", "lower", 0.0, 1e9)
PROCESSES = Metric(NAME, "processes", "count", "lower", 0.0, 1e6)
MARGINAL = Metric(NAME, "marginal_memory", "MiB", "lower", _LEAST_MIB, 1e6)

# Until what a start needed for a moment is given back.
_SETTLED_S = 1.0


def at_rest(stage: Stage) -> t.Iterator[Figure]:
    """The first instance: its application has replied, and has had nothing to do."""
    time.sleep(_SETTLED_S)
    now = host.state()
    taken = stage.before.available_mib - now.available_mib
    yield Figure(
        HOST_MEMORY,
        taken,
        f"available before {stage.before.available_mib:g} MiB, with the instance {now.available_mib:g} MiB",
    )
    new = now.new_processes(stage.before)
    names = ", ".join(f"{process.name} ({process.pid})" for process in new) or "none"
    yield Figure(PROCESS_MEMORY, host.proportional_mib(new), f"of the host's processes: {names}")
    paths = stage.backend.files(stage.spec.name)
    yield Figure(DISK, host.allocated_kib(paths), f"in {', '.join(paths)}")
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


def next_one(stage: Stage) -> t.Iterator[Figure]:
    """Another one like it, while the first is there: what is shared is paid for already."""
    before = host.state()
    stage.beside()
    time.sleep(_SETTLED_S)
    now = host.state()
    yield Figure(
        MARGINAL,
        before.available_mib - now.available_mib,
        f"available with one {before.available_mib:g} MiB, with two {now.available_mib:g} MiB",
    )


EXPERIMENT = Experiment(
    NAME,
    (
        Step(REST, (HOST_MEMORY, PROCESS_MEMORY, DISK, PROCESSES), at_rest),
        Step(LATER, (MARGINAL,), next_one, company=True),
    ),
)
