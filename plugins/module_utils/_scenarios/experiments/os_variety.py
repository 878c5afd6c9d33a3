# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which other systems an arm runs: another release, another release's kernel, and systems that are not Linux.

Each is really tried. A technology that says in its own words that it can't start such a thing has given the answer; any
other failure is a failure.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import System
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import starting
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    resp,
    systems,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Stage,
    Step,
    answer,
    replied,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.two_kernels import (
    ROLE,
    kernel_of,
    with_other_kernel,
)

NAME = "os-variety"
RELEASE = answer(NAME, "boots_other_release")
KERNEL = answer(NAME, "boots_other_kernel")
SYSTEM = answer(NAME, "boots_other_system")
SYSTEMS_ROLE = "other-systems"
# What a user gives (docs/systems.yml).
OWN_ROLE = "own-systems"

_ASK_S = 60.0
_LOOK_S = 0.5


def other_linux(stage: Stage) -> t.Iterator[Figure]:
    """Start the other release, and the one root file system under the other release's kernel, each beside the first."""
    spec = with_other_kernel(stage, "release", stage.image(ROLE))
    stage.fresh(spec)
    replies = resp.ping(stage.backend.address(spec), _ASK_S * stage.factor)
    ours, theirs = (_release_of(stage, name) for name in (stage.spec.name, spec.name))
    kernels = [kernel_of(stage, name) for name in (stage.spec.name, spec.name)]
    stage.gone(spec)
    yield Figure(
        RELEASE,
        float(replies and ours != theirs),
        f"beside {ours} runs {theirs} with the kernel {kernels[1]}; its redis {'replies' if replies else 'is silent'}",
    )
    if not stage.backend.own_kernel:
        # The other release had no way to bring its kernel along.
        yield Figure(
            KERNEL,
            float(kernels[0] != kernels[1]),
            f"{theirs} reports the kernel {kernels[1]}, and the first instance {kernels[0]}",
        )
        return
    own, other = stage.spec.image, stage.image(ROLE)
    if own is None:
        raise BackendError(f"{stage.spec.name} has no image")
    image = dataclasses.replace(own, kernel=other.kernel, initrd=other.initrd)
    spec = with_other_kernel(stage, "kernel", image)
    stage.fresh(spec)
    kernels = [kernel_of(stage, name) for name in (stage.spec.name, spec.name)]
    release = _release_of(stage, spec.name)
    stage.gone(spec)
    yield Figure(
        KERNEL,
        float(release == ours and kernels[0] != kernels[1]),
        f"{release} runs under {kernels[1]}, and beside it under {kernels[0]}",
    )


def other_system(stage: Stage) -> t.Iterator[Figure]:
    """Start what is not Linux; it must be seen by its own words."""
    known = systems.read(stage.image(SYSTEMS_ROLE).rootfs)
    if OWN_ROLE in stage.images:
        known += systems.read(stage.image(OWN_ROLE).rootfs)
    tried = [(system, *_tried(stage, system)) for system in known]
    if not any(not system.linux for system in known):
        raise NotPossible("there is no system on this host that is not Linux")
    text = "\n".join(f"{system.name}: {said}" for system, _runs, said in tried)
    yield Figure(SYSTEM, float(any(runs and not one.linux for one, runs, _said in tried)), text)


def _tried(stage: Stage, system: System) -> tuple[bool, str]:
    """Start a system; return whether it runs, and what that was seen by."""
    try:
        spec = stage.foreign(system)
    except NotPossible as error:
        return False, f"not tried: {error.message}"
    try:
        stage.backend.prepare(spec)
        stage.backend.create(spec, starting.CREATE_S * stage.factor)
        return _watched(stage, spec.name, system)
    except BackendError as error:
        said = f"{error.message}\n{error.evidence}".strip()
        if not any(word.lower() in said.lower() for word in stage.backend.refuses_systems):
            raise
        return False, f"refused: {said}"
    finally:
        stage.gone(spec)


def _watched(stage: Stage, name: str, system: System) -> tuple[bool, str]:
    """Look until a system is seen, or its time is up."""
    began = time.monotonic()
    limit = began + system.ready_s * stage.factor
    console = ""
    while time.monotonic() < limit:
        console = stage.backend.console(name)
        found = systems.seen(system, console)
        if found:
            return (
                True,
                f"seen by {found} after {time.monotonic() - began:.1f} s; its console:\n{console}",
            )
        # What ended says no more. Containers end so: Linux refuses the program only once Docker has started it.
        state = stage.backend.info(name).state
        if state != "running":
            console = stage.backend.console(name)
            raise BackendError(f"{name} ended before it was seen; it is {state}", evidence=console)
        time.sleep(_LOOK_S)
    state = stage.backend.info(name).state
    return False, (
        f"not seen within {system.ready_s * stage.factor:g} s; it is {state}; its console:\n{console or '(nothing)'}"
    )


def _release_of(stage: Stage, name: str) -> str:
    text = replied(stage.run(["cat", "/etc/os-release"], _ASK_S, name), "asking for the release")
    names = [
        line.partition("=")[2].strip('"')
        for line in text.splitlines()
        if line.startswith("PRETTY_NAME=")
    ]
    if not names:
        raise BackendError(f"{name}: /etc/os-release has no name: {text[:200]!r}")
    return names[0]


EXPERIMENT = Experiment(
    NAME,
    (
        Step(LATER, (RELEASE, KERNEL), other_linux, company=True),
        Step(LATER, (SYSTEM,), other_system, company=True),
    ),
)
