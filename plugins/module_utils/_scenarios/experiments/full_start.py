# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time to the first reply of an application that is a service of a whole Debian.

A virtual machine boots that system, whose systemd starts the application. A container of the same file system runs its
application and boots nothing: that is what a container of a full system's image is.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LAST,
    Experiment,
    Figure,
    Stage,
    Step,
    replied,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup

NAME = "full-start"
FIRST_REPLY = dataclasses.replace(startup.FIGURE, scenario=NAME)
# docs/experiments.md, "Further images".
ROLE = "full-system"

APPLICATION = "vcompare-application.service"
# What a whole system has running.
UNITS = (
    "multi-user.target",
    APPLICATION,
    "ssh.service",
    "dbus.service",
    "systemd-udevd.service",
    "systemd-journald.service",
    "systemd-logind.service",
    "cron.service",
    "rsyslog.service",
)
_SYSTEMD = "/usr/lib/systemd/systemd"
_ASK_S = 60.0
# From the first reply to the end of the boot.
_BOOTED_S = 120.0
# Waits for the end of the boot, since ssh answers before; a line is a name and what it is.
_LOOK = f"""\
echo "init $(readlink /proc/1/exe)"
echo "state $(timeout "$1" systemctl is-system-running --wait)"
shift
for unit in "$@"; do echo "$unit $(systemctl is-active "$unit")"; done
main=$(systemctl show --property MainPID --value {APPLICATION})
echo "application $(cat "/proc/$main/comm")"
echo "finished $(systemctl show --property FinishTimestampMonotonic --value)"
echo "failed $(systemctl list-units --failed --plain --no-legend | cut -d ' ' -f 1 | tr '\\n' ' ')"
"""


def full(stage: Stage) -> t.Iterator[Figure]:
    """Start it once untimed, as the one image was started before; then once more, and look what has booted."""
    image = stage.image(ROLE)
    stage.end()
    once = stage.another("once", image=image)
    stage.fresh(once)
    stage.gone(once)
    spec = stage.prepared("full", image=image)
    stage.settle()
    elapsed_s = stage.started(spec)
    seen = (_booted if stage.backend.own_kernel else _contained)(stage, spec.name)
    stage.gone(spec)
    yield Figure(FIRST_REPLY, elapsed_s, seen)


def _booted(stage: Stage, name: str) -> str:
    """Return what a machine has booted.

    :raises BackendError: it is not a whole system.
    """
    limit_s = round(_BOOTED_S * stage.factor)
    argv = ["/bin/sh", "-c", _LOOK, "look", str(limit_s), *UNITS]
    found = parse(replied(stage.run(argv, _BOOTED_S + _ASK_S, name), "looking at the boot"))
    doubts = doubts_of(found)
    if doubts:
        raise BackendError(f"{stage.backend.arm}: it has booted no whole system: {doubts}")
    # Microseconds since its kernel began.
    finished_s = int(found["finished"]) / 1e6
    return (
        f"process 1 is {found['init']}, {found['application']} runs as {APPLICATION}, the system is {found['state']}"
        f" (failed units: {found['failed'] or 'none'}); its boot was finished {finished_s:.2f} s after its kernel began"
    )


def _contained(stage: Stage, name: str) -> str:
    """Return what runs in a container, whose file system must be the whole system's all the same."""
    replied(stage.run(["test", "-x", _SYSTEMD], _ASK_S, name), f"looking for {_SYSTEMD}")
    first = replied(stage.run(["readlink", "/proc/1/exe"], _ASK_S, name), "asking for process 1")
    return f"{_SYSTEMD} is in its file system, and process 1 is {first.strip()}: nothing was booted"


def parse(text: str) -> dict[str, str]:
    """Return what a machine said of its boot, by name."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: said.strip() for name, _blank, said in pairs}


def doubts_of(found: t.Mapping[str, str]) -> str:
    """Return why what a machine said is not a boot of a whole system, or nothing."""
    doubts = []
    if not found.get("init", "").endswith("/systemd"):
        doubts.append(f"process 1 is {found.get('init') or 'unknown'} and not systemd")
    if found.get("state") not in ("running", "degraded"):
        doubts.append(f"the system is {found.get('state') or 'in no state'}")
    doubts += [
        f"{unit} is {found.get(unit) or 'unknown'}" for unit in UNITS if found.get(unit) != "active"
    ]
    if not found.get("application", "").startswith("redis"):
        doubts.append(f"{APPLICATION} runs {found.get('application') or 'nothing'}")
    if not found.get("finished", "").isdigit():
        doubts.append("it does not say when its boot was finished")
    return "; ".join(doubts)


EXPERIMENT = Experiment(NAME, (Step(LAST, (FIRST_REPLY,), full, company=True),))
