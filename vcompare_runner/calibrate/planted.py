# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""A real run with effects of known size in it: does the report find them, and say how large they are?"""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np

from vcompare_runner._contract.arms import BARE, PLANTED
from vcompare_runner.analysis.statistics import (
    LEVEL,
    MIN_PAIRS,
    ArmFigures,
    ScenarioFigures,
    analyse,
    order,
)
from vcompare_runner.bundle.schema import Bundle

# What the backend of ``bare-planted`` does to an instance.
SHARE_OF_CPU = 0.8
# The limit is one of CPU time in each of these periods.
PERIOD_S = 0.5
LATE_S = 0.05


@dataclasses.dataclass(frozen=True)
class Effect:
    """An effect that was planted, and what the run says of it.

    :param null: what the figure is where nothing was planted: a ratio of 1, a difference of 0.
    :param truth: what was planted, in ``unit``: the least that it can be.
    :param truth_high: and the most, see :func:`most_of_cpu`.
    :param found: median of the paired blocks; ``low`` and ``high`` are its 95% interval.
    """

    scenario: str
    metric: str
    host: str
    unit: str
    null: float
    truth: float
    truth_high: float
    found: float
    low: float
    high: float
    blocks: int

    @property
    def shown(self) -> bool:
        """Say whether the interval tells the effect from none."""
        return not self.low <= self.null <= self.high

    @property
    def right(self) -> bool:
        """Say whether the interval reaches what was planted."""
        return self.low <= self.truth_high and self.truth <= self.high

    @property
    def planted(self) -> str:
        """What was planted, in words."""
        if self.truth == self.truth_high:
            return f"{self.truth:g}"
        return f"{self.truth:g} to {self.truth_high:.3g}"


def most_of_cpu(iteration_s: float) -> float:
    """Return the largest share of a CPU that an iteration can have under the limit.

    It has the limit's share in each whole period. One that begins within a period, nothing of whose quota was used, can
    run in what is left of that one, and in the part that it has of the last: 1 - s of a period more.
    """
    return SHARE_OF_CPU + (1 - SHARE_OF_CPU) * PERIOD_S / iteration_s


def find_planted(bundle: Bundle) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """Return the effects that were planted in a run, and what could not be looked at and why.

    Both are empty when the run has no arm ``bare-planted``.
    """
    effects, skipped = [], []
    for scenario in analyse(bundle):
        if scenario.scenario not in ("cpu", "startup"):
            continue
        bare = {arm.host: arm for arm in scenario.arms if arm.arm == BARE}
        for arm in scenario.arms:
            if arm.arm != PLANTED:
                continue
            pair = bare.get(arm.host)
            blocks = sorted(set(arm.values) & set(pair.values if pair else {}))
            if pair is None or len(blocks) < MIN_PAIRS:
                skipped.append(
                    f"{scenario.scenario} on {arm.host}: {len(blocks)} blocks with {BARE} and {PLANTED}, "
                    f"an interval needs {MIN_PAIRS}"
                )
                continue
            effects.append(_effect(scenario, arm, pair, blocks, _iteration_s(bundle, arm.host)))
    return tuple(effects), tuple(skipped)


def _iteration_s(bundle: Bundle, host: str) -> float:
    """Length of the shortest iteration under the limit, in seconds; what starting the program took is part of it."""
    samples = bundle.samples
    return min(
        (
            elapsed
            for index, elapsed in enumerate(samples.host_elapsed_s)
            if elapsed
            and not samples.warmup[index]
            and (series := samples.keys[samples.series[index]]).arm == PLANTED
            and (series.scenario, series.host) == ("cpu", host)
        ),
        default=math.inf,
    )


def _effect(
    scenario: ScenarioFigures,
    arm: ArmFigures,
    bare: ArmFigures,
    blocks: t.Sequence[int],
    iteration_s: float,
) -> Effect:
    pairs = [(arm.values[block], bare.values[block]) for block in blocks]
    share = scenario.scenario == "cpu"
    values = np.array(
        [math.log(planted / free) if share else planted - free for planted, free in pairs]
    )
    estimates = (np.median(values), *order.bounds(values, LEVEL))
    found, low, high = (math.exp(each) if share else float(each) for each in estimates)
    return Effect(
        scenario=scenario.scenario,
        metric=scenario.metric,
        host=arm.host,
        unit="ratio" if share else "s",
        null=1.0 if share else 0.0,
        truth=SHARE_OF_CPU if share else LATE_S,
        truth_high=most_of_cpu(iteration_s) if share else LATE_S,
        found=found,
        low=low,
        high=high,
        blocks=len(blocks),
    )
