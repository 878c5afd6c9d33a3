# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scenarios: one row each, in the order in which a turn does them.

What a scenario does, and its metrics, are its module's (``workloads/``, ``experiments/``); a test says where a row and
its module disagree.
"""

from __future__ import annotations

import dataclasses
import typing as t

# Kinds. A workload runs for a fixed time or does fixed work; how long an experiment takes depends on the host.
START, WORKLOAD, EXPERIMENT = "start", "workload", "experiment"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What is measured.

    :param title: heading in a report.
    :param one_metric: whether the title names what is measured; of others the metric has to be said.
    :param images: images that it needs beside the guest image.
    """

    name: str
    kind: str
    title: str
    one_metric: bool = False
    images: tuple[str, ...] = ()


ROWS: tuple[Scenario, ...] = (
    Scenario("startup", START, "Start-up", True),
    Scenario("cpu", WORKLOAD, "Processor", True),
    Scenario("memory-bandwidth", WORKLOAD, "Memory bandwidth", True),
    Scenario("memory-latency", WORKLOAD, "Memory latency", True),
    Scenario("syscall", WORKLOAD, "System calls", True),
    Scenario("fork", WORKLOAD, "Processes", True),
    Scenario("context-switch", WORKLOAD, "Context switches", True),
    Scenario("redis", WORKLOAD, "Redis", True),
    Scenario("memcached", WORKLOAD, "Memcached", True),
    # footprint first: the second instance costs what it costs only while it is the second.
    Scenario("footprint", EXPERIMENT, "Footprint"),
    Scenario("disk", EXPERIMENT, "Disk"),
    Scenario("network", EXPERIMENT, "Network"),
    Scenario("churn", EXPERIMENT, "Churn"),
    Scenario("isolation", EXPERIMENT, "Isolation"),
    Scenario("ten-apps", EXPERIMENT, "Ten applications"),
    Scenario("density", EXPERIMENT, "Density"),
    Scenario("delivery", EXPERIMENT, "Delivery"),
    Scenario("image-history", EXPERIMENT, "Versions of a state"),
    Scenario("image-build", EXPERIMENT, "Building an image"),
    Scenario("consistency", EXPERIMENT, "The same everywhere"),
    Scenario("two-kernels", EXPERIMENT, "Two kernels at once", True, ("other-release",)),
    Scenario("os-variety", EXPERIMENT, "Other systems", False, ("other-release", "other-systems")),
    Scenario("docker-in-vm", EXPERIMENT, "Docker in a virtual machine", True),
    # Before containment, whose last step ends the instance.
    Scenario("snapshots", EXPERIMENT, "Snapshots"),
    Scenario("pool", EXPERIMENT, "Pool"),
    Scenario("containment", EXPERIMENT, "Containment"),
    Scenario("full-start", EXPERIMENT, "Start of a whole system", True, ("full-system",)),
    # After all: nothing is cached then.
    Scenario("cold-start", EXPERIMENT, "Start from the disk", True),
)
BY_NAME: t.Mapping[str, Scenario] = {scenario.name: scenario for scenario in ROWS}
SCENARIOS: tuple[str, ...] = tuple(BY_NAME)
WORKLOADS: tuple[str, ...] = tuple(row.name for row in ROWS if row.kind == WORKLOAD)
EXPERIMENTS: tuple[str, ...] = tuple(row.name for row in ROWS if row.kind == EXPERIMENT)

# What the lookup `contract` gives to roles, as lists and dictionaries.
TABLES: t.Mapping[str, t.Any] = {
    "scenarios": SCENARIOS,
    "images_of_scenario": {row.name: row.images for row in ROWS if row.images},
}
