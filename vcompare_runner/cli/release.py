# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``vcompare release``: everything of ours off the servers of an inventory, and what was seen of that."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from vcompare_runner._contract.arms import ARMS_OF_GROUP
from vcompare_runner.cli import commands
from vcompare_runner.core.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, UsageError
from vcompare_runner.run import home as homes
from vcompare_runner.run import plan as plans
from vcompare_runner.run.environment import home_environment
from vcompare_runner.run.events import RunState
from vcompare_runner.run.inventory import Inventory, list_inventory
from vcompare_runner.run.project import find_project
from vcompare_runner.run.seen import LAB_SERVERS
from vcompare_runner.run.terminal import say, show_table, warn

if t.TYPE_CHECKING:
    from vcompare_runner.run.playbook import Outcome

# Names of the tasks whose results say what was done (docs/contracts.md).
HOST_TASK = "release: host"
REBOOTED_TASK = "release: host after its reboot"
USER_TASK = "release: user"
LEFT_TASK = "release: left"
GROUPS = (
    *ARMS_OF_GROUP,
    *("docker_peers", "kvm_peers", "xen_peers", "image_builders", LAB_SERVERS),
)
_NODES = "lab_nodes"


@dataclasses.dataclass(frozen=True)
class Released:
    """What was seen on one server.

    :param error: why it was not seen to the end; empty where it was.
    """

    removed: tuple[dict[str, str], ...] = ()
    left: tuple[dict[str, str], ...] = ()
    packages: tuple[dict[str, str], ...] = ()
    packages_command: str = ""
    reboot_required: bool = False
    error: str = ""

    @property
    def released(self) -> bool:
        """Whether nothing of ours is left but packages."""
        return not (self.left or self.error or self.reboot_required)


def release(inventory: Path, allow: list[str] | None, dry_run: bool, as_json: bool) -> int:
    """Remove everything of ours from the servers of an inventory."""
    allowed = plans.check_allowed(allow) if allow is not None else None
    project = find_project()
    playbook = project.playbook("release.yml")
    home = homes.find_home()
    homes.check_home(home)
    extra_vars: dict[str, t.Any] = {"vcompare_home": str(home), "vcompare_dry_run": dry_run}
    if allowed is not None:
        extra_vars["vcompare_allow"] = allowed
    source = inventory.absolute()
    servers = _servers(list_inventory(source, project, extra_vars, home_environment(home)))
    log = commands.new_log(homes.make_private(home / "logs"), "release")
    outcome = commands.play(playbook, project, source, extra_vars, log, RunState(), home)
    found = {server: _seen(outcome, server) for server in servers}
    if as_json:
        say(json.dumps(_plain(found), indent=2))
    else:
        for server, one in found.items():
            _show(server, one, dry_run)
    if outcome.interrupted:
        commands.say_stopped(outcome)
        warn("  go on: the same command again")
        return EXIT_INTERRUPTED
    if all(one.released or (dry_run and not one.error) for one in found.values()):
        commands.forget(log)
        return EXIT_OK
    warn(f"vcompare: the log is {log}")
    return EXIT_FAILED


def _servers(inventory: Inventory) -> tuple[str, ...]:
    """Return the hosts to release, in the inventory's order.

    :raises UsageError: there are none.
    """
    nodes = inventory.groups.get(_NODES, ())
    hosts = [host for group in GROUPS for host in inventory.groups.get(group, ())]
    servers = tuple(dict.fromkeys(host for host in hosts if host not in nodes))
    if servers:
        return servers
    raise UsageError(
        f"--inventory: {inventory.source} has no server",
        "nodes of a nested lab go with `vcompare lab down`"
        if nodes
        else f"put servers into at least one of the groups {', '.join(ARMS_OF_GROUP)}",
    )


def _seen(outcome: Outcome, server: str) -> Released:
    """Put together what the tasks said of one server."""
    results = outcome.state.results_of
    parts = [results.get(task, {}).get(server) for task in (HOST_TASK, REBOOTED_TASK, USER_TASK)]
    host, again, user = (part if isinstance(part, dict) else None for part in parts)
    said = [part for part in (host, again, user) if part is not None]
    last = again or host or {}
    return Released(
        removed=tuple(one for part in said for one in part.get("removed") or ()),
        left=tuple(one for part in (last, user or {}) for one in part.get("left") or ()),
        packages=tuple(last.get("packages") or ()),
        packages_command=str(last.get("packages_command") or ""),
        reboot_required=bool(last.get("reboot_required")),
        error=_error(outcome, server, complete=host is not None and user is not None),
    )


def _error(outcome: Outcome, server: str, complete: bool) -> str:
    failures = [one for one in outcome.failures if one.host == server and one.task != LEFT_TASK]
    if failures:
        what = "can't be reached" if failures[-1].unreachable else f"'{failures[-1].task}' failed"
        return f"{what}: {failures[-1].message}"
    if complete:
        return ""
    if outcome.interrupted:
        return "interrupted"
    return "the playbook ended without an error, but was not seen to do its work there"


def _plain(found: t.Mapping[str, Released]) -> dict[str, t.Any]:
    hosts = {
        server: {**dataclasses.asdict(one), "released": one.released}
        for server, one in found.items()
    }
    return {"hosts": hosts}


def _show(server: str, one: Released, dry_run: bool) -> None:
    rows = [[item["action"], item["kind"], item["name"]] for item in one.removed]
    rows += [["left", item["kind"], f"{item['name']}: {item['why']}"] for item in one.left]
    rows += [["stays", "package", f"{item['name']} {item['version']}"] for item in one.packages]
    if rows:
        head = "would be" if dry_run else "what"
        show_table([head, "kind", "name"], rows, title=server)
    for item in one.left:
        if item["remedy"]:
            say(f"  {item['kind']} {item['name']}: {item['remedy']}")
    if one.packages_command:
        say(f"  packages that were installed for vcompare; to remove them: {one.packages_command}")
    say(f"{server}: {_verdict(one, dry_run)}")
    say()


def _verdict(one: Released, dry_run: bool) -> str:
    if one.error:
        return one.error
    if dry_run:
        return f"nothing was changed; {len(one.removed)} would be removed, {len(one.left)} left"
    if one.reboot_required:
        return "not released: it is still to be rebooted"
    if one.left:
        return f"not released: {len(one.left)} left"
    return "released" if one.removed else "nothing of vcompare is there"
