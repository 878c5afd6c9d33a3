# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What a playbook was seen to do: success is said of that alone, never of the absence of an error.

Tasks are known by name (docs/contracts.md, "Playbooks"), on every host that was to run them.
"""

from __future__ import annotations

import typing as t

from vcompare_runner.core.errors import PlaybookError, UsageError
from vcompare_runner.run.inventory import Inventory
from vcompare_runner.run.project import Project

if t.TYPE_CHECKING:
    from vcompare_runner.run.playbook import Outcome

LAB_SERVERS = "lab_servers"


def lab_servers(inventory: Inventory, project: Project) -> tuple[str, ...]:
    """Return the hosts that carry a nested lab.

    :raises UsageError: the inventory has none.
    """
    servers = inventory.groups.get(LAB_SERVERS, ())
    if not servers:
        remedy = f"put the machine that carries the lab into the group {LAB_SERVERS}"
        if inventory.source != project.default_inventory:
            remedy = f"leave -i out for the nested lab's own inventory, or {remedy}"
        raise UsageError(
            f"--inventory: no host of {inventory.source} is in the group {LAB_SERVERS}", remedy
        )
    return servers


def results(outcome: Outcome, task: str, hosts: t.Iterable[str]) -> dict[str, dict[str, t.Any]]:
    """Return the result of a task on each host.

    :raises PlaybookError: it did not run on one of them.
    """
    found = outcome.state.results_of.get(task, {})
    for host in hosts:
        if not isinstance(found.get(host), dict):
            raise PlaybookError(
                f"the playbook ended without an error, but its task '{task}' was not seen on {host}: "
                "what was asked for is not done, or not known to be",
                f"the log is {outcome.log}",
            )
    return {host: found[host] for host in hosts}


def check_lab(outcome: Outcome, task: str, hosts: t.Iterable[str], lab: str, state: str) -> None:
    """Check that a task found a lab in a state.

    :raises PlaybookError: it did not, or was not seen.
    """
    for host, result in results(outcome, task, hosts).items():
        found = result.get("lab")
        found = found if isinstance(found, dict) else {}
        if (found.get("name"), found.get("state")) != (lab, state):
            raise PlaybookError(
                f"the lab {lab} on {host} is not {state}: '{task}' found the lab {found.get('name')} "
                f"{found.get('state')}",
                f"`vcompare lab doctor` says what is wrong; the log is {outcome.log}",
            )
