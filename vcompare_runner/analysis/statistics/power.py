# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What so many blocks can find, and how many blocks would be enough.

Both are estimates from the spread that was observed: with five blocks they are rough.
"""

from __future__ import annotations

import functools
import typing as t

import numpy as np
import scipy.special

from vcompare_runner.analysis.statistics import order
from vcompare_runner.analysis.statistics.inference import LEVEL, MIN_PAIRS, median_interval

# A standard error of at most 1.6 percentage points of the power.
_RESAMPLES = 1000


def detection_power(
    log_ratios: np.ndarray, effect_log: float, seed: t.Sequence[int], tests: int = 1
) -> float | None:
    """Return how likely a difference of a given size is to be shown by as many blocks again.

    :param log_ratios: one per block, as observed; finite.
    :param effect_log: the difference on the log scale, e.g. ``log(1.1)`` for 10%.
    :param seed: entropy.
    :param tests: how many tests the report makes: each has to pass at (1 − ``LEVEL``) / ``tests``,
        the first and hardest of Holm's steps, so that the power is not overstated.
    :returns: between 0 and 1; ``None`` with fewer than ``MIN_PAIRS`` blocks.

    Source: the bootstrap's estimate of power, Efron and Tibshirani, "An Introduction to the
    Bootstrap" (1993), chapter 25: blocks are drawn again from the observed ones, moved by the
    effect, and tested by the same two-sided test as in the report.
    """
    values = np.asarray(log_ratios, dtype=np.float64)
    if len(values) < MIN_PAIRS:
        return None
    rng = np.random.default_rng(list(seed))
    alpha = (1.0 - LEVEL) / tests
    return float(powers(values, [effect_log], alpha, rng, _RESAMPLES)[0])


def powers(
    values: np.ndarray,
    effects_log: t.Sequence[float],
    alpha: float,
    rng: np.random.Generator,
    resamples: int,
) -> np.ndarray:
    """Return the power for several effects and many samples at once; see ``detection_power``.

    :param values: shape (…, n).
    :param alpha: two-sided level of the test.
    :returns: shape (len(effects_log), …).
    """
    count = values.shape[-1]
    # Values drawn again scatter less than those that they stand for, by (n − 1) / n in variance.
    residuals = (values - np.median(values, axis=-1, keepdims=True)) * np.sqrt(count / (count - 1))
    chosen = rng.integers(0, count, (*values.shape[:-1], resamples, count))
    drawn = np.take_along_axis(residuals[..., None, :], chosen, -1)
    return np.stack(
        [
            np.mean(order.p_either(drawn + effect, 0.0) <= alpha, axis=-1, dtype=np.float64)
            for effect in effects_log
        ]
    )


def blocks_needed(
    log_ratios: np.ndarray,
    half_width_log: float,
    level: float = LEVEL,
    most: int = 1000,
) -> int | None:
    """Return how many blocks would make the interval narrow enough, by the spread observed so far.

    :param half_width_log: half of the wanted width on the log scale, e.g. ``log(1.05) / 2``.
    :returns: at least as many as there are; ``None`` with fewer than ``MIN_PAIRS`` blocks (there is
        no interval to go by), and where more than ``most`` would be needed.
    :raises ValueError: the wanted width is not positive.

    A run that stops as soon as one interval is narrow has picked it for being narrow, and covers
    less (90 to 94%, ``calibrate/stopping.py``); stop when all comparisons have enough.

    The interval of n blocks is as wide as expected order statistics of normal noise make it (G.
    Blom, "Statistical Estimates and Transformed Beta-Variables" (1958): E X_(k) ≈ Φ⁻¹((k − 3/8) /
    (n + 1/4))), times a scale that is taken from the interval observed.
    """
    if not half_width_log > 0:
        raise ValueError("the wanted half-width is not positive")
    values = np.asarray(log_ratios, dtype=np.float64)
    interval = median_interval(values, level=level)
    if interval is None:
        return None
    have = len(values)
    observed = interval.half_width_log
    if observed <= half_width_log:
        return have
    wanted = half_width_log / observed * _expected_half_width(have, level)
    # Its width falls as 1/√n; a step of one block may widen it a little, so that the last steps are
    # taken one by one.
    for blocks in range(have + 1, most + 1):
        if _expected_half_width(blocks, level) <= wanted:
            return blocks
    return None


@functools.lru_cache(maxsize=4096)
def _expected_half_width(count: int, level: float) -> float:
    """Return half the width of an interval of n blocks, in standard deviations of normal noise."""
    expected = scipy.special.ndtri((np.arange(1, count + 1) - 0.375) / (count + 0.25))
    low, high = order.bounds(np.asarray(expected, dtype=np.float64), level)
    return float(high - low) / 2
