# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a workload is: a command line, and how one number is read out of what it prints."""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

VARIANT = "minimal"


class WorkloadError(Exception):
    """A tool's output does not hold the figure that it should; the text says what is wrong."""


@dataclasses.dataclass(frozen=True)
class WorkSpec:
    """How much work; the same for every arm of a run.

    :param vcpus: threads to use.
    :param memory_mib: memory of the instance, so that a buffer can be chosen that fits.
    :param seconds: length of one iteration, for workloads of fixed time (their tools take whole
        seconds only).
    :param loops: number of operations of one iteration by scenario, for workloads of fixed work.
    :param address: IPv4 address of the instance, where its application listens.
    :param warmup: only as much as loads the tool and touches the memory that it works on.
    """

    vcpus: int = 1
    memory_mib: int = 256
    seconds: int = 2
    loops: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    address: str = ""
    warmup: bool = False


@dataclasses.dataclass(frozen=True)
class Workload:
    """One scenario with one metric.

    :param name: the scenario.
    :param direction: ``lower`` or ``higher`` is better.
    :param argv: the command line, the same in every arm.
    :param parse: (specification, standard output, standard error) → value in ``unit``; raises
        :class:`WorkloadError`.
    :param low: smallest value that is physically possible, inclusive.
    :param high: largest value that is physically possible, inclusive.
    """

    name: str
    metric: str
    unit: str
    direction: str
    argv: t.Callable[[WorkSpec], list[str]]
    parse: t.Callable[[WorkSpec, str, str], float]
    low: float
    high: float

    @property
    def figure(self) -> Metric:
        """What its samples are called."""
        return Metric(self.name, self.metric, self.unit, self.direction, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a scenario's samples are called.

    :param unit: ``1`` for a share, ``yes/no`` for an answer: 1 (yes) or 0 (no).
    :param direction: ``lower`` or ``higher`` is better.
    :param low: smallest value that is physically possible, inclusive; ``high``: largest.
    """

    scenario: str
    metric: str
    unit: str
    direction: str
    low: float
    high: float
    variant: str = VARIANT


def implausible(value: float, low: float, high: float, unit: str) -> str:
    """Return why a value can't be real, or an empty string.

    A wrong parse, a clock that jumped or a tool that did nothing shows as a value outside of what
    any machine can do; such a value is refused rather than averaged.
    """
    if not math.isfinite(value):
        return f"{value} is not a finite number"
    if not low <= value <= high:
        return (
            f"{value:g} {unit} is outside of what is physically possible"
            f" ({low:g} to {high:g} {unit})"
        )
    return ""


def find(pattern: re.Pattern[str], text: str, what: str) -> re.Match[str]:
    """Return the only match of a pattern in a tool's output.

    :raises WorkloadError: when it is not there, or there more than once.
    """
    matches = list(pattern.finditer(text))
    if len(matches) != 1:
        seen = text.strip()[-300:] or "nothing"
        raise WorkloadError(
            f"{what} is in the output {len(matches)} times instead of once; it ends with: {seen}"
        )
    return matches[0]


# What rounding to two or four decimals explains.
_ROUNDING = 0.01


def counted(printed: float, work: float, seconds: float, what: str) -> float:
    """Return the rate by a tool's own counts, which a rate that it printed must not exceed.

    sysbench divides by the time at which it writes its report. That comes late where the host is busy, or where the
    report's code is new to an emulated processor: it printed 336 of 470 events in 1.006 s. Late it may be, early not.

    :param work: what was done in ``seconds``, which must be the time of the work alone.
    :raises WorkloadError: the tool printed more, or no time passed.
    """
    if seconds <= 0:
        raise WorkloadError(f"sysbench says that it ran for {seconds:g} s")
    rate = work / seconds
    if printed > rate * (1 + _ROUNDING):
        raise WorkloadError(
            f"{what}: the tool printed {printed:g}, more than the {rate:g} of its own counts"
        )
    return rate


def as_long_as(spec: WorkSpec, seconds: float) -> None:
    """Refuse an iteration that ended before its time (one that warms up ends by its work).

    :raises WorkloadError: it did.
    """
    if not spec.warmup and seconds < spec.seconds * (1 - _ROUNDING):
        raise WorkloadError(f"it ran for {seconds:g} s instead of {spec.seconds:g} s")
