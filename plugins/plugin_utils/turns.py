# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that take turns: booted into plain Linux for some arms, and into Xen for Xen's (``xen_shares_host``).

In a bundle such a host is two: under its own name what was measured in plain Linux, and as ``host+xen`` what was
measured in Xen. So arms are paired by the number of their block, as those of two machines are.

Blocks are measured in groups: all blocks of a group in the system that the host is booted into, then all of them in the
other one, where the next group begins. So a group costs one reboot, and each system comes first in every other group.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract import turns as parts
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import BY_NAME, LINUX, XEN


def boot_of(arm: str) -> str:
    """Return the system that an arm is measured in."""
    return BY_NAME[arm].boot


@dataclasses.dataclass(frozen=True)
class Step:
    """One block in one system.

    :param until: last block of the group that it is in.
    """

    block: int
    boot: str
    until: int


class Turns:
    """What is left to be measured on hosts that take turns, and on others beside them.

    :param rounds: block → names of the hosts that have finished it, as in the bundle.
    :param hosts: those that are measured still; ``sharing`` are those of them that take turns, each with the systems
        that it has arms for.
    """

    def __init__(
        self,
        rounds: t.Mapping[int, t.Collection[str]],
        hosts: t.Iterable[str],
        sharing: t.Mapping[str, t.Collection[str]],
    ) -> None:
        self._rounds = rounds
        self._of_boot = {
            boot: [parts.part_name(host, boot) for host, boots in sharing.items() if boot in boots]
            for boot in parts.BOOTS
        }
        # They are measured in whatever system the others are booted into.
        self._anytime = [host for host in hosts if host not in sharing]

    def next_step(self, boot: str, until: int) -> Step | None:
        """Return the next step of a group; None when all its blocks are finished in both systems.

        :param boot: what the hosts are booted into now.
        """
        other = XEN if boot == LINUX else LINUX
        here = self._missing([*self._of_boot[boot], *self._anytime], until)
        there = self._missing(self._of_boot[other], until)
        if here:
            return Step(here[0], boot, until)
        return Step(there[0], other, until) if there else None

    def last_begun(self) -> int:
        """Return the last block that any host has finished; 0 without one."""
        return max(self._rounds, default=0)

    def _missing(self, names: t.Sequence[str], until: int) -> list[int]:
        return [
            block
            for block in range(1, until + 1)
            if any(name not in self._rounds.get(block, ()) for name in names)
        ]


def fitting(room_s: float, block_s: float, turn_s: float, boot: str, most: int) -> int:
    """Return how many blocks the next group can have in some time.

    :param room_s: seconds that are left; infinite without a limit.
    :param block_s: what a block takes, both systems together; ``turn_s`` a reboot into the other system.
    :param boot: the system that the group begins in. A group from plain Linux ends in Xen, so that another reboot
        brings the hosts back.
    :param most: how many it would have.
    """
    turns = 2 if boot == LINUX else 1
    for blocks in range(most, 0, -1):
        if blocks * block_s + turns * turn_s <= room_s:
            return blocks
    return 0
