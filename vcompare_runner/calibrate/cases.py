# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Noise with a known truth: what the statistics are calibrated on.

A case draws logarithms of block values: one for each repeat, block and arm, arm 0 being bare. The
machine is slower or faster in a whole block, a boot is slower or faster as a whole, and iterations
scatter within it; a block value is the median of its iterations, as in a report. Whatever the case,
the true median of each arm's log ratio to bare is 0, so that a planted effect is just added.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing as t

import numpy as np
import scipy.optimize
import scipy.special

ITERATIONS = 3

# How much a whole block is slower or faster, in spreads of the log ratio: pairing has to cancel it.
_MACHINE = 4.0
# Of the spread of one arm's block value, how much lies between boots and between iterations.
_BOOT, _ITERATION = 0.9, 0.5


@dataclasses.dataclass(frozen=True)
class Size:
    """How much to draw: ``arms`` includes bare."""

    repeats: int
    blocks: int
    arms: int = 2


Draw = t.Callable[[np.random.Generator, Size, float], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of noise.

    :param draw: (generator, size, spread) → shape (repeats, blocks, arms): logarithms of block
        values. ``spread`` is about the standard deviation of one log ratio.
    :param loses_half: arm 1 has a value in half of the blocks only (which ones is drawn).
    :param alike: all arms have noise of the same shape, so that log ratios of equal arms are
        symmetric around their median.
    """

    name: str
    text: str
    draw: Draw
    loses_half: bool = False
    alike: bool = True


def _machine(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    return np.asarray(rng.normal(0.0, _MACHINE * spread, (size.repeats, size.blocks, 1)))


def _settled(boots: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Add iterations to boots, and take each block's median of them."""
    noise = rng.normal(0.0, _ITERATION * spread / math.sqrt(2), (*boots.shape, ITERATIONS))
    return np.asarray(np.median(boots[..., None] + noise, axis=-1))


def _boots(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    shape = (size.repeats, size.blocks, size.arms)
    return np.asarray(rng.normal(0.0, _BOOT * spread / math.sqrt(2), shape))


def _lognormal(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    return _machine(rng, size, spread) + _settled(_boots(rng, size, spread), rng, spread)


def _heavy_tailed(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    shape = (size.repeats, size.blocks, size.arms)
    # As wide in the middle as normal noise of this spread; its own standard deviation is √3 times
    # that.
    boots = rng.standard_t(3, shape) * (spread / math.sqrt(2))
    return _machine(rng, size, spread) + _settled(boots, rng, spread)


def _drifting(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    """Draw a machine that slows down steadily, and wanders, from one arm's turn to the next."""
    turns = size.blocks * size.arms
    slope = rng.normal(0.0, 20.0 * spread, (size.repeats, 1))
    steps = rng.normal(0.0, spread / math.sqrt(2 * size.arms), (size.repeats, turns))
    speed = slope * np.arange(turns) / turns + np.cumsum(steps, axis=1)
    speed = speed.reshape(size.repeats, size.blocks, size.arms)
    # Each block has an order of its own, as in a run.
    places = np.argsort(rng.random(speed.shape), axis=-1)
    return np.take_along_axis(speed, places, -1) + _settled(_boots(rng, size, spread), rng, spread)


_APART, _SHARE = 5.0, 0.3


def _bimodal(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    """Draw boots that now and then land in a slow mode, whatever the arm."""
    boots = _boots(rng, size, spread)
    boots += _APART * spread * (rng.random(boots.shape) < _SHARE)
    return _machine(rng, size, spread) + _settled(boots, rng, spread)


def _one_arm_bimodal(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    """Draw a slow mode that bare does not have: log ratios are skewed, their mean is not a median."""
    deviation = spread / math.sqrt(2)
    values = rng.normal(0.0, deviation, (size.repeats, size.blocks, size.arms))
    slow = rng.random((size.repeats, size.blocks, size.arms - 1)) < _SHARE
    values[..., 1:] += _APART * spread * slow - spread * _median_of_two_modes()
    return _machine(rng, size, spread) + values


@functools.cache
def _median_of_two_modes() -> float:
    """Return the median of N(0, 1), moved by _APART with probability _SHARE."""
    return float(
        scipy.optimize.brentq(
            lambda x: (
                (1 - _SHARE) * scipy.special.ndtr(x) + _SHARE * scipy.special.ndtr(x - _APART) - 0.5
            ),
            0.0,
            _APART,
        )
    )


def _correlated(rng: np.random.Generator, size: Size, spread: float) -> np.ndarray:
    """Draw iterations that follow the one before them (0.95), so that a block is hardly more than
    one of them."""
    follow = 0.95
    shape = (size.repeats, size.blocks, size.arms)
    deviation = spread / math.sqrt(2)
    iterations = [rng.normal(0.0, deviation, shape)]
    for _number in range(ITERATIONS - 1):
        fresh = rng.normal(0.0, deviation * math.sqrt(1 - follow**2), shape)
        iterations.append(follow * iterations[-1] + fresh)
    values = np.median(np.stack(iterations, axis=-1), axis=-1)
    return np.asarray(_machine(rng, size, 3 * spread) + values)


CASES: t.Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("lognormal", "normal noise of the logarithms", _lognormal),
        Case("heavy-tailed", "Student's t with 3 degrees of freedom", _heavy_tailed),
        Case("drifting", "the machine slows down and wanders", _drifting),
        Case("bimodal", "boots land in one of two modes", _bimodal),
        Case("one-arm-bimodal", "the same, but not for bare", _one_arm_bimodal, alike=False),
        Case("correlated", "iterations of a boot hang together", _correlated),
        Case("half-missing", "an arm has half of its blocks", _lognormal, loses_half=True),
    )
}


def log_ratios(case: Case, rng: np.random.Generator, size: Size, spread: float) -> list[np.ndarray]:
    """Draw paired log ratios of each arm but bare.

    :returns: one array an arm, of shape (repeats, pairs); fewer pairs than blocks for an arm that
        lost some.
    """
    values = case.draw(rng, size, spread)
    ratios = [values[..., arm] - values[..., 0] for arm in range(1, size.arms)]
    if case.loses_half:
        kept = np.argsort(rng.random((size.repeats, size.blocks)), axis=-1)
        kept = np.sort(kept[:, : size.blocks // 2], axis=-1)
        ratios[0] = np.take_along_axis(ratios[0], kept, -1)
    return ratios
