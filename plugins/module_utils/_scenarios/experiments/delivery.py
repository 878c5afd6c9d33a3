# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service of a few replicas behind a proxy: it grows, and is updated while it is used.

The proxy, the client and their CPU are the same in every arm. A new version is the same image with another argument,
which the application itself tells whoever asks (redis' title of its process), so that a reply says which version and
which replica it comes from.

An update takes a replica out of the proxy, waits until it has no connections, takes it away, makes its successor, waits
for its correct reply and puts it into the proxy: one after the other, so that the host needs room for no further one.
What can be laid ready before (images, seeds, addresses) is.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.applications import (
    REDIS,
    Application,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    crowd,
    proxy,
    resp,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.load import (
    Load,
    Request,
)

NAME = "delivery"
WHOLE = answer(NAME, "no_request_failed")
FAILED = Metric(NAME, "failed_requests", "count", "lower", 0.0, 1e9)
UPDATE = Metric(NAME, "update_time", "s", "lower", 0.001, 36000.0)
SCALE_OUT = Metric(NAME, "scale_out_time", "s", "lower", 0.001, 36000.0)

REPLICAS = 3
OLD, NEW = "v1", "v2"
_RATE = 10.0
_REPLY_S = 1.0
_SEEN_S = 20.0
# Load before the update begins and after it has ended.
_MARGIN_S = 1.0
_ASK = "CONFIG GET proc-title-template"


def application(version: str, number: int) -> Application:
    """Return redis as a version and a replica."""

    def command(address: str) -> tuple[str, ...]:
        return (*REDIS.command(address), "--proc-title-template", f"{version}-{number}")

    return Application(f"redis {version}-{number}", REDIS.port, command, REDIS.question)


def names(version: str) -> set[str]:
    """Return what the replicas of a version reply."""
    return {f"{version}-{number}" for number in range(REPLICAS)}


def delivered(stage: Stage) -> t.Iterator[Figure]:
    """Go from one replica to all, then from one version to the next."""
    _room(stage)
    front = proxy.Proxy(stage, REPLICAS)
    deadline_s = _REPLY_S * stage.factor

    def title(left_s: float) -> str:
        reply = resp.once(front.address, _ASK, left_s, proxy.PORT)
        name = reply.rpartition("\n")[2]
        if name not in names(OLD) | names(NEW):
            raise ValueError(f"it replied {reply!r}")
        return name

    old = _laid_ready(stage, OLD)
    stage.fresh(old[0])
    front.put(0, stage.backend.address(old[0]))
    took = _scaled_out(stage, front, old, lambda: _all_seen(title, OLD, stage))
    yield Figure(
        SCALE_OUT,
        took,
        f"from 1 to {REPLICAS} replicas, the others made at once, until the proxy had replies of all",
    )
    new = _laid_ready(stage, NEW)
    with Load(title, _RATE, deadline_s) as load:
        time.sleep(_MARGIN_S)
        began = time.monotonic()
        for place in range(REPLICAS):
            front.drain(place)
            stage.gone(old[place])
            stage.fresh(new[place])
            front.put(place, stage.backend.address(new[place]))
        _all_seen(title, NEW, stage)
        took = time.monotonic() - began
        time.sleep(_MARGIN_S)
    yield Figure(UPDATE, took, f"{REPLICAS} replicas from {OLD} to {NEW}, one after the other")
    if not load.steady:
        raise BackendError(
            f"the client itself did not keep its rate: {len(load.requests())} requests"
        )
    requests = load.requests()
    said, failed = summary(requests)
    yield Figure(FAILED, failed, said)
    yield Figure(WHOLE, float(not failed), said)
    for spec in new:
        stage.gone(spec)


def summary(requests: t.Sequence[Request]) -> tuple[str, int]:
    """Return what became of requests, in words, and how many failed."""
    failed = [each for each in requests if each.trouble]
    reasons: dict[str, int] = {}
    for each in failed:
        reasons[each.trouble] = reasons.get(each.trouble, 0) + 1
    slowest = max((each.took_s for each in requests), default=0.0)
    said = (
        f"{len(requests)} requests at {_RATE:g}/s, the slowest took {slowest:.3f} s; failed: {len(failed)}"
        + "".join(f"; {count} × {reason}" for reason, count in reasons.items())
    )
    return said, len(failed)


def _room(stage: Stage) -> None:
    memory = crowd.Memory(crowd.SMALLEST_MIB, stage.backend.own_kernel)
    memory.look(0)
    if why := memory.refusal(REPLICAS):
        raise NotPossible(
            f"there is no room for {REPLICAS} replicas of {crowd.SMALLEST_MIB} MiB: {why}"
        )


def _laid_ready(stage: Stage, version: str) -> list[InstanceSpec]:
    return [
        stage.prepared(
            f"{version}-{number}", application(version, number), memory_mib=crowd.SMALLEST_MIB
        )
        for number in range(REPLICAS)
    ]


def _scaled_out(
    stage: Stage,
    front: proxy.Proxy,
    specs: t.Sequence[InstanceSpec],
    seen: t.Callable[[], None],
) -> float:
    """Make all but the first, and put them into the proxy; return the seconds until it had replies of all."""
    began = time.monotonic()
    stage.fresh_together(specs[1:])
    for place, spec in enumerate(specs[1:], start=1):
        front.put(place, stage.backend.address(spec))
    seen()
    return time.monotonic() - began


def _all_seen(title: t.Callable[[float], str], version: str, stage: Stage) -> None:
    """Ask through the proxy until every replica of a version has replied.

    :raises BackendError: one did not in time.
    """
    missing = names(version)

    def look() -> bool:
        try:
            missing.discard(title(_REPLY_S * stage.factor))
        except (OSError, ValueError):
            return False
        return not missing

    if not wait_until(look, _SEEN_S * stage.factor, 0.01):
        raise BackendError(f"through the proxy nothing was heard of {', '.join(sorted(missing))}")


EXPERIMENT = Experiment(
    NAME, (Step(LATER, (SCALE_OUT, UPDATE, FAILED, WHOLE), delivered, company=True),)
)
