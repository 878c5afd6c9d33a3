# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What a reader must know of a series of values: a trend, outliers, values that hang together.

Flags change no figure. They say where to look.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np
import scipy.stats

from vcompare_runner.analysis.statistics import order

# One in sixteen series without a trend is flagged: a flag asks for a look, it decides nothing. Five
# blocks that all go the same way are p = 2·(1/2)^5, and shall be seen.
_TREND_LEVEL = 2.0**-4

# Fewer values can't show a trend at that level (4 in order: p = 2/4! = 0.083), and one of four that
# lies apart is not an outlier but a quarter of what there is.
_LEAST = 5

# A warm-up is seen as well in so many medians, and pairs of all values would be too many.
_PIECES = 100

# B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers" (1993), section 3.3.
_OUTLIER_SCORE = 3.5
_MAD_OF_SIGMA = 0.6745
_MEAN_DEVIATION_OF_SIGMA = 1.253314


@dataclasses.dataclass(frozen=True)
class Trend:
    """Whether values rise or fall in the order in which they were measured.

    :param tau: Kendall's correlation of value and order, −1 to 1; ``None`` where it can't be said
        (fewer than five values, or all equal).
    :param p: two-sided p-value of "there is no trend"; ``None`` likewise.
    :param change: what the trend makes from the first to the last value, in their unit (slope of
        Theil and Sen); ``None`` likewise.
    """

    tau: float | None
    p: float | None
    change: float | None
    flagged: bool


_NO_TREND = Trend(None, None, None, False)


def trend(values: t.Sequence[float]) -> Trend:
    """Look for a trend over blocks or iterations.

    :param values: in the order in which they were measured; finite.

    Source: H. B. Mann, "Nonparametric tests against trend", Econometrica 13 (1945), 245-259, by
    ``scipy.stats.kendalltau`` (exact where no values are equal); slope: P. K. Sen, "Estimates of
    the regression coefficient based on Kendall's tau", JASA 63 (1968), by
    ``scipy.stats.theilslopes``.
    """
    series = np.asarray(values, dtype=np.float64)
    if len(series) < _LEAST or bool(np.all(series == series[0])):
        return _NO_TREND
    places = np.arange(len(series))
    tau, p = scipy.stats.kendalltau(places, series)
    slope = scipy.stats.theilslopes(series, places)[0]
    return Trend(
        float(tau), float(p), float(slope) * (len(series) - 1), bool(float(p) <= _TREND_LEVEL)
    )


def trend_within(groups: t.Sequence[t.Sequence[float] | np.ndarray]) -> Trend:
    """Look for a trend over iterations that blocks share, such as a warm-up that is too short.

    :param groups: one series of iterations a block, in the order in which they were measured.
    :returns: ``tau``: median of the blocks' taus; ``change``: median of their changes.

    Each block's tau counts once (iterations of one boot hang together, blocks don't), and whether
    their median differs from zero is tested like the median of log ratios: ``order.p_either``, but
    never below what needs no assumption, since taus of few iterations have few possible values.
    Blocks with very many iterations are looked at in a hundred pieces, by their medians.

    Source: Kendall's tau-a and Sen's slope, as in ``trend``.
    """
    by_length: dict[int, list[np.ndarray]] = {}
    for group in groups:
        series = np.asarray(group, dtype=np.float64)
        if len(series) > _PIECES:
            series = np.array([np.median(piece) for piece in np.array_split(series, _PIECES)])
        if len(series) >= 2:
            by_length.setdefault(len(series), []).append(series)
    if sum(map(len, by_length.values())) < _LEAST:
        return _NO_TREND
    found = [_taus_and_changes(np.stack(equal)) for equal in by_length.values()]
    taus = np.concatenate([tau for tau, _change in found])
    changes = np.concatenate([change for _tau, change in found])
    p = max(float(order.p_either(taus, 0.0)), 2.0 ** (1 - len(taus)))
    return Trend(float(np.median(taus)), p, float(np.median(changes)), p <= _TREND_LEVEL)


def _taus_and_changes(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tau and the change from first to last value of many series of equal length.

    :param series: shape (m, k), k ≥ 2.
    :returns: two arrays of shape (m,).
    """
    length = series.shape[1]
    first, second = np.triu_indices(length, 1)
    taus, changes = [], []
    for part in np.array_split(series, max(1, series.shape[0] * len(first) // 2_000_000)):
        steps = part[:, second] - part[:, first]
        taus.append(np.mean(np.sign(steps), axis=1))
        changes.append(np.median(steps / (second - first), axis=1) * (length - 1))
    return np.concatenate(taus), np.concatenate(changes)


def outliers(values: t.Sequence[float]) -> tuple[int, ...]:
    """Return the indices of values that lie far from the others.

    :param values: finite; for times and rates their logarithms, so that twice and half count alike.
    :returns: none with fewer than five values.

    Source: the modified z-score, 0.6745·|x − median| / MAD > 3.5, Iglewicz and Hoaglin (1993),
    section 3.3; where more than half of the values are equal (MAD 0), |x − median| / (1.2533·mean
    absolute deviation) as there.
    """
    series = np.asarray(values, dtype=np.float64)
    if len(series) < _LEAST:
        return ()
    distance = np.abs(series - np.median(series))
    scale = float(np.median(distance)) / _MAD_OF_SIGMA
    if scale == 0:
        scale = float(np.mean(distance)) * _MEAN_DEVIATION_OF_SIGMA
    if scale == 0:
        return ()
    return tuple(int(index) for index in np.flatnonzero(distance / scale > _OUTLIER_SCORE))


def lag_correlation(values: t.Sequence[float]) -> float | None:
    """Return the correlation of each value with the next: r₁, about −1 to 1.

    :returns: ``None`` with fewer than five values, or when all are equal.

    Source: G. E. P. Box and G. M. Jenkins, "Time Series Analysis", section 2.1.5. Without
    correlation it scatters around −1/n with a standard deviation of about 1/√n.
    """
    series = np.asarray(values, dtype=np.float64)
    if len(series) < _LEAST:
        return None
    centred = series - np.mean(series)
    total = math.fsum(centred**2)
    if total == 0:
        return None
    return math.fsum(centred[1:] * centred[:-1]) / total
