# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""From samples to ratios with intervals.

The block (a fresh instance of every arm, one after the other) is the unit: samples of one boot are
correlated, so that more iterations within a block don't make a figure more certain, only more
blocks do. See T. Kalibera and R. Jones, "Rigorous benchmarking in reasonable time", ISMM 2013,
sections 4 to 6 (repetition at the highest level that varies),
https://doi.org/10.1145/2464157.2464160.

Arms are compared within a block, as log ratios: whatever slows a whole block down (a noisy
neighbour, a warm CPU) slows both sides and cancels. Ratios are compared on the log scale since 2
and 1/2 are equally far from 1; medians and intervals between order statistics carry over
by ``exp``.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
import zlib

import numpy as np

from vcompare_runner._contract.arms import BARE, arm_order
from vcompare_runner.analysis.statistics.inference import MIN_PAIRS, Interval, median_interval
from vcompare_runner.bundle.samples import OK, UNITS_WITH_ZERO, SeriesKey
from vcompare_runner.bundle.schema import Bundle


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, block by block.

    :param baseline: (arm, host) that it is compared with.
    :param blocks: numbers of the blocks that both have a value in.
    :param log_ratios: natural logarithm of arm / baseline, one per block. Claims are tested on these.
    :param ratio: exp of their median; ``None`` when there is no pair.
    :param interval: ``None`` when there are too few pairs; ``reason`` says so.
    """

    baseline: tuple[str, str]
    blocks: tuple[int, ...]
    log_ratios: np.ndarray
    ratio: float | None
    interval: Interval | None
    reason: str | None


@dataclasses.dataclass(frozen=True)
class ArmFigures:
    """The figures of one arm in one scenario, in the scenario's unit.

    :param values: block number → median of the block's iterations (warm-up left out).
    :param samples: how many samples they are made of.
    :param median: median of the block values; ``None`` when there is no value.
    :param comparison: ``None`` for the baseline itself and where there is none; ``reason`` says
        why.
    """

    arm: str
    host: str
    values: t.Mapping[int, float]
    samples: int
    median: float | None
    comparison: Comparison | None
    reason: str | None


@dataclasses.dataclass(frozen=True)
class ScenarioFigures:
    """All arms in one scenario and metric.

    ``direction`` says what is better: ``lower`` or ``higher``.
    """

    scenario: str
    metric: str
    unit: str
    direction: str
    variant: str
    arms: tuple[ArmFigures, ...]


def compare(
    values: t.Mapping[int, float],
    baseline: t.Mapping[int, float],
    baseline_of: tuple[str, str],
    seed: t.Sequence[int],
) -> Comparison:
    """Compare an arm with its baseline: log(arm / baseline) of each block, their median, interval.

    :param values: block number → figure, positive.
    :param baseline: the same for the baseline; only blocks that both have are used.
    """
    blocks = tuple(sorted(set(values) & set(baseline)))
    log_ratios = np.array(
        [math.log(values[block] / baseline[block]) for block in blocks], dtype=np.float64
    )
    if not blocks:
        return Comparison(
            baseline_of,
            (),
            log_ratios,
            None,
            None,
            f"no block has a figure of both it and {baseline_of[0]}",
        )
    interval = median_interval(log_ratios, seed)
    reason = None
    if interval is None:
        reason = (
            f"{len(blocks)} paired {'block' if len(blocks) == 1 else 'blocks'}: a 95% interval "
            "needs "
            f"at least {MIN_PAIRS}"
        )
    return Comparison(
        baseline_of, blocks, log_ratios, math.exp(float(np.median(log_ratios))), interval, reason
    )


def block_iterations(bundle: Bundle) -> dict[SeriesKey, dict[int, np.ndarray]]:
    """Return for each series: block number → its used iterations without warm-up, as they ran."""
    samples = bundle.samples
    chosen = np.flatnonzero(samples.used & ~samples.warmup & (samples.status == OK))
    order = np.lexsort((samples.iteration[chosen], samples.block[chosen], samples.series[chosen]))
    chosen = chosen[order]
    result: dict[SeriesKey, dict[int, np.ndarray]] = {key: {} for key in samples.keys}
    if not len(chosen):
        return result
    series, block, value = samples.series[chosen], samples.block[chosen], samples.value[chosen]
    starts = np.flatnonzero(np.r_[True, (np.diff(series) != 0) | (np.diff(block) != 0)])
    for group, start in zip(np.split(value, starts[1:]), starts, strict=True):
        result[samples.keys[series[start]]][int(block[start])] = group
    return result


def block_values(bundle: Bundle) -> dict[SeriesKey, tuple[dict[int, float], int]]:
    """Return for each series.

    Block number → median of its used, not warm-up iterations; and how many those are.
    """
    return {
        key: (
            {block: float(np.median(group)) for block, group in groups.items()},
            sum(map(len, groups.values())),
        )
        for key, groups in block_iterations(bundle).items()
    }


def choose_baseline(host: str, bare_hosts: t.Collection[str]) -> tuple[str | None, str | None]:
    """Say which host's bare figures an arm is compared with, or why with none.

    The same host's where it has some; otherwise those of the only host that has (bare may be an
    equal machine without a hypervisor). With several to choose from there is no right one, and none
    is guessed.
    """
    if host in bare_hosts:
        return host, None
    if len(bare_hosts) == 1:
        return next(iter(bare_hosts)), None
    if not bare_hosts:
        return None, "there is no figure of bare"
    return None, f"bare ran on several hosts ({', '.join(sorted(bare_hosts))}) but not on {host}"


def analyse(bundle: Bundle) -> tuple[ScenarioFigures, ...]:
    """Compute all figures: per scenario, metric and variant, every arm and its ratio to bare.

    Scenarios come in the order of the profile, arms in their usual order.
    """
    per_scenario: dict[
        tuple[str, str, str, str, str], dict[tuple[str, str], tuple[dict[int, float], int]]
    ] = {}
    for key, figures in block_values(bundle).items():
        scenario = (key.scenario, key.metric, key.unit, key.direction, key.variant)
        per_scenario.setdefault(scenario, {})[key.arm, key.host] = figures
    listed = {name: number for number, name in enumerate(bundle.manifest.profile.scenarios)}
    return tuple(
        ScenarioFigures(*scenario, arms=_figures(scenario, arms, bundle.manifest.seed))
        for scenario, arms in sorted(
            per_scenario.items(), key=lambda item: (listed.get(item[0][0], len(listed)), item[0])
        )
    )


def _figures(
    scenario: tuple[str, ...],
    arms: t.Mapping[tuple[str, str], tuple[dict[int, float], int]],
    seed: int,
) -> tuple[ArmFigures, ...]:
    bare_hosts = [host for (arm, host), (values, _count) in arms.items() if arm == BARE and values]
    figures = []
    for (arm, host), (values, count) in sorted(
        arms.items(), key=lambda item: (arm_order(item[0][0]), item[0][1])
    ):
        comparison, reason = None, None
        if scenario[2] in UNITS_WITH_ZERO:
            reason = "a figure that may be zero has no ratio"
        elif arm != BARE:
            bare_host, reason = choose_baseline(host, bare_hosts)
            if bare_host is not None:
                # Each comparison has random numbers of its own, so that one more scenario or arm
                # does not move the intervals of the others.
                entropy = [seed, zlib.crc32("\0".join((*scenario, arm, host)).encode())]
                comparison = compare(values, arms[BARE, bare_host][0], (BARE, bare_host), entropy)
        median = float(np.median(list(values.values()))) if values else None
        figures.append(ArmFigures(arm, host, values, count, median, comparison, reason))
    return tuple(figures)
