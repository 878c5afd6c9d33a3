# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The percentile bootstrap of the median: what ``inference.median_interval`` is measured against.

Reports don't use it, since it covers too little with few blocks (see ``inference.py``).
"""

from __future__ import annotations

import math
import typing as t

import numpy as np
import scipy.stats

from vcompare_runner.statistics.inference import LEVEL, MIN_PAIRS, Interval, attainable_coverage

# Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3, want at least 1,000
# resamples for percentile intervals; the Monte Carlo error of an end does not grow with the number
# of blocks, so that large runs can do with fewer.
_RESAMPLES_SMALL = 9999
_RESAMPLES_LARGE = 1999
_LARGE = 200


def bootstrap_interval(log_ratios: np.ndarray, seed: t.Sequence[int]) -> Interval | None:
    """Return the percentile bootstrap interval of the median ratio; blocks are what is drawn.

    :param log_ratios: one per block.
    :param seed: entropy; the same seed and figures give the same interval.
    :returns: ``None`` with fewer than ``MIN_PAIRS`` blocks.

    Source: Efron and Tibshirani (1993), section 13.3, by ``scipy.stats.bootstrap``. The percentile
    method, not BCa: BCa's acceleration comes from a jackknife, which is not consistent for the
    median (same book, section 11.6).
    """
    pairs = len(log_ratios)
    if pairs < MIN_PAIRS:
        return None
    result = scipy.stats.bootstrap(
        (log_ratios,),
        np.median,
        n_resamples=_RESAMPLES_SMALL if pairs <= _LARGE else _RESAMPLES_LARGE,
        batch=max(1, 2_000_000 // pairs),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(list(seed)),
    )
    low, high = result.confidence_interval
    return Interval(math.exp(low), math.exp(high), LEVEL, attainable_coverage(pairs))
