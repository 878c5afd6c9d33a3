# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of its work an instance keeps beside a bad neighbour.

With default limits both instances are what the technology gives to somebody who asks for nothing: no CPUs of their
own, and a container no bound on memory either. With explicit limits each has a CPU of its own where the host has two,
and its memory, as in all other scenarios.

A hog of the disk writes to a file system of its own, past all caches; one of the network sends to the host, where
somebody must take it, on another CPU than the victim's where the host has one. Neither has an explicit limit in any of
the technologies here, and so they are measured with default limits only. What the victim does is always the same work
of the processor: what is asked is whether a neighbour's bad habit is felt by who does not share it.

A neighbour counts only while it is seen at its bad work, before the victim's sample and after it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.backends import data_disk
from ansible_collections.vcompare.lab.plugins.module_utils.backends.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils.backends.protocol import (
    BackendError,
    InstanceSpec,
)
from ansible_collections.vcompare.lab.plugins.module_utils.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    replied,
)
from ansible_collections.vcompare.lab.plugins.module_utils.workloads import cpu
from ansible_collections.vcompare.lab.plugins.module_utils.workloads.base import (
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


def hogs(variant: str) -> tuple[Hog, ...]:
    """Return the neighbours that are measured with these limits."""
    return tuple(hog for hog in HOGS if variant in hog.variants)


def kept(hog: Hog, variant: str) -> Metric:
    """Return the metric: the victim's rate beside a neighbour over its rate alone."""
    return Metric(NAME, f"kept_beside_{hog.name}", "1", "higher", 0.0, 10.0, variant)


def default_limits(stage: Stage) -> t.Iterator[Figure]:
    """Both are as the technology delivers them."""
    victim = stage.another("victim", unlimited=True)
    neighbour = stage.another("hog", unlimited=True, data_mib=_HOG_DATA_MIB)
    for spec in (victim, neighbour):
        stage.fresh(spec)
    yield from _beside_each(stage, victim, neighbour, DEFAULT)
    for spec in (victim, neighbour):
        stage.gone(spec)


def explicit_limits(stage: Stage) -> t.Iterator[Figure]:
    """The victim is the turn's own instance; the neighbour has another CPU."""
    neighbour = stage.another("hog", cpuset=stage.other_cpus())
    stage.fresh(neighbour)
    yield from _beside_each(stage, stage.spec, neighbour, EXPLICIT)
    stage.gone(neighbour)


def _beside_each(
    stage: Stage, victim: InstanceSpec, neighbour: InstanceSpec, variant: str
) -> t.Iterator[Figure]:
    # The first is slow by what is new to the machine, and would make a neighbour look like a help.
    _rate(stage, victim)
    for hog in hogs(variant):
        alone = _rate(stage, victim)
        with _taken(stage, hog), _at_work(stage, neighbour, hog):
            beside = _rate(stage, victim)
        yield Figure(
            kept(hog, variant),
            beside / alone,
            f"{beside:g} events/s beside {' '.join(hog.argv)}, {alone:g} alone just before",
        )


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


EXPERIMENT = Experiment(
    NAME,
    (
        Step(
            LATER,
            tuple(kept(hog, EXPLICIT) for hog in hogs(EXPLICIT)),
            explicit_limits,
            company=True,
        ),
        Step(
            LATER, tuple(kept(hog, DEFAULT) for hog in hogs(DEFAULT)), default_limits, company=True
        ),
    ),
)
