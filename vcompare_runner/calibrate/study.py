# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Measures the statistics on noise with a known truth: coverage, wrong verdicts, power.

What is measured is what a report uses: ``statistics/order.py`` for intervals and p-values, Holm's
correction of ``statistics/inference.py``, the power of ``statistics/power.py``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing as t
import zlib

import numpy as np

from vcompare_runner.analysis.statistics import order
from vcompare_runner.analysis.statistics.inference import LEVEL, holm_adjusted
from vcompare_runner.analysis.statistics.power import powers
from vcompare_runner.calibrate.cases import CASES, Case, Size, log_ratios

# Bounds of the project's acceptance. How near the stated power has to be is not said there: it rests
# on the spread of the same few blocks (five know it to a third), and was off by up to 0.16 where that
# is hardest (two modes), so that more than 0.2 would be something else.
COVERAGE = (0.93, 0.97)
WRONG_AT_MOST = 0.05
POWER_WITHIN = 0.20

STRICT_FROM = 4000

PAIRS = (5, 6, 7, 8, 10, 15, 20, 30)
REPORT_PAIRS = (5, 6, 8, 10, 15)
POWER_PAIRS = (5, 10, 20)
SPREAD = 0.05

# Effects that are planted, and the spread of log ratios that they are planted in: 3% among noise of
# 5% is hardly ever found, among noise of 1% (what sysbench has on emulated cores) it is.
PLANTED = ((0.03, 0.01), (0.03, SPREAD), (0.10, SPREAD), (0.30, SPREAD))
_MARGIN = math.log(1.05)

# A whole report: this many scenarios, each with bare and five arms.
REPORT_SCENARIOS, REPORT_ARMS = 4, 6
TESTS = REPORT_SCENARIOS * (REPORT_ARMS - 1)

_STATED, _STATED_RESAMPLES = 800, 100
_BATCH = 1000


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure and its bound.

    :param kind: ``coverage``, ``wrong`` or ``power``; ``stopped-coverage`` and ``stopped-wrong`` as
        in ``stopping.py``.
    :param pairs: paired blocks; of the arm with fewest, where arms differ.
    :param effect: planted, as a share (0.1: 10%); 0 for none.
    :param spread: about the standard deviation of log ratios.
    :param measured: share of the repeats: interval holds the truth, report has a wrong verdict,
        effect was shown.
    :param stated: mean power that reports state; ``None`` but for ``power``.
    :param uncorrected: ``measured`` without Holm's correction; ``None`` but for ``wrong``.
    :param bounds: least and most that ``measured`` may be.
    """

    kind: str
    case: str
    pairs: int
    repeats: int
    measured: float
    bounds: tuple[float, float]
    spread: float = SPREAD
    effect: float = 0.0
    stated: float | None = None
    uncorrected: float | None = None

    @property
    def within(self) -> bool:
        """Say whether the figure is within its bounds."""
        return self.bounds[0] <= self.measured <= self.bounds[1]

    @property
    def holds(self) -> bool:
        """Say whether the figure is within its bounds, or too few repeats don't tell.

        From ``STRICT_FROM`` repeats on bounds are bounds; with fewer, what chance can do (three
        standard errors) is not held against the figure.
        """
        if self.within or self.repeats >= STRICT_FROM:
            return self.within
        chance = 3 * self.error
        return self.bounds[0] - chance <= self.measured <= self.bounds[1] + chance

    @property
    def error(self) -> float:
        """Standard error of ``measured``: what another seed would change."""
        return math.sqrt(self.measured * (1 - self.measured) / self.repeats)


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a generator of its own for each thing that is measured.

    One more case or another number of blocks does not change the figures of the others.
    """
    return np.random.default_rng([seed, zlib.crc32("\0".join(map(str, names)).encode())])


def _blocks(case: Case, pairs: int) -> int:
    return 2 * pairs if case.loses_half else pairs


def coverage(case: Case, pairs: int, repeats: int, seed: int) -> Figure:
    """Measure how often the 95% interval of the median holds the truth."""
    rng = generator(seed, "coverage", case.name, pairs)
    (ratios,) = log_ratios(case, rng, Size(repeats, _blocks(case, pairs)), SPREAD)
    low, high = order.bounds(ratios, LEVEL)
    held = float(np.mean((low <= 0) & (high >= 0)))
    return Figure("coverage", case.name, pairs, repeats, held, bounds=COVERAGE)


def wrong_verdicts(case: Case, pairs: int, repeats: int, seed: int) -> Figure:
    """Measure how often a whole report in which nothing is true to be shown shows something.

    Each report has 20 tests, and every truth lies where it is hardest: two-sided tests of a ratio
    against a margin on which it lies, and tests of equivalence of a ratio that lies on either end
    of its margins. Arms share their bare.
    """
    rng = generator(seed, "wrong", case.name, pairs)
    wrong = uncorrected = 0
    done = 0
    while done < repeats:
        batch = min(_BATCH, repeats - done)
        size = Size(batch, _blocks(case, pairs), REPORT_ARMS)
        p_values = np.stack(
            [
                null_test(ratios, scenario)
                for scenario in range(REPORT_SCENARIOS)
                for ratios in log_ratios(case, rng, size, SPREAD)
            ],
            axis=-1,
        )
        wrong += int(np.sum(np.any(holm_adjusted(p_values) <= 1 - LEVEL, axis=-1)))
        uncorrected += int(np.sum(np.any(p_values <= 1 - LEVEL, axis=-1)))
        done += batch
    return Figure(
        "wrong",
        case.name,
        pairs,
        repeats,
        wrong / repeats,
        uncorrected=uncorrected / repeats,
        bounds=(0.0, WRONG_AT_MOST),
    )


def null_test(ratios: np.ndarray, scenario: int) -> np.ndarray:
    """Return p-values of a report's test in which nothing is true to be shown.

    :param ratios: shape (…, n); their true median is 0.
    :param scenario: 0: two-sided against 0; 1: two-sided against a margin on which the truth lies;
        2 and 3: equivalence, with the truth on the upper and the lower margin.
    """
    if scenario == 0:
        return order.p_either(ratios, 0.0)
    if scenario == 1:
        return order.p_either(ratios + math.log(2.0), math.log(2.0))
    edge = _MARGIN if scenario == 2 else -_MARGIN
    return order.p_equivalent(ratios + edge, -_MARGIN, _MARGIN)


def found(case: Case, pairs: int, repeats: int, seed: int) -> list[Figure]:
    """Measure how often planted effects are shown in a report, beside what reports state."""
    rng = generator(seed, "power", case.name, pairs)
    (drawn,) = log_ratios(case, rng, Size(repeats, _blocks(case, pairs)), SPREAD)
    alpha = (1 - LEVEL) / TESTS
    figures = []
    for effect, spread in PLANTED:
        ratios, shift = drawn * (spread / SPREAD), math.log1p(effect)
        stated = float(np.mean(powers(ratios[:_STATED], [shift], alpha, rng, _STATED_RESAMPLES)))
        shown = float(np.mean(order.p_either(ratios + shift, 0.0) <= alpha))
        bounds = (max(0.0, stated - POWER_WITHIN), min(1.0, stated + POWER_WITHIN))
        figures.append(
            Figure(
                "power",
                case.name,
                pairs,
                repeats,
                shown,
                bounds,
                effect=effect,
                spread=spread,
                stated=stated,
            )
        )
    return figures


Step = tuple[str, t.Callable[[], list[Figure]]]


def steps(cases: t.Sequence[str], repeats: int, seed: int) -> list[Step]:
    """Return all that is to be measured: what it is called, and what measures it.

    :param repeats: intervals for each case and number of blocks; a fifth of it, at least 1,000 (or
        all of it), for reports and planted effects, which cost more.
    """
    fewer = min(repeats, max(1000, repeats // 5))
    work: list[Step] = []
    for case in (CASES[name] for name in cases):
        for pairs in PAIRS:
            work.append(
                (
                    f"{case.name}: intervals of {pairs} blocks",
                    functools.partial(_coverage, case, pairs, repeats, seed),
                )
            )
        for pairs in REPORT_PAIRS:
            work.append(
                (
                    f"{case.name}: reports of {pairs} blocks",
                    functools.partial(_wrong, case, pairs, fewer, seed),
                )
            )
        for pairs in POWER_PAIRS:
            work.append(
                (
                    f"{case.name}: planted effects, {pairs} blocks",
                    functools.partial(found, case, pairs, fewer, seed),
                )
            )
    return work


def _coverage(case: Case, pairs: int, repeats: int, seed: int) -> list[Figure]:
    return [coverage(case, pairs, repeats, seed)]


def _wrong(case: Case, pairs: int, repeats: int, seed: int) -> list[Figure]:
    return [wrong_verdicts(case, pairs, repeats, seed)]
