# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of its work an instance keeps beside a bad neighbour.

With default limits both instances are what the technology gives to somebody who asks for nothing: no CPUs of their
own, and a container no bound on memory either. With explicit limits each has a CPU of its own where the host has two,
and its memory, as in all other scenarios.

A hog of the disk writes to a file system of its own, past all caches; one of the network sends to the host, where
somebody must take it, on another CPU than the victim's where the host has one. Neither has an explicit limit in any of
the technologies here, and so they are measured with default limits only. What the victim does is always the same: work
of the processor, and then replies of its redis, which is asked from the host at a constant rate. The question is
whether a neighbour's bad habit is felt by who does not share it.

A neighbour counts only while it is seen at its bad work, before the victim's sample and after it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import threading
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import data_disk
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import resp
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    replied,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.load import Load
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import cpu
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    WorkloadError,
    WorkSpec,
)

NAME = "isolation"
DEFAULT, EXPLICIT = "default-limits", "explicit-limits"


@dataclasses.dataclass(frozen=True)
class Hog:
    """A bad neighbour.

    :param argv: what it runs, until it is ended.
    :param process: the name that its working processes have.
    :param variants: the limits that it is measured with.
    :param port: where the host takes what it sends; 0: it sends nothing.
    """

    name: str
    argv: tuple[str, ...]
    process: str
    variants: tuple[str, ...] = (DEFAULT, EXPLICIT)
    port: int = 0


# Stands for the host's address in the command line of a hog.
_HOST = "HOST"
_PORT = 5202
_STRESS = ("stress-ng", "--temp-path", "/tmp", "--timeout", "1h")  # noqa: S108 - it makes a folder of its own there
HOGS = (
    Hog("cpu_hog", (*_STRESS, "--cpu", "4", "--cpu-method", "int64"), "stress-ng-cpu"),
    # All memory that it sees as available: in a container without limits that is the host's. It starts again when the
    # kernel ends it for that.
    Hog("memory_eater", (*_STRESS, "--vm", "2", "--vm-bytes", "100%", "--vm-keep"), "stress-ng-vm"),
    # So many at a time, not without end: what has no end can't be measured beside.
    Hog("fork_bomb", (*_STRESS, "--fork", "16", "--fork-max", "16"), "stress-ng-fork"),
    Hog(
        "disk_hog",
        (
            *("stress-ng", "--temp-path", data_disk.MOUNT_POINT, "--timeout", "1h", "--hdd", "2"),
            *("--hdd-bytes", "32m", "--hdd-opts", "direct,wr-seq"),
        ),
        "stress-ng-hdd",
        (DEFAULT,),
    ),
    Hog(
        "network_hog",
        ("iperf3", "-c", _HOST, "-p", str(_PORT), "-t", "3600", "-P", "2"),
        "iperf3",
        (DEFAULT,),
        _PORT,
    ),
)
_HOG_DATA_MIB = 96
# Requests a second from the host, and how long each may take (on an ordinary machine).
_RATE = 10.0
_REPLY_S = 1.0


def hogs(variant: str) -> tuple[Hog, ...]:
    """Return the neighbours that are measured with these limits."""
    return tuple(hog for hog in HOGS if variant in hog.variants)


def kept(hog: Hog, variant: str) -> Metric:
    """Return the metric: the victim's rate beside a neighbour over its rate alone."""
    return Metric(NAME, f"kept_beside_{hog.name}", "1", "higher", 0.0, 10.0, variant)


def slowed(hog: Hog, variant: str) -> Metric:
    """Return the metric: the victim's median time to reply beside a neighbour over that alone."""
    return Metric(NAME, f"reply_time_beside_{hog.name}", "1", "lower", 0.0, 1e6, variant)


def _beside(stage: Stage, hog: Hog, variant: str) -> t.Iterator[Figure]:
    """Have the victim work alone, and beside a neighbour; both go with the last of these limits' neighbours."""
    victim, neighbour = _pair(stage, variant)
    alone, asked_alone = _rate(stage, victim), _asked(stage, victim)
    with _taken(stage, hog), _at_work(stage, neighbour, hog):
        beside, asked = _rate(stage, victim), _asked(stage, victim)
    neighbours = f"beside {' '.join(hog.argv)}"
    yield Figure(
        kept(hog, variant),
        beside / alone,
        f"{beside:g} events/s {neighbours}, {alone:g} alone just before",
    )
    replies, replies_alone = Replies.of(asked), Replies.of(asked_alone)
    yield Figure(
        slowed(hog, variant),
        replies.median_s / replies_alone.median_s,
        f"{replies} {neighbours}; {replies_alone} alone just before",
    )
    if hog is hogs(variant)[-1]:
        for spec in (neighbour, victim):
            if spec.name in stage.company:
                stage.gone(spec)


def _pair(stage: Stage, variant: str) -> tuple[InstanceSpec, InstanceSpec]:
    """Have a victim and a neighbour with these limits: the same for each neighbour, unless a step was broken off."""
    key = f"{NAME} {variant}"
    victim, neighbour = stage.notes.get(key, (None, None))
    if neighbour and neighbour.name in stage.company:
        return victim, neighbour
    if variant == EXPLICIT:
        # The victim is the turn's own instance, and the neighbour has another CPU.
        victim, neighbour = stage.spec, stage.another("hog", cpuset=stage.other_cpus())
    else:
        # Both are as the technology delivers them.
        victim = stage.another("victim", unlimited=True)
        neighbour = stage.another("hog", unlimited=True, data_mib=_HOG_DATA_MIB)
        stage.fresh(victim)
    stage.fresh(neighbour)
    # The first is slow by what is new to the machine, and would make a neighbour look like a help.
    _rate(stage, victim)
    stage.notes[key] = victim, neighbour
    return victim, neighbour


@dataclasses.dataclass(frozen=True)
class Replies:
    """How a service replied at a constant rate.

    :param median_s: from when a request was due; one without a reply counts as the longest.
    :param failed: how many had none within the deadline.
    """

    asked: int
    median_s: float
    longest_s: float
    failed: int

    def __str__(self) -> str:
        return (
            f"a median of {1000 * self.median_s:.3g} ms to redis' reply, {1000 * self.longest_s:.3g} at most,"
            f" {self.failed} of {self.asked} without one"
        )

    @classmethod
    def of(cls, load: Load) -> Replies:
        """Look at the requests of a load that has ended.

        :raises BackendError: half of them had no reply, so that there is no median; or the host could not keep to the
            rate.
        """
        requests = load.requests()
        if not load.steady:
            raise BackendError(
                f"the host asked {len(requests)} times, and could not keep to {load.rate:g} requests a second"
            )
        failed = [each for each in requests if each.trouble]
        if not requests or 2 * len(failed) >= len(requests):
            why = failed[-1].trouble if failed else "nothing was asked"
            raise BackendError(
                f"the victim did not reply to {len(failed)} of {len(requests)} requests ({why})"
            )
        took = [math.inf if each.trouble else each.took_s for each in requests]
        longest = max(each.took_s for each in requests)
        return cls(len(requests), statistics.median_high(took), longest, len(failed))


def _asked(stage: Stage, victim: InstanceSpec) -> Load:
    """Ask the victim's redis for as long as it worked."""
    address = stage.backend.address(victim)

    def ask(left_s: float) -> None:
        reply = resp.once(address, "PING", left_s)
        if reply != "+PONG":
            raise ValueError(f"redis says {reply[:100]}")

    with Load(ask, _RATE, _REPLY_S * stage.factor) as load:
        time.sleep(stage.seconds)
    return load


def _rate(stage: Stage, victim: InstanceSpec) -> float:
    work = WorkSpec(vcpus=1, memory_mib=victim.memory_mib, seconds=stage.seconds)
    result = stage.run(cpu.argv(work), 60.0 + stage.seconds, name=victim.name)
    text = replied(result, "the victim's work")
    try:
        return cpu.parse(work, text, result.stderr)
    except WorkloadError as error:
        raise BackendError(f"the victim did not finish: {error}") from None


@contextlib.contextmanager
def _taken(stage: Stage, hog: Hog) -> t.Iterator[None]:
    """Have a process of the host take what a neighbour sends."""
    if not hog.port:
        yield
        return
    address = stage.backend.host_address()
    command = ["iperf3", "-s", "-B", address, "-p", str(hog.port)]
    taker = stage.outside("sink", command)
    try:
        looks = ["ss", "--no-header", "--listening", "--numeric", "--tcp", "src"]
        looks.append(f"{address}:{hog.port}")

        def listens() -> str:
            return stage.run_outside(taker, looks, 60.0).stdout.strip()

        if not wait_until(listens, 30.0 * stage.factor, 0.2):
            raise BackendError(f"nothing on the host takes what {hog.name} sends")
        yield
    finally:
        stage.gone_outside(taker)


@contextlib.contextmanager
def _at_work(stage: Stage, neighbour: InstanceSpec, hog: Hog) -> t.Iterator[None]:
    """Have the neighbour at its work, and see that it is, at the beginning and at the end."""
    ended: list[str] = []
    argv = [stage.backend.host_address() if word == _HOST else word for word in hog.argv]

    def work() -> None:
        try:
            result = stage.run(argv, 3600.0, name=neighbour.name)
            ended.append(f"it ended with {result.rc}: {result.stderr.strip()[-200:]}")
        except BackendError as error:
            ended.append(error.message)

    def busy() -> bool:
        if ended:
            raise BackendError(f"the neighbour ({hog.name}) did not go on: {ended[0]}")
        found = stage.run(["pgrep", "-c", hog.process], 60.0, name=neighbour.name)
        return found.rc == 0 and int(found.stdout.strip() or 0) > 0

    worker = threading.Thread(target=work, name=hog.name)
    worker.start()
    try:
        if not wait_until(busy, 60.0 * stage.factor, 0.2):
            raise BackendError(f"the neighbour ({hog.name}) was not seen at work")
        # Until it is at its worst.
        time.sleep(1.0)
        yield
        if not busy():
            raise BackendError(
                f"the neighbour ({hog.name}) was not at work any more when the victim had finished"
            )
    finally:
        with contextlib.suppress(BackendError):
            stage.run(["pkill", "-KILL", hog.argv[0]], 60.0, name=neighbour.name)
        worker.join(60.0 * stage.factor)


def _step(hog: Hog, variant: str) -> Step:
    # Each alone, so that a victim that does not finish beside one is made anew for the next.
    return Step(
        LATER,
        (kept(hog, variant), slowed(hog, variant)),
        lambda stage: _beside(stage, hog, variant),
        company=True,
    )


EXPERIMENT = Experiment(
    NAME, tuple(_step(hog, variant) for variant in (EXPLICIT, DEFAULT) for hog in hogs(variant))
)
