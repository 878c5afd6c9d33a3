# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Hosts that were booted into plain Linux and into Xen in turns: what a reader must know of them.

In a bundle such a host is two, with the same ``machine`` (docs/contracts.md, "Hosts that take turns").
"""

from __future__ import annotations

import typing as t

from vcompare_runner._contract import durations
from vcompare_runner._contract.arms import AGAIN, PLANTED, arm_order
from vcompare_runner.bundle.schema import ArmPlan, Bundle, Note
from vcompare_runner.core import words

SYSTEMS: t.Mapping[str, str] = {"linux": "plain Linux", "xen": "Xen"}


def summary(bundle: Bundle) -> list[dict[str, t.Any]]:
    """Return for each such host its parts, how often it was booted for them, and how long that took."""
    machines: dict[str, dict[str, ArmPlan]] = {}
    for plan in bundle.manifest.arms:
        if plan.machine and plan.boot:
            machines.setdefault(plan.machine, {}).setdefault(plan.boot, plan)
    found = []
    for machine, parts in sorted(machines.items()):
        turns = [turn for turn in bundle.turns if turn.host == machine]
        found.append(
            {
                "machine": machine,
                "parts": [
                    {"host": plan.host, "boot": boot, "arms": _arms(bundle, plan.host)}
                    for boot, plan in sorted(parts.items())
                ],
                "boots": len(turns),
                "elapsed_s": round(sum(turn.elapsed_s for turn in turns), 3),
                "failed": [
                    {"boot": turn.boot, "reason": turn.reason} for turn in turns if turn.reason
                ],
                "unpaired": _unpaired(bundle, machine),
            }
        )
    return found


def _arms(bundle: Bundle, host: str) -> list[str]:
    arms = {plan.arm for plan in bundle.manifest.arms if plan.host == host}
    return sorted(arms - {AGAIN, PLANTED}, key=arm_order)


def _unpaired(bundle: Bundle, machine: str) -> list[dict[str, t.Any]]:
    """Return the blocks that a host has finished in one of its systems only, by the system that is missing."""
    done: dict[str, set[int]] = {
        str(plan.boot): set() for plan in bundle.manifest.arms if plan.machine == machine
    }
    for block in bundle.blocks:
        if block.machine == machine and block.boot:
            done.setdefault(block.boot, set()).add(block.block)
    whole = set.union(*done.values()) if done else set()
    return [
        {"boot": boot, "blocks": sorted(whole - blocks)}
        for boot, blocks in sorted(done.items())
        if whole - blocks
    ]


def why_missing(bundle: Bundle, plan: ArmPlan) -> str | None:
    """Return why an arm of such a host has no blocks, where a boot failed."""
    failed = [turn for turn in bundle.turns if turn.reason and turn.host == plan.machine]
    return f"not booted into {SYSTEMS[failed[-1].boot]}: {failed[-1].reason}" if failed else None


def notes(bundle: Bundle) -> t.Iterator[Note]:
    """Put it into words."""
    for entry in summary(bundle):
        machine, boots = entry["machine"], entry["boots"]
        if len(entry["parts"]) > 1:
            sides = " and ".join(
                f"{', '.join(part['arms'])} in {SYSTEMS[part['boot']]} ({part['host']})"
                for part in entry["parts"]
            )
            yield Note(
                "alternating-boots",
                f"measured in alternating boots of one host: {machine} ran {sides}. It was booted {boots} "
                f"{'time' if boots == 1 else 'times'} for that, which took {durations.write(entry['elapsed_s'])}; "
                "figures of the two systems are of the same machine, and a reboot lies between them",
            )
        for failed in entry["failed"]:
            yield Note(
                "boot-failed",
                f"{machine} was not booted into {SYSTEMS[failed['boot']]}: {failed['reason']}",
            )
        for missing in entry["unpaired"]:
            numbers = missing["blocks"]
            yield Note(
                "unpaired-blocks",
                f"{machine} has {'block' if len(numbers) == 1 else 'blocks'} {words.block_list(numbers)} without "
                f"the part in {SYSTEMS[missing['boot']]}: nothing is compared between the two systems in "
                f"{'it' if len(numbers) == 1 else 'them'}",
            )
