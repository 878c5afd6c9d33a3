# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The bootstrap of the median: what ``inference.median_interval`` is measured against.

Reports don't use it, since it covers too little with few blocks (see ``inference.py``).
"""

from __future__ import annotations

import math
import typing as t

import numpy as np
import scipy.stats

from vcompare_runner.analysis.statistics.inference import (
    LEVEL,
    MIN_PAIRS,
    Interval,
    attainable_coverage,
)

# Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3, want at least 1,000
# resamples for percentile intervals; the Monte Carlo error of an end does not grow with the number
# of blocks, so that large runs can do with fewer.
_RESAMPLES_SMALL = 9999
_RESAMPLES_LARGE = 1999
_LARGE = 200

Method = t.Literal["percentile", "basic", "BCa"]


def bootstrap_bounds(
    values: np.ndarray, level: float, method: Method, rng: np.random.Generator, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the bootstrap interval of the median, by ``scipy.stats.bootstrap``.

    :param values: shape (…, n).
    :returns: two arrays of shape (…).

    Source: Efron and Tibshirani (1993), sections 13.3 (percentile) and 14.3 (BCa).
    """
    result = scipy.stats.bootstrap(
        (values,),
        np.median,
        axis=-1,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // values.size),
        vectorized=True,
        confidence_level=level,
        method=method,
        rng=rng,
    )
    return np.asarray(result.confidence_interval.low), np.asarray(result.confidence_interval.high)


def bootstrap_interval(log_ratios: np.ndarray, seed: t.Sequence[int]) -> Interval | None:
    """Return the percentile bootstrap interval of the median ratio; blocks are what is drawn.

    :param log_ratios: one per block.
    :param seed: entropy; the same seed and figures give the same interval.
    :returns: ``None`` with fewer than ``MIN_PAIRS`` blocks.

    The percentile method, not BCa: BCa's acceleration comes from a jackknife, which is not
    consistent for the median (Efron and Tibshirani, section 11.6).
    """
    pairs = len(log_ratios)
    if pairs < MIN_PAIRS:
        return None
    low, high = bootstrap_bounds(
        np.asarray(log_ratios, dtype=np.float64),
        LEVEL,
        "percentile",
        np.random.default_rng(list(seed)),
        _RESAMPLES_SMALL if pairs <= _LARGE else _RESAMPLES_LARGE,
    )
    return Interval(math.exp(float(low)), math.exp(float(high)), LEVEL, attainable_coverage(pairs))
