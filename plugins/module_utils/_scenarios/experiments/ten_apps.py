# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ten applications at once, five redis and five memcached, each in an instance of its own.

All are of the smallest size that both applications work with in every arm, so that ten virtual machines fit where they
can at all, and all are held to the CPUs of the turn's own instance, while the client has others.

They are made one after the other: what it takes to make ten is then the work itself, and not how many CPUs the host
has to do it on (for several at once see churn), and the host's memory can be looked at before each. What these looks
take, and laying an instance ready, is in no figure.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.applications import (
    MEMCACHED,
    REDIS,
    Application,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    crowd,
    driver,
    host,
    memcached,
    resp,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
)

NAME = "ten-apps"
START = Metric(NAME, "total_start_time", "s", "lower", 0.001, 36000.0)
MEMORY = Metric(NAME, "host_memory", "MiB", "lower", 0.0, 1e6)
DISK = Metric(NAME, "disk", "KiB", "lower", 0.0, 1e9)
THROUGHPUT = Metric(NAME, "aggregate_throughput", "1/s", "higher", 0.1, 1e8)
FAIRNESS = Metric(NAME, "fairness", "1", "higher", 1e-6, 1.0)

TEN = 10
_KEY, _VALUE = "vcompare", "x" * 64
_SETTLED_S = 1.0
_WARM_UP_S = 1.0
_REPLY_S = 10.0

Member = tuple[Application, InstanceSpec]


def ten(stage: Stage) -> t.Iterator[Figure]:
    """Make ten, look at what they cost, and drive all of them at the same time."""
    members: list[Member] = []
    for number in range(TEN):
        application = (REDIS, MEMCACHED)[number % 2]
        spec = stage.prepared(f"app{number}", application, memory_mib=crowd.SMALLEST_MIB)
        members.append((application, spec))
    before = host.state()
    times = _made(stage, [spec for _application, spec in members])
    yield Figure(
        START,
        sum(times),
        f"one after the other: {', '.join(f'{each:.3f}' for each in times)} s",
    )
    time.sleep(_SETTLED_S)
    cost = host.cost(before, host.state())
    yield Figure(MEMORY, cost.mib, f"of ten: {cost.text}")
    unknown = None
    try:
        paths = [path for _app, spec in members for path in stage.backend.files(spec.name)]
        yield Figure(DISK, host.allocated_kib(paths), f"in {', '.join(paths)}")
    except NotPossible as error:
        unknown = error
    yield from _driven(stage, members)
    for _application, spec in members:
        stage.gone(spec)
    if unknown is not None:
        raise unknown


def _made(stage: Stage, specs: t.Sequence[InstanceSpec]) -> list[float]:
    """Make them while there is room, one after the other; return how long each took to its first correct reply."""
    memory = crowd.Memory(crowd.SMALLEST_MIB, stage.backend.own_kernel)
    times: list[float] = []
    for spec in specs:
        memory.look(len(times))
        if why := memory.refusal():
            raise NotPossible(
                f"{len(times)} of {TEN} instances of {crowd.SMALLEST_MIB} MiB fit: {why}"
            )
        try:
            times.append(stage.fresh(spec))
        except BackendError as error:
            raise BackendError(
                f"{len(times)} of {TEN} instances replied, the next one failed: {error.message}",
                evidence=error.evidence,
            ) from None
    return times


def target(application: Application, name: str, address: str) -> driver.Target:
    """Return what is asked of an application's server: the value that :func:`_filled` kept there."""
    size = len(_VALUE)
    if application is REDIS:
        request, reply = f"GET {_KEY}\r\n", f"${size}\r\n{_VALUE}\r\n"
    else:
        request, reply = f"get {_KEY}\r\n", f"VALUE {_KEY} 0 {size}\r\n{_VALUE}\r\nEND\r\n"
    return driver.Target(name, address, application.port, request.encode(), reply.encode())


def _filled(application: Application, address: str, timeout_s: float) -> None:
    if application is REDIS:
        resp.ask(address, f"SET {_KEY} {_VALUE}", timeout_s)
    else:
        memcached.put(address, _KEY, _VALUE, timeout_s)


def fairness(shares: t.Mapping[str, t.Sequence[float]]) -> float:
    """Return the smallest share over the largest among servers of one application; that of the worse application."""
    return min(min(each) / max(each) if max(each) else 0.0 for each in shares.values())


def _driven(stage: Stage, members: t.Sequence[Member]) -> t.Iterator[Figure]:
    limit = _REPLY_S * stage.factor
    targets = []
    for application, spec in members:
        address = stage.backend.address(spec)
        _filled(application, address, limit)
        targets.append(target(application, spec.name, address))
    with driver.held_to(cpuset.parse(stage.other_cpus())):
        # The first requests are slow by what is new to the machine.
        driver.drive(targets, _WARM_UP_S, limit)
        driven = driver.drive(targets, stage.seconds, limit)
    total = sum(driven.replies.values())
    text = (
        f"{total} correct replies in {driven.elapsed_s:.3f} s:"
        f" {', '.join(f'{name} {count}' for name, count in driven.replies.items())};"
        f" the client was on its CPU for {driven.own_share:.0%} of the time"
    )
    yield Figure(THROUGHPUT, total / driven.elapsed_s, text)
    shares: dict[str, list[float]] = {}
    for application, spec in members:
        shares.setdefault(application.name, []).append(driven.replies[spec.name])
    value = fairness(shares)
    if not value:
        raise BackendError(f"one of them had no reply at all: {text}")
    yield Figure(FAIRNESS, value, text)


EXPERIMENT = Experiment(
    NAME, (Step(LATER, (START, MEMORY, DISK, THROUGHPUT, FAIRNESS), ten, company=True),)
)
