# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that bring a Docker daemon to the wanted options."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._engines import docker_config
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    UNIT,
    ServiceState,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

OPTIONS_CHANGE = "the options change"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done to a daemon, and why."""

    file: docker_config.ConfigFile
    merged: dict[str, t.Any]
    service: ServiceState
    write: bool
    enable: bool
    restart: bool
    why: str

    @property
    def changed(self) -> bool:
        """Whether anything is done."""
        return self.write or self.enable or self.restart

    @property
    def interrupts(self) -> bool:
        """Whether a running daemon is restarted."""
        return self.restart and self.service.active

    def add_to(self, steps: HostPlan, containers: t.Sequence[str], allowed: bool) -> None:
        """Add the steps.

        :param containers: what the daemon carries; ``allowed`` says whether they may be interrupted.
        """
        if self.write:
            steps.file(self.file.path, _text(self.file.content), _text(self.rendered) or "")
        if self.enable:
            steps.add("service", "enable", UNIT, "at boot")
        if self.restart:
            interrupted = f"; interrupts {', '.join(containers)}" if containers else ""
            steps.add(
                "service",
                "restart" if self.service.active else "start",
                UNIT,
                self.why + interrupted,
                needs="restart" if containers and not allowed else "",
            )

    @property
    def rendered(self) -> bytes:
        """The file's new content."""
        return docker_config.render(self.merged)


def before_installation(
    config_file: str, wanted: dict[str, t.Any], steps: HostPlan
) -> dict[str, t.Any]:
    """Plan for a host on which Docker is not installed yet: its package starts the daemon, now and at boot.

    :returns: the result of a check; nothing can be said of the daemon.
    """
    file = docker_config.load(config_file)
    merged = docker_config.merge(file.values, wanted)
    write = merged != file.values
    running = ServiceState(managed=True, active=True)
    plan = Plan(file, merged, running, write, False, write, OPTIONS_CHANGE if write else "")
    plan.add_to(steps, [], allowed=True)
    return {
        "changed": plan.changed,
        "restarted": plan.restart,
        "why": plan.why,
        "backup_file": None,
        "checked_by": None,
        "config": merged,
        **steps.result(),
    }


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")
