# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What a plan says of hosts that are booted into plain Linux and into Xen in turns."""

from __future__ import annotations

import math
import typing as t
from pathlib import Path

from vcompare_runner._contract.turns import GROUP_BLOCKS, XEN_SUFFIX
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.core.errors import BundleError

if t.TYPE_CHECKING:
    from vcompare_runner.run.inventory import Inventory
    from vcompare_runner.run.plan import Plan


def reboots(blocks: int, group: int) -> int:
    """Return how many reboots so many blocks need.

    One between the two systems of each group; after an odd number of groups, one more back to plain Linux.
    """
    groups = math.ceil(blocks / group)
    return groups + groups % 2


def lines(plan: Plan, inventory: Inventory) -> list[tuple[str, str]]:
    """Name the hosts that take turns, and how often each is rebooted at least; none where no arm of Xen is measured."""
    found = []
    for host in inventory.sharing:
        if f"{host}{XEN_SUFFIX}" not in plan.hosts:
            continue
        given = str(inventory.host_vars.get(host, {}).get("vcompare_group_blocks", ""))
        group = int(given) if given.isdecimal() and int(given) else GROUP_BLOCKS
        blocks = min(group, plan.blocks)
        least = "at least " if plan.max_blocks > plan.blocks else ""
        text = (
            f"{host} is booted into plain Linux and into Xen in turns, {blocks} {'block' if blocks == 1 else 'blocks'} "
            f"at a time: {least}{reboots(plan.blocks, group)} reboots; its default stays plain Linux"
        )
        found.append(("turns", text))
    return found


def left_in_xen(folder: Path) -> list[str]:
    """Return the servers that a run booted into Xen, and that it was not seen to boot back.

    :param folder: of the run's bundle. A nested lab is put back to its snapshot anyway.
    """
    try:
        bundle = load_bundle(folder)
    except BundleError:
        return []
    last = {turn.host: turn for turn in bundle.turns}
    if bundle.manifest.lab.nested:
        return []
    return sorted(host for host, turn in last.items() if turn.boot == "xen" or turn.reason)
