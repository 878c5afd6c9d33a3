# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an experiment is: a scenario that is more than a command inside an instance.

An experiment has steps, each at one moment of an arm's turn, and each with the metrics that it gives. What a step
can't give in an arm it refuses, with the reason; what goes wrong in one step costs that step's figures only.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import (
    WITHIN_ANOTHER,
    WITHOUT_TECHNOLOGY,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.stage import Stage
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import Metric

# The moments of a turn. At rest: the application has replied, and nothing else was done with the instance. Later: the
# arm has proven itself, and its workloads are done. Last: nothing is measured after it, so that the instance may end.
REST, LATER, LAST = "rest", "later", "last"


def answer(scenario: str, metric: str) -> Metric:
    """Make the metric of a question that is answered by yes (1) or no (0)."""
    return Metric(scenario, metric, "yes/no", "higher", 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A value of a metric, and what it was made of in words (kept as evidence)."""

    metric: Metric
    value: float
    text: str


@dataclasses.dataclass(frozen=True)
class Step:
    """One part of an experiment.

    :param moment: when in a turn.
    :param metrics: all that it may give.
    :param measure: yields figures as they come.
    :param company: whether it needs further instances beside the first, or as much time as they do: short profiles
        leave it out.
    """

    moment: str
    metrics: tuple[Metric, ...]
    measure: t.Callable[[Stage], t.Iterator[Figure]]
    company: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A scenario of steps.

    :param without: arms that don't have it at all.
    :param data_mib: size of the writable file system that the turn's instance needs for it; 0: none.
    :param cools: whether the host has forgotten afterwards what it had cached of its disks. In a run with such an
        experiment each turn begins with a start that is not timed, or the turn's own would be cold as well.
    """

    name: str
    steps: tuple[Step, ...]
    without: tuple[str, ...] = (*WITHOUT_TECHNOLOGY, *WITHIN_ANOTHER)
    data_mib: int = 0
    cools: bool = False

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What all its steps may give."""
        return tuple(metric for step in self.steps for metric in step.metrics)


def replied(result: Result, what: str) -> str:
    """Return what a command printed; its failure is the step's."""
    if result.rc != 0:
        said = (result.stderr.strip() or result.stdout.strip())[-200:] or "nothing"
        raise BackendError(f"{what} ended with {result.rc}: {said}")
    return result.stdout
