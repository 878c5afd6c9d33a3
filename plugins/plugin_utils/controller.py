# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller itself did while a block was measured.

Where the hosts are nodes of a nested lab that this machine carries, whatever else it does is load on
them. The nodes make most of its load themselves, so what counts is *foreign* load:

    foreign = busy CPU time − CPU time of this lab's QEMU processes − CPU time of our own

- busy: user, nice, system, irq and softirq of ``/proc/stat`` (proc(5)).
- this lab's QEMU processes: those whose command line has ``-name guest=<domain>`` with the name of
  one of this lab's domains; user and system time of all their threads (``/proc/<pid>/stat``).
- our own: the topmost process above us that is still Ansible's, ansible-runner's or our own command,
  and all below it: their own time, and that of their children that have ended. A child that ends hands its
  time to its parent, so the sum loses nothing by it.

What kernel threads did is recorded beside it and counts as foreign: they may work for anybody, and a
figure near the limit can be explained by it.

On a controller that carries no node of the lab the same is recorded (it may explain a lost
connection), and judged by nobody. A figure that can't be read is None.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import NODES, Lab

Record = dict[str, t.Any]

# The pid of the parent of all kernel threads (kernel/kthread.c). In a container there are none to be seen.
_KTHREADD = 2

# Programs above a task that are part of the same run. A shell or a script above them is not: what
# else it has started is load from elsewhere.
_OURS = frozenset(
    {
        b"ansible",
        b"ansible-playbook",
        b"ansible-pull",
        b"ansible-runner",
        b"ansible_runner",
        b"vcompare",
        b"vcompare_runner",
    }
)


@dataclasses.dataclass(frozen=True)
class Process:
    """One process. Times in CPU seconds.

    :param spent_s: its own, of all its threads.
    :param reaped_s: of its children that have ended.
    :param started: when, in clock ticks since the boot: tells apart two owners of one pid.
    """

    pid: int
    parent: int
    spent_s: float
    reaped_s: float
    started: int
    command: bytes


@dataclasses.dataclass(frozen=True)
class Reading:
    """The controller's totals at one moment."""

    at_s: float
    totals: conditions.Conditions
    nodes: t.Mapping[tuple[int, int], float]
    kernel: t.Mapping[tuple[int, int], float]
    own_s: float | None


def lab_nodes(home: str, name: str | None) -> dict[str, str]:
    """Return the domains that a nested lab's nodes are, by node, as many as it may have; none for other hosts."""
    if not name:
        return {}
    try:
        nodes = Lab(os.path.abspath(home), name, len(NODES)).nodes
    except VcompareError:
        return {}
    return {node.name: node.domain for node in nodes}


def session(proc: Path = Path("/proc")) -> str | None:
    """What tells this playbook's process from all others since the boot; a task is a child of it.

    From one playbook to the next, a lab's nodes may have been put back to their snapshot: same boot, earlier clock.
    """
    parent = os.getppid()
    try:
        fields = _fields((proc / str(parent) / "stat").read_bytes())
    except OSError:
        return None
    return f"{parent}-{int(fields[19])}" if len(fields) >= 20 else None


def _fields(stat: bytes) -> list[bytes]:
    """Return fields 3 to 52 of ``/proc/<pid>/stat``: the name in parentheses before them may hold anything."""
    return stat.rpartition(b")")[2].split()


def processes(proc: Path = Path("/proc")) -> dict[int, Process]:
    """Return what runs on this machine, by pid; what ends meanwhile is left out."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        fields = _fields(text)
        if len(fields) < 20:
            continue
        spent, reaped = (int(fields[n]) + int(fields[n + 1]) for n in (11, 13))
        pid = int(folder.name)
        found[pid] = Process(
            pid, int(fields[1]), spent / ticks, reaped / ticks, int(fields[19]), command
        )
    return found


def nodes_of(
    running: t.Mapping[int, Process], domains: t.Collection[str]
) -> dict[tuple[int, int], float]:
    """Return the CPU seconds of the QEMU processes of these domains, by pid and start."""
    wanted = {f"guest={domain}".encode() for domain in domains}
    return {
        (process.pid, process.started): process.spent_s
        for process in running.values()
        if any(
            # libvirt adds more after a comma: guest=<domain>,debug-threads=on
            word.split(b",")[0] in wanted
            for word in process.command.split(b"\0")
        )
    }


def kernel_threads(running: t.Mapping[int, Process]) -> dict[tuple[int, int], float]:
    """Return the CPU seconds of kernel threads, the children of kthreadd, by pid and start."""
    return {
        (process.pid, process.started): process.spent_s
        for process in running.values()
        if _KTHREADD in (process.pid, process.parent) and not process.command
    }


def is_ours(command: bytes) -> bool:
    """Say whether a command line is Ansible's or our own: a program, or what Python runs."""
    words = [os.path.basename(word) for word in command.split(b"\0")]
    if words[0].startswith(b"python"):
        # python vcompare …, python -I vcompare …, python -m vcompare_runner …
        words = [word for word in words[1:] if not word.startswith(b"-")]
    return bool(words) and words[0] in _OURS


def own_time(running: t.Mapping[int, Process], pid: int) -> float | None:
    """Return the CPU seconds of the run that a process belongs to: see this module's top."""
    if pid not in running:
        return None
    top = pid
    while True:
        parent = running[top].parent
        if parent <= 1 or parent not in running:
            break
        if not is_ours(running[parent].command):
            break
        top = parent
    below: dict[int, list[int]] = {}
    for process in running.values():
        below.setdefault(process.parent, []).append(process.pid)
    total, left = 0.0, [top]
    while left:
        process = running[left.pop()]
        total += process.spent_s + process.reaped_s
        left += below.get(process.pid, ())
    return total


def read(domains: t.Collection[str]) -> Reading:
    """Read the totals of this machine."""
    try:
        running = processes()
    except OSError:
        running = {}
    return Reading(
        at_s=time.monotonic(),
        totals=conditions.now(),
        nodes=nodes_of(running, domains),
        kernel=kernel_threads(running),
        own_s=own_time(running, os.getpid()),
    )


def between(before: Reading, after: Reading) -> Record:
    """Return what the controller did between two readings, as it stands in a block's line.

    ``…_cpus`` are CPUs that were busy on average. ``nodes_here`` is how many of the lab's nodes this
    machine carries: only with any is its foreign load a load on what is measured.
    """
    wall_s = after.at_s - before.at_s
    spent = after.totals.since(before.totals)
    # A node that was started or ended meanwhile took its time along.
    same = before.nodes.keys() == after.nodes.keys()
    nodes_s = sum(after.nodes[key] - before.nodes[key] for key in after.nodes) if same else None
    own_s = None if before.own_s is None or after.own_s is None else after.own_s - before.own_s
    # One that began meanwhile counts from its beginning; one that ended takes its last moments along.
    kernel_s = sum(spent_s - before.kernel.get(key, 0.0) for key, spent_s in after.kernel.items())
    foreign_s = None
    if spent.busy_s is not None and nodes_s is not None and own_s is not None:
        # Ticks of different counters: a difference a little below zero is zero.
        foreign_s = max(0.0, spent.busy_s - nodes_s - own_s)
    record = spent.record(wall_s)
    del record["busy_s"]
    return {
        **record,
        "nodes_here": len(after.nodes),
        "busy_cpus": _rate(spent.busy_s, wall_s),
        "busy_nodes_cpus": _rate(nodes_s, wall_s),
        "busy_own_cpus": _rate(own_s, wall_s),
        "busy_kernel_cpus": _rate(kernel_s, wall_s),
        "busy_foreign_cpus": _rate(foreign_s, wall_s),
        "load1": load1(),
    }


def _rate(spent_s: float | None, wall_s: float) -> float | None:
    return None if spent_s is None or wall_s <= 0 else round(spent_s / wall_s, 3)


def load1() -> float | None:
    """The load average of the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
