# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The experiments that there are, in the order in which a turn does them. A new one is its file, and a line here."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    churn,
    cold_start,
    consistency,
    containment,
    delivery,
    density,
    disk,
    docker_in_vm,
    footprint,
    full_start,
    image_build,
    image_history,
    isolation,
    network,
    os_variety,
    pool,
    snapshots,
    ten_apps,
    two_kernels,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    Experiment,
)

# footprint first: the second instance costs what it costs only while it is the second. snapshots before containment,
# whose last step ends the instance. The other starts come after that, cold-start after all: nothing is cached then.
EXPERIMENTS: t.Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        footprint.EXPERIMENT,
        disk.EXPERIMENT,
        network.EXPERIMENT,
        churn.EXPERIMENT,
        isolation.EXPERIMENT,
        ten_apps.EXPERIMENT,
        density.EXPERIMENT,
        delivery.EXPERIMENT,
        image_history.EXPERIMENT,
        image_build.EXPERIMENT,
        consistency.EXPERIMENT,
        two_kernels.EXPERIMENT,
        os_variety.EXPERIMENT,
        docker_in_vm.EXPERIMENT,
        snapshots.EXPERIMENT,
        pool.EXPERIMENT,
        containment.EXPERIMENT,
        full_start.EXPERIMENT,
        cold_start.EXPERIMENT,
    )
}
