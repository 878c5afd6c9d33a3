# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What would be changed on servers, for ``--dry-run``: the playbooks themselves say it, in check mode."""

from __future__ import annotations

import typing as t

from vcompare_runner._contract.arms import ARMS_OF_GROUP
from vcompare_runner.core.errors import EXIT_OK, EXIT_USAGE, PlaybookError
from vcompare_runner.run.hints import hints
from vcompare_runner.run.terminal import say

if t.TYPE_CHECKING:
    from vcompare_runner.run.events import Failure
    from vcompare_runner.run.inventory import Inventory
    from vcompare_runner.run.playbook import Outcome

# Name of the task whose result is the plan of a host (playbooks/provision.yml and images.yml).
PLAN_TASK = "Show the plan"
_PEERS = ("docker_peers", "kvm_peers", "xen_peers")
_NODES = "lab_nodes"
# Those that may build the image, beside the controller.
_BUILDERS = ("image_builders", "lab_servers")


def servers(inventory: Inventory) -> list[str]:
    """Return the hosts that are provisioned and are not nodes of a nested lab."""
    nodes = inventory.groups.get(_NODES, ())
    groups = (*ARMS_OF_GROUP, *_PEERS)
    hosts = [host for group in groups for host in inventory.groups.get(group, ())]
    return [host for host in dict.fromkeys(hosts) if host not in nodes]


def options(inventory: Inventory) -> list[str]:
    """Return the options of ansible-playbook: check mode, on servers and who builds their image."""
    builders = [host for group in _BUILDERS for host in inventory.groups.get(group, ())]
    hosts = dict.fromkeys([*servers(inventory), *builders, "localhost"])
    return ["--check", "--limit", ",".join(hosts)]


def show(outcome: Outcome, inventory: Inventory) -> int:
    """Print the plan of each server, what is refused, and who can't be reached; return the exit code.

    :raises PlaybookError: nothing is known of a server.
    """
    plans = outcome.state.results_of.get(PLAN_TASK, {})
    failures = {failure.host: failure for failure in outcome.failures}
    hosts = list(dict.fromkeys([*servers(inventory), *plans, *failures]))
    for host in hosts:
        say()
        say(f"{host}:")
        lines = (plans.get(host) or {}).get("lines")
        failure = failures.get(host)
        if lines is None and failure is None and failures:
            # What builds the image for all can't.
            say("  was not asked, since the playbook ended before")
        elif lines is None and failure is None:
            raise PlaybookError(
                f"plan.yml ended, and did not say what it would do on {host}",
                f"the log is {outcome.log}",
            )
        # Of a host that is refused at once there is nothing else to say.
        if lines and (failure is None or lines != _NOTHING):
            for line in lines:
                say(f"  {line}")
        if failure is not None:
            _say_failure(failure)
    say()
    say("nothing was changed on any server")
    if failures or not outcome.ok:
        say(f"{len(failures)} of {len(hosts)} can't be used as asked for: {', '.join(failures)}")
        return EXIT_USAGE
    return EXIT_OK


# As plugins/plugin_utils/host_plan.py says it.
_NOTHING = ["nothing to change"]


def _say_failure(failure: Failure) -> None:
    what = "can't be reached" if failure.unreachable else "refused"
    say(f"  {what}: {' '.join(failure.message.split())}")
    if failure.remedy and failure.remedy not in failure.message:
        say(f"  remedy: {failure.remedy}")
    for hint in hints([failure.message]):
        say(f"  remedy: {hint}")
