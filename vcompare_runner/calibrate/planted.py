# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""A real run with effects of known size in it: does the report find them, and say how large they are?"""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np

from vcompare_runner.bundle import Bundle
from vcompare_runner.names import BARE, PLANTED
from vcompare_runner.statistics import (
    LEVEL,
    MIN_PAIRS,
    ArmFigures,
    ScenarioFigures,
    analyse,
    order,
)

# What the backend of ``bare-planted`` does to an instance.
SHARE_OF_CPU = 0.8
LATE_S = 0.05


@dataclasses.dataclass(frozen=True)
class Effect:
    """An effect that was planted, and what the run says of it.

    :param null: what the figure is where nothing was planted: a ratio of 1, a difference of 0.
    :param truth: what was planted, in ``unit``.
    :param found: median of the paired blocks; ``low`` and ``high`` are its 95% interval.
    """

    scenario: str
    metric: str
    host: str
    unit: str
    null: float
    truth: float
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
        """Say whether what was planted lies in the interval."""
        return self.low <= self.truth <= self.high


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
            effects.append(_effect(scenario, arm, pair, blocks))
    return tuple(effects), tuple(skipped)


def _effect(
    scenario: ScenarioFigures, arm: ArmFigures, bare: ArmFigures, blocks: t.Sequence[int]
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
        found=found,
        low=low,
        high=high,
        blocks=len(blocks),
    )
