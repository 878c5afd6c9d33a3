# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a Docker daemon to the wanted options, or back to where it was."""

from __future__ import annotations

import concurrent.futures
import os
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import docker_config
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import (
    Api,
    DaemonState,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_plan import (
    OPTIONS_CHANGE,
    Plan,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    UNIT,
    Service,
    ServiceState,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    DOCKER_OPTIONS,
    FILE,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

# Written before the file is changed and removed after the restart: a run that was killed in
# between is finished by the next one.
_PENDING = ".vcompare-pending"


class Engine:
    """One daemon.

    :param wanted: options in the form of daemon.json; None removes one.
    :param timeout_s: the longest that the daemon may take to answer after a restart.
    :param containers: asks which containers run on the host, by name.
    :param allow_restart: whether a daemon that carries containers may be restarted.
    :param records: of what was there before a change; None for a host that is ours alone.
    :param steps: what is, or in check mode would be, done.
    """

    def __init__(
        self,
        config_file: str,
        wanted: dict[str, t.Any],
        dockerd: str,
        service: Service,
        api: Api,
        timeout_s: float = 120.0,
        containers: t.Callable[[], list[str]] = list,
        allow_restart: bool = False,
        records: HostJournal | None = None,
        steps: HostPlan | None = None,
    ) -> None:
        self._config_file = config_file
        self._wanted = wanted
        self._dockerd = dockerd
        self._service = service
        self._api = api
        self._timeout_s = timeout_s
        self._containers = containers
        self._allow_restart = allow_restart
        self._records = records
        self._steps = HostPlan() if steps is None else steps

    def converge(self, check_mode: bool = False) -> dict[str, t.Any]:
        """Do what is needed, and no more.

        :returns: changed, plan, diff, restarted, why, backup_file, checked_by, config, the daemon's
            summary, and for each wanted option whether it is in force.
        :raises VcompareError: when that is not possible; the old options are then in force again.
        """
        plan = self._plan()
        checked_by = None
        if plan.write:
            checked_by = docker_config.check(
                plan.merged, self._dockerd, _without_config_file(plan.service.flags)
            )
        containers = self._containers() if plan.interrupts else []
        plan.add_to(self._steps, containers, self._allow_restart)
        result: dict[str, t.Any] = {
            "changed": plan.changed,
            "restarted": plan.restart,
            "why": plan.why,
            "backup_file": None,
            "checked_by": checked_by,
            "config": plan.merged,
            **self._steps.result(),
        }
        if plan.changed and not plan.service.managed:
            raise VcompareError(
                f"Docker would have to be restarted ({plan.why}), and there is no systemd here.",
                f"Put the options into {plan.file.path} and restart dockerd yourself.",
            )
        if plan.interrupts:
            self._refuse_interruption(plan, containers)
        if plan.changed and not check_mode:
            result["backup_file"] = self._carry_out(plan) or None
        if not (check_mode and plan.restart):
            state = self._api.state()
            result.update(state.summary())
            result["options"] = self._findings(state)
        return result

    def _plan(self) -> Plan:
        file = docker_config.load(self._config_file)
        service = self._service.state()
        if service.managed and (service.masked or not service.loaded):
            raise VcompareError(
                "docker.service is " + ("masked." if service.masked else "not known to systemd."),
                "Unmask it (systemctl unmask docker.service)."
                if service.masked
                else "Install Docker as a package (Debian: apt-get install docker.io).",
            )
        self._refuse_another_file(service)
        merged = docker_config.merge(file.values, self._wanted)
        write = merged != file.values
        active = service.active if service.managed else self._api.answers()
        why = ""
        if write:
            why = OPTIONS_CHANGE
        elif not active:
            why = "it does not run"
        elif os.path.exists(file.path + _PENDING):
            why = "an earlier run was interrupted before its restart"
        else:
            missed = [
                entry["name"]
                for entry in self._findings(self._state_of_active())
                if entry["in_force"] is False
            ]
            if missed:
                why = f"not in force: {', '.join(missed)}"
        return Plan(
            file=file,
            merged=merged,
            service=service,
            write=write,
            enable=service.managed and not service.enabled,
            restart=bool(why),
            why=why,
        )

    def _state_of_active(self) -> DaemonState:
        # It may have been started a moment ago.
        if not self._api.wait(self._timeout_s):
            raise VcompareError(
                f"Docker runs, and does not answer on {self._api.path}.",
                "See journalctl -u docker.service.",
                self._service.journal(time.time() - 3600),
            )
        return self._api.state()

    def _refuse_another_file(self, service: ServiceState) -> None:
        flags = service.flags
        for index, flag in enumerate(flags):
            name, _sign, value = flag.partition("=")
            if name == "--config-file":
                value = value or (flags[index + 1] if index + 1 < len(flags) else "")
                if os.path.realpath(value) != os.path.realpath(self._config_file):
                    raise VcompareError(
                        f"This daemon is started with another configuration file, {value}.",
                        "Give that path as config_file.",
                    )

    def _refuse_interruption(self, plan: Plan, containers: t.Sequence[str]) -> None:
        swarm = self._api.state().info.get("Swarm") or {}
        if plan.merged.get("live-restore") and swarm.get("LocalNodeState") not in (
            None,
            "",
            "inactive",
        ):
            raise VcompareError(
                "This daemon is a member of a Swarm, and does not start with live-restore. Nothing was changed.",
                "Leave live-restore out of docker_host_daemon_options for this host.",
            )
        if containers and not self._allow_restart:
            raise VcompareError(
                f"Docker would have to be restarted ({plan.why}), and carries {', '.join(containers)}. "
                "Nothing was changed.",
                "Leave docker_host_daemon_options empty for this host, or allow it: vcompare_allow=restart.",
            )

    def _carry_out(self, plan: Plan) -> str:
        """The path of the backup."""
        if self._records is not None:
            if plan.write:
                self._records.directory(os.path.dirname(plan.file.path))
                self._record(plan.file.path, plan.rendered, DOCKER_OPTIONS)
            if plan.enable:
                active = "active" if plan.service.active else "inactive"
                self._records.unit(UNIT, "disabled", active)
        # At the same time: what enables a service runs Perl for its old init script, seconds on an emulated host, and
        # the daemon takes longer than that to come up.
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
            enabling = pool.submit(self._service.enable) if plan.enable else None
            backup = self._restarted(plan) if plan.restart else ""
            if enabling is not None:
                enabling.result()
        return backup

    def _record(self, path: str, content: bytes, kind: str = FILE) -> None:
        if self._records is not None:
            self._records.file(path, content, kind)

    def _restarted(self, plan: Plan) -> str:
        """The path of the backup."""
        backup = ""
        pending = plan.file.path + _PENDING
        if plan.write:
            os.makedirs(os.path.dirname(plan.file.path), exist_ok=True)
            self._record(pending, b"")
            docker_config.replace(pending, b"")
            backup = docker_config.back_up(plan.file, self._record)
            docker_config.replace(plan.file.path, plan.rendered)
        started = time.time()
        trouble = self._start()
        if trouble:
            self._roll_back(plan, trouble, self._service.journal(started))
        missed = [e for e in self._findings(self._api.state()) if e["in_force"] is False]
        if missed:
            text = "; ".join(
                f"{e['name']}: wanted {e['wanted']!r}, in force {e['observed']!r}" for e in missed
            )
            self._roll_back(plan, f"it runs without them ({text})", self._service.journal(started))
        if os.path.exists(pending):
            os.unlink(pending)
        return backup

    def _start(self) -> str:
        """An empty text, or what went wrong."""
        trouble = self._service.restart()
        if not trouble and not self._api.wait(self._timeout_s):
            trouble = f"it does not answer on {self._api.path} after {self._timeout_s:g} s"
        return trouble

    def _roll_back(self, plan: Plan, trouble: str, journal: str) -> t.NoReturn:
        message = f"Docker did not come up with the options: {trouble}."
        if not plan.write:
            raise VcompareError(message, "See the lines of its journal.", journal)
        docker_config.restore(plan.file)
        again = self._start() if plan.service.active else ""
        pending = plan.file.path + _PENDING
        if os.path.exists(pending):
            os.unlink(pending)
        if again:
            raise VcompareError(
                f"{message} The old options are back, but it does not start with them either:"
                f" {again}.",
                "See the lines of its journal.",
                journal,
            )
        raise VcompareError(
            message,
            "The old options are back"
            + (" and Docker runs with them." if plan.service.active else ".")
            + " See the lines of its journal for what it refused.",
            journal,
        )

    def _findings(self, state: DaemonState) -> list[dict[str, t.Any]]:
        findings = []
        for name, wanted in self._wanted.items():
            seen = None if wanted is None else state.observe(name, wanted)
            findings.append(
                {
                    "name": name,
                    "wanted": wanted,
                    "observed": None if seen is None else seen[0],
                    "in_force": None if seen is None else seen[1],
                }
            )
        return findings


def _without_config_file(flags: t.Sequence[str]) -> list[str]:
    """A candidate is checked in place of the real file."""
    kept: list[str] = []
    skip = False
    for flag in flags:
        if skip:
            skip = False
        elif flag == "--config-file":
            skip = True
        elif not flag.startswith("--config-file="):
            kept.append(flag)
    return kept
