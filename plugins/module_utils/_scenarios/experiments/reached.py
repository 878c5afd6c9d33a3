# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many functions of the host's kernel an instance's work leads through.

The same small work is done in each arm: commands in a shell inside, and requests to its application from outside. What
is traced are the tasks of the host that belong to the instance (its processes, or the processes and kernel threads that
a virtual machine consists of) and what they start. Work that the kernel does in the context of some other task, such as
the delivery of a packet by who sent it, belongs to no one in each arm alike, and so does what a hypervisor does that is
not part of the host's kernel.
"""

from __future__ import annotations

import shlex
import threading
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._host.tracing import Tracer
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import resp
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    Figure,
    Metric,
    Stage,
    replied,
)

FUNCTIONS = Metric("containment", "host_functions_reached", "count", "lower", 1.0, 1e6)

_GO = "vcompare-trace-go"
_REQUESTS = 20
_WORK_S = 120.0
# Files, folders, processes, /proc, sockets: what an ordinary program asks its kernel for.
_COMMANDS = (
    "ls -l /etc /usr > /dev/null",
    "mkdir /tmp/vcompare-trace",
    "head -c 65536 /dev/zero > /tmp/vcompare-trace/file",
    "cp /tmp/vcompare-trace/file /tmp/vcompare-trace/copy",
    "mv /tmp/vcompare-trace/copy /tmp/vcompare-trace/moved",
    "chmod 600 /tmp/vcompare-trace/moved",
    "sync /tmp/vcompare-trace/moved",
    "cat /proc/self/maps /proc/meminfo > /dev/null",
    "ip -s address > /dev/null",
    "kill -0 $$",
    "rm -r /tmp/vcompare-trace",
)


def script(address: str) -> str:
    """Return the work for a shell inside. It waits until it is told to begin, over redis.

    So nothing that brings a command into an instance is traced, like the agent of a container engine, or ssh.
    """
    wait = f"redis-cli -h {shlex.quote(address)} BLPOP {_GO} 0 > /dev/null"
    return " && ".join((wait, *_COMMANDS))


def traced(stage: Stage) -> t.Iterator[Figure]:
    """Trace the tasks of the instance while it works."""
    backend, name = stage.backend, stage.spec.name
    address = backend.address(stage.spec)
    limit_s = _WORK_S * stage.factor
    # An arm that can't say which they are says so before anything waits.
    backend.tasks(name)
    outcome: list[Result | Exception] = []

    def work() -> None:
        try:
            outcome.append(stage.run(["/bin/sh", "-c", script(address)], 2 * _WORK_S))
        except Exception as error:  # carried over to the other thread, which raises it
            outcome.append(error)

    def waits() -> bool:
        return bool(outcome) or "cmd=blpop" in resp.ask(address, "CLIENT LIST", limit_s)

    worker = threading.Thread(target=work, name="traced")
    worker.start()
    told = False
    try:
        if not wait_until(waits, limit_s, 0.1):
            raise BackendError(f"{name}: the work to be traced was never ready to begin")
        tasks = backend.tasks(name)
        with Tracer(tasks, stage.factor) as tracer:
            tracer.start()
            told = True
            resp.ask(address, f"RPUSH {_GO} 1", limit_s)
            for _request in range(_REQUESTS):
                resp.ask(address, "PING", limit_s)
            worker.join(limit_s)
            tracer.stop()
            seen = tracer.seen()
    finally:
        if not told:
            resp.ask(address, f"RPUSH {_GO} 1", limit_s)
        worker.join(limit_s)
    if not outcome:
        raise BackendError(f"{name}: the work that was traced did not end within {limit_s:g} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    replied(outcome[0], "the work that was traced")
    if seen.lost:
        raise BackendError(
            f"the trace had no room for {seen.lost} of {seen.lost + seen.calls} calls, so that"
            f" {len(seen.functions)} functions are only some of those that were reached"
        )
    who = ", ".join(f"{what} ({task})" for task, what in sorted(tasks.items()))
    yield Figure(
        FUNCTIONS,
        len(seen.functions),
        f"{len(seen.functions)} different functions in {seen.calls} calls by {who} and what they started;"
        f" {backend.untraced}: {' '.join(sorted(seen.functions))}",
    )
