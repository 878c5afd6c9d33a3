# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making an instance, timed from outside: from just before the call that creates to the first correct reply."""

from __future__ import annotations

import threading
import time

from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Backend,
    InstanceSpec,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import neighbour
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import applications, readiness

# Deadlines in seconds on an ordinary machine.
CREATE_S = 60.0
READY_S = 120.0
QUIET_S = 10.0
# How much of the free memory is written to before a start that is measured (freed.py), in sizes of an instance: a
# virtual machine's processes take more than its memory.
FREED = 2
# A look costs the host, too, so that none falls into a start of the usual length.
_LOOK_S = 30.0
# What a machine's process 1 says when its application has (roles/guest_image/files/init.sh).
_ENDED = "vcompare: the application ended with "


class AlreadyAnswered(BackendError):
    """Something replies at the address before the instance is there: its start can't be seen."""


def start(
    backend: Backend,
    spec: InstanceSpec,
    factor: float,
    interval_s: float = readiness.INTERVAL_S,
    application: applications.Application = applications.REDIS,
) -> readiness.Readiness:
    """Make a prepared instance, and watch from outside while that goes on.

    :param interval_s: seconds between looks; each costs the instance something, too.
    :param factor: how much slower than an ordinary machine the host may be.
    :param application: what its command starts, and so is asked for.
    :raises BackendError: it could not be made, or never replied; with how far it came.
    """
    address = backend.address(spec)
    if readiness.answers(address, application.port):
        raise AlreadyAnswered(
            f"something answers at {address}:{application.port} before the instance was made"
        )
    poller = readiness.Poller(
        address,
        application.port,
        interval_s,
        avoid_cpus=cpuset.parse(cpuset.of(spec)),
        question=application.question,
    )
    outcome: list[readiness.Readiness | Exception] = []
    with neighbour.noticed_quickly(address):
        started = time.monotonic()

        def watch() -> None:
            try:
                outcome.append(poller.wait(started, (CREATE_S + READY_S) * factor))
            except Exception as error:  # carried over to the other thread, which raises it
                outcome.append(error)

        # A thread, since the reply may come before the call that creates has returned.
        watcher = threading.Thread(target=watch, name="readiness")
        watcher.start()
        try:
            backend.create(spec, CREATE_S * factor)
            _outlived(backend, spec, watcher)
        except BaseException:
            poller.cancel()
            raise
        finally:
            watcher.join()
    result = outcome[0]
    if isinstance(result, readiness.NotReady):
        raise _never_replied(backend, spec, result, factor)
    if isinstance(result, Exception):
        raise result
    return result


def _outlived(backend: Backend, spec: InstanceSpec, watcher: threading.Thread) -> None:
    """Wait for the watcher, and see now and then that there is something to wait for.

    :raises BackendError: the instance or its application ended, which would be waited for until the deadline.
    """
    while True:
        watcher.join(_LOOK_S)
        if not watcher.is_alive():
            return
        state = backend.info(spec.name).state
        if state != "running":
            raise BackendError(
                f"{backend.arm}: {spec.name} ended before its application replied; it is {state}",
                remedy="Its last words are in the evidence of the sample.",
                evidence=backend.last_words(spec.name),
            )
        console = backend.console(spec.name)
        if _ENDED in console:
            code = console.rpartition(_ENDED)[2].split(maxsplit=1)[0]
            raise BackendError(
                f"{backend.arm}: the application in {spec.name} ended with {code} before it replied",
                remedy="Its last words are in the evidence of the sample.",
                evidence=console,
            )


def _never_replied(
    backend: Backend, spec: InstanceSpec, result: readiness.NotReady, factor: float
) -> BackendError:
    """Make an error that says how far the instance itself came."""
    state = backend.info(spec.name).state
    try:
        backend.wait_ready(spec, 5.0 * factor)
    except BackendError as error:
        evidence = f"{error.message}\n{error.evidence}"
    else:
        evidence = "the instance itself runs commands; only its application did not reply"
    return BackendError(
        f"{backend.arm}: {result}; the instance is {state}",
        remedy="Its last words are in the evidence of the sample.",
        evidence=evidence,
    )
