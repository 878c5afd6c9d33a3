# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Other intervals of the median, measured beside the one that reports use: why it was chosen."""

from __future__ import annotations

import typing as t

import numpy as np
import scipy.special

from vcompare_runner.analysis.statistics import order
from vcompare_runner.analysis.statistics.bootstrap import bootstrap_bounds
from vcompare_runner.analysis.statistics.inference import LEVEL
from vcompare_runner.calibrate.cases import CASES, Size, log_ratios
from vcompare_runner.calibrate.study import COVERAGE, SPREAD, Figure, generator

PROCEDURE_PAIRS = (5, 6, 7, 10, 15)
_RESAMPLES = 599

Bounds = tuple[np.ndarray, np.ndarray]
Procedure = t.Callable[[np.ndarray, np.random.Generator], Bounds]


def _percentile(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    return bootstrap_bounds(values, LEVEL, "percentile", rng, _RESAMPLES)


def _basic(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    return bootstrap_bounds(values, LEVEL, "basic", rng, _RESAMPLES)


def _bca(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    return bootstrap_bounds(values, LEVEL, "BCa", rng, _RESAMPLES)


def _smoothed(values: np.ndarray, rng: np.random.Generator) -> Bounds:
    """Return percentiles of medians of smoothed resamples (Efron and Tibshirani, section 16.4)."""
    repeats, count = values.shape
    # Silverman's rule for the width of the kernel.
    quartiles = np.quantile(values, [0.25, 0.75], axis=-1)
    spread = np.minimum(np.std(values, axis=-1, ddof=1), (quartiles[1] - quartiles[0]) / 1.34)
    width = 0.9 * spread * count**-0.2
    medians = np.empty((repeats, _RESAMPLES))
    for number in range(_RESAMPLES):
        chosen = np.take_along_axis(values, rng.integers(0, count, values.shape), -1)
        medians[:, number] = np.median(
            chosen + width[:, None] * rng.normal(size=values.shape), axis=-1
        )
    low, high = np.quantile(medians, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return low, high


def _student(values: np.ndarray, _rng: np.random.Generator) -> Bounds:
    count = values.shape[-1]
    half = scipy.special.stdtrit(count - 1, (1 + LEVEL) / 2) / np.sqrt(count)
    mean, spread = np.mean(values, axis=-1), np.std(values, axis=-1, ddof=1)
    return mean - half * spread, mean + half * spread


def _signed_rank(values: np.ndarray, _rng: np.random.Generator) -> Bounds:
    """Return the interval of Hodges and Lehmann: ordered means of pairs, by Wilcoxon's distribution.

    Source: M. Hollander and D. A. Wolfe, "Nonparametric Statistical Methods", section 3.3.
    """
    count = values.shape[-1]
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, count + 1):
        ways[rank:] = ways[rank:] + ways[:-rank].copy()
    below = np.cumsum(ways) / 2.0**count
    depth = max(1, int(np.searchsorted(below, (1 - LEVEL) / 2, side="right")))
    first, second = np.triu_indices(count)
    means = np.sort((values[:, first] + values[:, second]) / 2, axis=-1)
    return means[:, depth - 1], means[:, -depth]


PROCEDURES: t.Mapping[str, Procedure] = {
    "interpolated order statistics": lambda values, _rng: order.bounds(values, LEVEL),
    "percentile bootstrap": _percentile,
    "basic bootstrap": _basic,
    "BCa bootstrap": _bca,
    "smoothed bootstrap": _smoothed,
    "Student's t": _student,
    "Hodges-Lehmann": _signed_rank,
}


def measure_procedures(case_name: str, pairs: int, repeats: int, seed: int) -> dict[str, Figure]:
    """Measure the coverage of every procedure on the same draws."""
    case = CASES[case_name]
    rng = generator(seed, "procedures", case.name, pairs)
    blocks = 2 * pairs if case.loses_half else pairs
    (ratios,) = log_ratios(case, rng, Size(repeats, blocks), SPREAD)
    figures = {}
    for name, procedure in PROCEDURES.items():
        low, high = procedure(ratios, rng)
        held = float(np.mean((low <= 0) & (high >= 0)))
        figures[name] = Figure("coverage", case.name, pairs, repeats, held, COVERAGE)
    return figures
