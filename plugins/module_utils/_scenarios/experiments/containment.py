# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gets out of an instance, and what of its host gets in.

Facts of the host are things that only this host says just now (its boot, its command line, its disks), never what two
machines with the same packages have in common. One is visible where the same command says the same inside and outside.
"""

from __future__ import annotations

import functools
import shlex
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run, wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    calls,
    reached,
    resp,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LAST,
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    answer,
    replied,
)

NAME = "containment"
OWN_KERNEL = answer(NAME, "own_kernel")
VISIBLE = Metric(NAME, "host_facts_visible", "count", "lower", 0.0, 100.0)
SURVIVES = answer(NAME, "host_survives_crash")

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# What it is → how it is read; an empty answer is none.
FACTS: t.Mapping[str, str] = {
    "this boot": f"cat {_BOOT_ID}",
    "the time of its boot": "grep ^btime /proc/stat",
    "the kernel's command line": "cat /proc/cmdline",
    "the size of its memory": "grep ^MemTotal /proc/meminfo",
    "the modules of its kernel": "cut -d' ' -f1 /proc/modules | sort",
    "its disks": "cat /proc/partitions",
    "its interrupts": "sed 's/[0-9]* *//g' /proc/interrupts",
    "the machine's own number": "cat /sys/class/dmi/id/product_uuid",
    "the kernel's log": "dmesg | grep -m 1 'Command line'",
    # The first namespace of a kind has the same number in every kernel.
    "its processes": f"cat {_BOOT_ID} && readlink /proc/self/ns/pid",
    "its network": f"cat {_BOOT_ID} && readlink /proc/self/ns/net",
    "its users": f"cat {_BOOT_ID} && readlink /proc/self/ns/user",
}
_MARK = "vcompare-fact:"
# A moment later, so that the command's own end is heard: whoever waits for it would wait for its deadline.
_CRASH = (
    "echo 1 > /proc/sys/kernel/sysrq && (sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &"
)


def script() -> str:
    """Return a shell script that reads all facts; what it can't read, it leaves empty."""
    return "; ".join(
        f"echo {shlex.quote(_MARK + name)}; ( {command} ) 2>/dev/null"
        for name, command in FACTS.items()
    )


def parse(text: str) -> dict[str, str]:
    """Return the facts that the script printed."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(_MARK):
            lines = found.setdefault(line.removeprefix(_MARK), [])
        else:
            lines.append(line.rstrip())
    return {name: "\n".join(said).strip() for name, said in found.items()}


def seen(inside: t.Mapping[str, str], outside: t.Mapping[str, str]) -> list[str]:
    """Return the names of the host's facts that are the same inside; what the host lacks can't be seen."""
    return [name for name in FACTS if outside.get(name) and inside.get(name) == outside[name]]


def looked(stage: Stage) -> t.Iterator[Figure]:
    """Read the same things inside and outside."""
    argv = ["/bin/sh", "-c", script()]
    inside = parse(replied(stage.run(argv, 60.0), "reading the host's facts inside"))
    outside = _of_host(60.0 * stage.factor)
    missing = [name for name in ("this boot", "its processes") if not outside.get(name)]
    if missing:
        raise BackendError(f"the host does not say {missing[0]}, so that nothing can be compared")
    own = bool(inside.get("this boot")) and inside["this boot"] != outside["this boot"]
    yield Figure(
        OWN_KERNEL,
        float(own),
        f"{_BOOT_ID} inside {inside.get('this boot')}, outside {outside['this boot']}",
    )
    names = seen(inside, outside)
    known = sum(1 for name in FACTS if outside.get(name))
    yield Figure(
        VISIBLE,
        len(names),
        f"of {known} facts the same is said inside: {', '.join(names) or 'none'}",
    )


@functools.lru_cache(maxsize=1)
def _of_host(timeout_s: float) -> t.Mapping[str, str]:
    """Return the host's own facts, once for all arms of a block: none of them changes while it is up."""
    argv = ["/bin/sh", "-c", script()]
    return parse(host_run(argv, timeout_s, "reading the host's facts").stdout)


def crashed(stage: Stage) -> t.Iterator[Figure]:
    """Crash the instance's kernel; its host and another instance must go on."""
    if not stage.backend.own_kernel:
        raise NotPossible("it has no kernel of its own: to crash its kernel is to crash the host")
    other = stage.beside()
    address = stage.backend.address(other)
    boot = host_run(["cat", _BOOT_ID], 30.0, "reading the host's boot id").stdout
    stage.run(["/bin/sh", "-c", _CRASH], 30.0)
    name = stage.spec.name
    down = wait_until(lambda: stage.backend.info(name).state != "running", 60.0 * stage.factor, 0.5)
    if not down:
        raise BackendError(f"{name} still runs after its kernel was told to crash")
    replies = resp.ping(address, 10.0 * stage.factor)
    runs = stage.run(["true"], 30.0, name=other.name).rc == 0
    same = host_run(["cat", _BOOT_ID], 30.0, "reading the host's boot id").stdout == boot
    yield Figure(
        SURVIVES,
        float(replies and runs and same),
        f"the instance ended; another one's application replies: {replies}, it runs commands: {runs};"
        f" the host is in the same boot: {same}",
    )


EXPERIMENT = Experiment(
    NAME,
    (
        Step(LATER, (OWN_KERNEL, VISIBLE), looked),
        # No further instance, but some hundred processes.
        Step(LATER, (calls.PERMITTED,), calls.tried, company=True),
        # No further instance, but a kernel that is several times slower while it is traced.
        Step(LATER, (reached.FUNCTIONS,), reached.traced, company=True),
        Step(LAST, (SURVIVES,), crashed, company=True),
    ),
)
