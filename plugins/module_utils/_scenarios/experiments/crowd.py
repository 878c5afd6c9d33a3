# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many instances on one host: what memory they take as they come, and when there is no room for a further one.

Memory comes from one place or from two: what the host's kernel can give, and under Xen what the hypervisor still has,
which guests are made of. The kernel must keep a reserve, since a host that runs out of memory ends processes of its own
choice, and with them what was to be measured.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host

# The smallest size that both applications work with in every arm: a guest's kernel and initrd need most of it. With 96
# one of ten machines lost redis to its own kernel's out-of-memory killer.
SMALLEST_MIB = 128

# What the host keeps for itself: the larger of both.
RESERVE_MIB = 300.0
RESERVE_SHARE = 0.15

KERNEL, HYPERVISOR = "the host's kernel", "the hypervisor"
# What a hypervisor needs beside a guest's own memory: its page tables and its record of the guest.
_BESIDE_MIB = 4.0


def slope(points: t.Sequence[tuple[float, float]]) -> float | None:
    """Return the least-squares slope of y over x; None with fewer than two different x."""
    if not points:
        return None
    middle = [sum(each) / len(points) for each in zip(*points, strict=True)]
    spread = sum((x - middle[0]) ** 2 for x, _y in points)
    if spread == 0:
        return None
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread


class Memory:
    """What memory there is as instances come.

    :param size_mib: of an instance.
    :param own_kernel: whether each takes its memory as a whole, as machines do.
    """

    def __init__(self, size_mib: float, own_kernel: bool) -> None:
        self._size_mib, self._own_kernel = size_mib, own_kernel
        self.reserve_mib = max(RESERVE_MIB, RESERVE_SHARE * host.total_mib())
        # by place: what was to be had when there were so many
        self._looks: dict[str, list[tuple[float, float]]] = {}

    def look(self, count: int) -> None:
        """Note what there is now, with so many instances."""
        now = host.state()
        below = now.hypervisor_mib
        self.note(count, now.available_mib - (below or 0.0), below)

    def note(self, count: int, kernel_mib: float, hypervisor_mib: float | None = None) -> None:
        """Note what there was with so many instances."""
        self._looks.setdefault(KERNEL, []).append((count, kernel_mib))
        if hypervisor_mib is not None:
            self._looks.setdefault(HYPERVISOR, []).append((count, hypervisor_mib))

    def _each_mib(self, place: str) -> float | None:
        fall = slope(self._looks[place])
        return None if fall is None else -fall

    def _kept_mib(self, place: str) -> float:
        return self.reserve_mib if place == KERNEL else 0.0

    def _needed_mib(self, place: str) -> float:
        """What the next one takes there: what those before took, and no less than its size where that is its place."""
        carrier = HYPERVISOR if HYPERVISOR in self._looks else KERNEL
        least = self._size_mib if self._own_kernel and place == carrier else 0.0
        if place == HYPERVISOR:
            least += _BESIDE_MIB
        return max(self._each_mib(place) or 0.0, least)

    def refusal(self, more: int = 1) -> str:
        """Return why there is no room for so many more, or nothing."""
        for place, looks in self._looks.items():
            left, kept, needed = (
                looks[-1][1],
                self._kept_mib(place),
                more * self._needed_mib(place),
            )
            if left - needed < kept:
                return (
                    f"{place} has {left:.0f} MiB left, of which it keeps {kept:.0f} MiB;"
                    f" the next {'one needs' if more == 1 else f'{more} need'} about {needed:.0f} MiB"
                )
        return ""

    def marginal_mib(self) -> float | None:
        """Return what each took of all places together, by regression; None before there were two counts."""
        each = [self._each_mib(place) for place in self._looks]
        known = [one for one in each if one is not None]
        return sum(known) if known and len(known) == len(each) else None

    def projected(self) -> int | None:
        """Return how many there would be when the first place is down to what it keeps; None when nothing is known."""
        counts = []
        for place, looks in self._looks.items():
            each = self._each_mib(place)
            if each is not None and each > 0:
                counts.append(math.floor(max(looks[0][1] - self._kept_mib(place), 0.0) / each))
        return min(counts) if counts else None

    @property
    def text(self) -> str:
        """All looks, in words."""
        return "; ".join(
            f"{place}: "
            + ", ".join(f"{left:.0f} MiB with {count:.0f}" for count, left in looks)
            + f" (it keeps {self._kept_mib(place):.0f} MiB)"
            for place, looks in self._looks.items()
        )
