# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""One test of a claim: its two sides paired by block, and what that says against the margin.

Each test asks two questions, with a p-value each: does it hold (the median lies on the claim's side
of the margin), and does it fail (it lies on the other side). Neither is answered by the other's
silence: where both stay open, the test is undecided.

Ratios are compared as logarithms, differences in units of their margin, so that one set of
procedures (``statistics/inference.py``) serves both.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np

from vcompare_runner.analysis.statistics import blocks_needed, inference, order
from vcompare_runner.verdict.schema import ClaimTest

Outcome = t.Literal["holds", "fails", "undecided", "refused", "not run"]
# Why a test is not decided: what would settle it follows from this.
Cause = t.Literal[
    "scenario", "arm", "unmeasured", "unproven", "unusable", "substrate", "unknown", "gate", "noise", "blocks",
    "straddles",
]  # fmt: skip

QUESTIONS = ("holds", "fails")
ALPHA = 1 - inference.LEVEL


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The blocks that both sides of a test have a figure in.

    :param blocks: their numbers.
    :param values: the arm's figures, one a block, in ``unit``.
    :param against: the other side's; empty for a ``yes_no``.
    :param scores: log(arm / against), (arm − against) / |margin|, or the answer; one a block.
    """

    blocks: tuple[int, ...]
    values: tuple[float, ...]
    against: tuple[float, ...]
    scores: np.ndarray


@dataclasses.dataclass
class Result:
    """A test for one arm on one host, as far as it came.

    :param arm: the arm, on ``host`` (``None``: no host has it).
    :param unit: of both sides' figures.
    :param estimate: median ratio, or median difference in ``unit``, or share of blocks with a yes.
    :param interval: of the estimate, in its unit.
    :param p: for each of ``QUESTIONS``, uncorrected.
    :param p_adjusted: the same, after Holm's correction over the report.
    :param missing: what a run would have to measure, where it was not measured.
    :param blocks_needed: how many would probably decide it; ``None`` when not known.
    :param rows: of samples.csv: pairs of first and last, the first sample is 1.
    """

    test: ClaimTest
    arm: str
    host: str | None
    against_host: str | None = None
    unit: str | None = None
    pairs: Pairs | None = None
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    coverage_at_most: float | None = None
    outcome: Outcome = "not run"
    cause: Cause | None = None
    reason: str = ""
    missing: str | None = None
    p: dict[str, float] = dataclasses.field(default_factory=dict)
    p_adjusted: dict[str, float] = dataclasses.field(default_factory=dict)
    blocks_needed: int | None = None
    rows: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def leave_open(
        self, outcome: Outcome, cause: Cause, reason: str, missing: str | None = None
    ) -> Result:
        """Note why it is not decided; return it."""
        self.outcome, self.cause, self.reason, self.missing = outcome, cause, reason, missing
        return self

    @property
    def open(self) -> bool:
        """Say whether nothing has decided or refused it yet."""
        return self.outcome == "not run" and self.cause is None


def pair(
    test: ClaimTest, values: t.Mapping[int, float], against: t.Mapping[int, float] | None
) -> Pairs:
    """Pair two sides by block.

    :param values: block number → figure of the arm.
    :param against: the same for the other side; ``None`` for a ``yes_no``.
    :raises ValueError: a ratio of figures that are not positive, or an answer that is neither 1
        nor 0; the text says which.
    """
    if against is None:
        blocks = tuple(sorted(values))
        answers = np.array([values[block] for block in blocks], dtype=np.float64)
        if not bool(np.all((answers == 0) | (answers == 1))):
            raise ValueError("an answer is neither 1 (yes) nor 0 (no)")
        return Pairs(blocks, tuple(answers.tolist()), (), answers)
    blocks = tuple(sorted(set(values) & set(against)))
    left = np.array([values[block] for block in blocks], dtype=np.float64)
    right = np.array([against[block] for block in blocks], dtype=np.float64)
    if test.comparison == "difference":
        scores = (left - right) / abs(margin_of(test))
    else:
        if not bool(np.all(left > 0) and np.all(right > 0)):
            raise ValueError("a figure is zero or less, of which there is no ratio")
        scores = np.log(left / right)
    return Pairs(blocks, tuple(left.tolist()), tuple(right.tolist()), scores)


def margin_of(test: ClaimTest) -> float:
    """Return the margin of a test that has one; the schema sees to it."""
    return t.cast(float, test.margin)


def estimate(result: Result, pairs: Pairs) -> None:
    """Put estimate, interval and p-values of some pairs into a result."""
    test = result.test
    result.pairs = pairs
    if not pairs.blocks:
        return
    if test.comparison == "yes_no":
        result.estimate = float(np.mean(pairs.scores))
        return
    result.estimate = _unscored(test, float(np.median(pairs.scores)))
    count = len(pairs.blocks)
    if count < inference.MIN_PAIRS:
        return
    low, high = order.bounds(pairs.scores, inference.LEVEL)
    result.interval = (_unscored(test, float(low)), _unscored(test, float(high)))
    result.coverage_at_most = inference.attainable_coverage(count)
    result.p = _p_values(test, pairs.scores)


def _unscored(test: ClaimTest, score: float) -> float:
    return score * abs(margin_of(test)) if test.comparison == "difference" else math.exp(score)


def bounds(test: ClaimTest) -> tuple[float, ...]:
    """Return the margins on the scale of scores: one, or two for an equivalence."""
    margin = margin_of(test)
    if test.comparison == "difference":
        return (math.copysign(1.0, margin),)
    if test.comparison == "equivalence":
        return (-math.log(margin), math.log(margin))
    return (math.log(margin),)


def _p_values(test: ClaimTest, scores: np.ndarray) -> dict[str, float]:
    if test.comparison == "equivalence":
        low, high = bounds(test)
        outside = min(inference.p_below(scores, low), inference.p_above(scores, high))
        # Two ways to lie outside, so that the smaller of two p-values counts twice.
        return {
            "holds": inference.p_equivalent(scores, low, high),
            "fails": min(1.0, 2 * outside),
        }
    (bound,) = bounds(test)
    above, below = inference.p_above(scores, bound), inference.p_below(scores, bound)
    return (
        {"holds": above, "fails": below}
        if test.direction == "above"
        else {"holds": below, "fails": above}
    )


def half_margin_log(test: ClaimTest, level: float | None) -> float | None:
    """Return half of the margin on the log scale: how wide an A/A comparison may be at most.

    :param level: median figure of the other side, by which a difference becomes a ratio.
    :returns: ``None`` where it can't be said (a difference without a level, an answer).
    """
    if test.comparison == "yes_no":
        return None
    if test.comparison == "difference":
        if level is None or level <= 0:
            return None
        return math.log1p(abs(margin_of(test)) / 2 / level)
    return abs(math.log(margin_of(test))) / 2


def decide(result: Result) -> None:
    """Decide a test by its adjusted p-values, or by its answers."""
    if result.test.comparison == "yes_no":
        _decide_answers(result)
        return
    count = len(t.cast(Pairs, result.pairs).blocks)
    if result.interval is None:
        result.leave_open(
            "undecided",
            "blocks",
            f"{count} paired {'block gives' if count == 1 else 'blocks give'} no interval (it "
            f"needs {inference.MIN_PAIRS})",
        )
        return
    for question in QUESTIONS:
        if result.p_adjusted[question] <= ALPHA:
            result.outcome = t.cast(Outcome, question)
            return
    touches = any(
        result.interval[0] <= _unscored(result.test, bound) <= result.interval[1]
        for bound in bounds(result.test)
    )
    result.leave_open(
        "undecided",
        "straddles",
        "the interval reaches over the margin"
        if touches
        else "the interval lies on one side of the margin, but not clearly enough for as many "
        "tests as this report makes",
    )
    result.blocks_needed = _enough_blocks(result)


def _decide_answers(result: Result) -> None:
    wanted = 1.0 if result.test.direction == "always" else 0.0
    result.outcome = "holds" if result.estimate == wanted else "fails"


def _enough_blocks(result: Result) -> int | None:
    """Estimate how many blocks would move the interval off the margin.

    The interval has to be narrower than the estimate's distance from the nearest margin; where the
    estimate lies almost on it, no number of blocks helps.
    """
    scores = t.cast(Pairs, result.pairs).scores
    distance = min(abs(float(np.median(scores)) - bound) for bound in bounds(result.test))
    if distance <= 0:
        return None
    # The correction over a report makes the hurdle higher than a single interval's: half of the
    # distance instead of all of it.
    needed = blocks_needed(scores, distance / 2)
    return None if needed is None else max(needed, len(scores) + 1)
