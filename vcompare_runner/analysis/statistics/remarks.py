# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What stands out in the series of a run: the flags of ``flags.py`` for every arm and scenario."""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np

from vcompare_runner._contract.arms import arm_order
from vcompare_runner.analysis.statistics.figures import ScenarioFigures, block_iterations
from vcompare_runner.analysis.statistics.flags import (
    Trend,
    lag_correlation,
    outliers,
    trend,
    trend_within,
)
from vcompare_runner.bundle.samples import UNITS_WITH_ZERO, SeriesKey
from vcompare_runner.bundle.schema import Bundle

Kind = t.Literal["trend-over-blocks", "trend-over-iterations", "outliers", "blocks-correlated"]

# Without correlation r₁ of n values scatters around −1/n by about 1/√n: one in sixteen series is
# flagged, as trends are. With fewer blocks only what is obvious would be.
_CORRELATION_SCORE = 1.534
_CORRELATION_BLOCKS = 10


@dataclasses.dataclass(frozen=True)
class Remark:
    """Something about one series that a reader must know. It changes no figure.

    :param blocks: numbers of the blocks that it is about; empty for all.
    :param p: of a trend; ``None`` for anything else.
    :param change: of a trend, from first to last, as a ratio (1.1: 10% more); ``None``
        for anything else.
    """

    kind: Kind
    scenario: str
    metric: str
    variant: str
    arm: str
    host: str
    blocks: tuple[int, ...]
    p: float | None
    change: float | None
    text: str


def find_remarks(bundle: Bundle, figures: t.Sequence[ScenarioFigures]) -> tuple[Remark, ...]:
    """Find trends and outliers in a run.

    :param figures: of the same bundle, by ``analyse``.

    Trends over blocks and outliers are looked for in log ratios to bare, since what slows a whole
    block down cancels there; for bare itself, in the logarithms of its values. Trends over
    iterations are looked for in the logarithms of what each block measured after its warm-up. What may be zero, answers
    and counts, has none.
    """
    found: list[Remark] = []
    for scenario in figures:
        if scenario.unit in UNITS_WITH_ZERO:
            continue
        for arm in scenario.arms:
            where = (scenario.scenario, scenario.metric, scenario.variant, arm.arm, arm.host)
            if arm.comparison is not None:
                blocks, series = arm.comparison.blocks, arm.comparison.log_ratios
                what = "the ratio to bare"
            else:
                blocks = tuple(sorted(arm.values))
                series = np.log([arm.values[block] for block in blocks])
                what = "the figure"
            found += _over_blocks(where, what, blocks, series)
    found += _over_iterations(bundle)
    return tuple(found)


_Where = tuple[str, str, str, str, str]


def _over_blocks(
    where: _Where, what: str, blocks: tuple[int, ...], series: np.ndarray
) -> list[Remark]:
    found = []
    over = trend(series.tolist())
    if over.flagged:
        found.append(_trend("trend-over-blocks", where, over, f"{what} {{}} over the blocks"))
    apart = tuple(blocks[index] for index in outliers(series.tolist()))
    if apart:
        words = f"block{'' if len(apart) == 1 else 's'} {', '.join(map(str, apart))}"
        text = f"{what} of {words} lies far from the other blocks'"
        found.append(Remark("outliers", *where, apart, None, None, text))
    lag = lag_correlation(series.tolist())
    count = len(blocks)
    if (
        lag is not None
        and count >= _CORRELATION_BLOCKS
        and lag > -1 / count + _CORRELATION_SCORE / math.sqrt(count)
    ):
        text = (
            f"{what} of a block is like that of the block before it (correlation {lag:.2f}): "
            "intervals may be too narrow"
        )
        found.append(Remark("blocks-correlated", *where, (), None, None, text))
    return found


def _over_iterations(bundle: Bundle) -> list[Remark]:
    def place(item: tuple[SeriesKey, t.Any]) -> tuple[t.Any, ...]:
        key = item[0]
        return (key.scenario, key.metric, key.variant, arm_order(key.arm), key.host)

    found = []
    for key, groups in sorted(block_iterations(bundle).items(), key=place):
        if key.unit in UNITS_WITH_ZERO:
            continue
        within = trend_within([np.log(groups[block]) for block in sorted(groups)])
        if within.flagged:
            where = (key.scenario, key.metric, key.variant, key.arm, key.host)
            text = "the figure {} over the iterations of a block: the warm-up may be too short"
            found.append(_trend("trend-over-iterations", where, within, text))
    return found


def _trend(kind: Kind, where: _Where, found: Trend, text: str) -> Remark:
    change = float(np.exp(found.change or 0.0))
    words = f"{'rises' if change >= 1 else 'falls'} by {abs(change - 1):.1%}"
    return Remark(kind, *where, (), found.p, change, text.format(words))
