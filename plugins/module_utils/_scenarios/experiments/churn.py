# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instances that are made, used and thrown away again and again, and several that are made at once."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
)

NAME = "churn"
RATE = Metric(NAME, "cycles_per_second", "1/s", "higher", 1e-5, 1e4)
CLEAN = answer(NAME, "nothing_left_over")
STEADY = answer(NAME, "no_cycle_failed")
BURST = Metric(NAME, "burst_start_time", "s", "lower", 0.001, 3600.0)

# At least so many cycles, and then until the time of a workload's iteration is up.
_LEAST = 2
_AT_ONCE = 3
# What ends in its own time after an instance is gone.
_SETTLED_S = 10.0


def tossed(stage: Stage) -> t.Iterator[Figure]:
    """Make one, have its application reply, take it away; count only cycles that went well."""
    before = host.state()
    failures: list[str] = []
    # What came with an instance, and so shall go with it.
    came: set[host.Process] = set()
    done = 0
    began = time.monotonic()
    while done + len(failures) < _LEAST or time.monotonic() - began < stage.seconds:
        spec = stage.another(f"cycle{done + len(failures)}")
        try:
            stage.fresh(spec)
            came.update(host.state().new_processes(before))
            done += 1
        except BackendError as error:
            failures.append(error.message)
        finally:
            stage.gone(spec)
    took = time.monotonic() - began
    yield Figure(
        STEADY, float(not failures), f"{done} went well; failed: {'; '.join(failures) or 'none'}"
    )
    if done:
        yield Figure(RATE, done / took, f"{done} cycles of create, reply, remove in {took:.3f} s")
    left = _left(stage, came)
    yield Figure(CLEAN, float(not left), f"left over: {', '.join(left) or 'nothing'}")


def _left(stage: Stage, came: t.Collection[host.Process]) -> list[str]:
    """Return what is there still, once what ends by itself had the time to."""
    deadline = time.monotonic() + _SETTLED_S * stage.factor
    while True:
        known = {stage.spec.name, *stage.company}
        left = [info.name for info in stage.backend.list() if info.name not in known]
        left += [
            f"process {process.name} ({process.pid})"
            for process in host.state().processes.intersection(came)
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def burst(stage: Stage) -> t.Iterator[Figure]:
    """Make several at once, until the last of them has replied; they share all CPUs of the host."""
    specs = [stage.prepared(f"burst{number}", unlimited=True) for number in range(_AT_ONCE)]
    times = stage.fresh_together(specs)
    for spec in specs:
        stage.gone(spec)
    words = ", ".join(f"{elapsed:.3f}" for elapsed in times)
    yield Figure(BURST, max(times), f"{_AT_ONCE} at once replied after {words} s")


EXPERIMENT = Experiment(
    NAME,
    (
        Step(LATER, (RATE, CLEAN, STEADY), tossed, company=True),
        Step(LATER, (BURST,), burst, company=True),
    ),
)
