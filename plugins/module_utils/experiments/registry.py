# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The experiments that there are, in the order in which a turn does them. A new one is its file, and a line here."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.experiments import (
    churn,
    containment,
    footprint,
    isolation,
    pool,
    snapshots,
)
from ansible_collections.vcompare.lab.plugins.module_utils.experiments.base import Experiment

# footprint first: the second instance costs what it costs only while it is the second. snapshots before containment,
# whose last step ends the instance.
EXPERIMENTS: t.Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        footprint.EXPERIMENT,
        churn.EXPERIMENT,
        isolation.EXPERIMENT,
        snapshots.EXPERIMENT,
        pool.EXPERIMENT,
        containment.EXPERIMENT,
    )
}
