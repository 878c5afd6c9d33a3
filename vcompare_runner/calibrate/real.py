# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""A real run against itself: bare beside bare again, where no difference is there to be shown."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from vcompare_runner._contract.arms import AGAIN, BARE
from vcompare_runner.analysis.statistics import (
    LEVEL,
    Comparison,
    analyse,
    detection_power,
    holm,
    p_either,
)
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.core.errors import BundleError

# What a run says of itself: how likely differences of this size would have been shown.
EFFECTS = (0.03, 0.10, 0.30)

# What the project's acceptance asks of such a run.
BLOCKS_WANTED = 10


@dataclasses.dataclass(frozen=True)
class SameArm:
    """One comparison of bare with itself.

    :param p: two-sided, of "the ratio is 1"; ``p_adjusted`` by Holm over the whole run.
    :param power: effect (0.1: 10%) → how likely it would have been shown.
    """

    scenario: str
    metric: str
    variant: str
    host: str
    comparison: Comparison
    p: float
    p_adjusted: float
    power: t.Mapping[float, float]

    @property
    def shows_difference(self) -> bool:
        """Say whether the run claims a difference that can't be."""
        return self.p_adjusted <= 1 - LEVEL


@dataclasses.dataclass(frozen=True)
class SameArms:
    """All comparisons of bare with itself in a run.

    :param skipped: what could not be tested, and why.
    """

    run: str
    tests: tuple[SameArm, ...]
    skipped: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Say whether no difference is shown."""
        return not any(test.shows_difference for test in self.tests)


def compare_same(bundle: Bundle) -> SameArms:
    """Compare ``bare-again`` with ``bare`` in all scenarios of a run.

    :raises BundleError: the run has no such pair of arms, or too few blocks of it.
    """
    found: dict[tuple[str, str, str, str], Comparison] = {}
    skipped = []
    for scenario in analyse(bundle):
        for arm in scenario.arms:
            if arm.arm != AGAIN:
                continue
            where = f"{scenario.scenario}/{scenario.metric} on {arm.host}"
            if arm.comparison is None or arm.comparison.interval is None:
                reason = arm.comparison.reason if arm.comparison else arm.reason
                skipped.append(f"{where}: {reason}")
            elif arm.comparison.baseline[1] != arm.host:
                skipped.append(f"{where}: {BARE} did not run there")
            else:
                key = (scenario.scenario, scenario.metric, scenario.variant, arm.host)
                found[key] = arm.comparison
    if not found:
        raise BundleError(
            f"the run {bundle.manifest.run} has nothing to compare {BARE} with itself by"
            + (f": {'; '.join(skipped)}" if skipped else f": it has no arm {AGAIN}"),
            f"measure with {BARE} and {AGAIN} among the arms, at least {BLOCKS_WANTED} blocks",
        )
    seed = [bundle.manifest.seed]
    raw = {key: p_either(comparison.log_ratios, 0.0) for key, comparison in found.items()}
    adjusted = holm(raw)
    return SameArms(
        bundle.manifest.run,
        tuple(
            SameArm(*key, comparison, raw[key], adjusted[key], _power(comparison, seed, len(found)))
            for key, comparison in found.items()
        ),
        tuple(skipped),
    )


def _power(comparison: Comparison, seed: t.Sequence[int], tests: int) -> dict[float, float]:
    figures = {
        effect: detection_power(comparison.log_ratios, math.log1p(effect), seed, tests)
        for effect in EFFECTS
    }
    return {effect: figure for effect, figure in figures.items() if figure is not None}
