# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Runs that go on until their intervals are narrow enough: does stopping then fool anybody?

Who stops when an interval is narrow picks intervals that are too narrow by chance. For a single
comparison that costs: stopped as soon as its half-width was under 0.03 with a spread of 0.05, an
interval covered 91% of lognormal noise and 90% of drifting noise (2,000 runs each of at least 5
blocks). A run stops when all of its comparisons are narrow, which says little about any one of
them: with three of equal noise coverage was 94%, with twenty 95%. That is what is measured here,
together with the wrong verdicts of such reports.
"""

from __future__ import annotations

import math

import numpy as np

from vcompare_runner.analysis.statistics import order
from vcompare_runner.analysis.statistics.inference import LEVEL, MIN_PAIRS, holm_adjusted
from vcompare_runner.calibrate.cases import Case, Size, log_ratios
from vcompare_runner.calibrate.study import (
    COVERAGE,
    REPORT_ARMS,
    REPORT_SCENARIOS,
    SPREAD,
    WRONG_AT_MOST,
    Figure,
    generator,
    null_test,
)

# Half of a margin of 10%, which is when a run has enough (measuring: "half-width under half the
# margin").
ENOUGH = math.log(1.10) / 2
BLOCKS_AT_MOST = 40


def stopped(case: Case, repeats: int, seed: int) -> list[Figure]:
    """Measure coverage and wrong verdicts of reports whose run stopped when it had enough.

    :returns: two figures, ``stopped-coverage`` (share of all intervals of all reports) and
        ``stopped-wrong`` (share of reports); ``pairs`` is the mean number of blocks. None for a
        case in which arms lose blocks, since they would differ in their number.
    """
    if case.loses_half:
        return []
    rng = generator(seed, "stopped", case.name)
    size = Size(repeats, BLOCKS_AT_MOST, REPORT_ARMS)
    drawn = np.stack(
        [
            ratios
            for _scenario in range(REPORT_SCENARIOS)
            for ratios in log_ratios(case, rng, size, SPREAD)
        ],
        axis=1,
    )
    held = np.zeros(drawn.shape[:2], dtype=bool)
    wrong = np.zeros(repeats, dtype=bool)
    blocks = np.zeros(repeats, dtype=np.int64)
    going_on = np.arange(repeats)
    for count in range(MIN_PAIRS, BLOCKS_AT_MOST + 1):
        so_far = drawn[going_on][..., :count]
        low, high = order.bounds(so_far, LEVEL)
        ends = np.all((high - low) / 2 <= ENOUGH, axis=1) | (count == BLOCKS_AT_MOST)
        ended = going_on[ends]
        if len(ended):
            held[ended] = ((low <= 0) & (high >= 0))[ends]
            blocks[ended] = count
            p_values = np.stack(
                [
                    null_test(so_far[ends, number], number // (REPORT_ARMS - 1))
                    for number in range(drawn.shape[1])
                ],
                axis=-1,
            )
            wrong[ended] = np.any(holm_adjusted(p_values) <= 1 - LEVEL, axis=-1)
        going_on = going_on[~ends]
        if not len(going_on):
            break
    mean = round(float(np.mean(blocks)))
    return [
        Figure("stopped-coverage", case.name, mean, repeats, float(np.mean(held)), COVERAGE),
        Figure(
            "stopped-wrong", case.name, mean, repeats, float(np.mean(wrong)), (0.0, WRONG_AT_MOST)
        ),
    ]
