# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which host of a pool takes the next instance: the one that has more memory to give, until none has enough.

An instance takes what it was promised, not what it has touched so far: a virtual machine's memory comes as it is
written to, and a host that goes by what is free just now promises more than it has.
"""

from __future__ import annotations

import dataclasses

# Of each host for itself. What a technology needs beside the instance's memory, at most as measured (QEMU's own).
RESERVE_MIB = 256
OVERHEAD_MIB = 96
# So many instances of one size fill the smaller host.
_EACH = 2


@dataclasses.dataclass
class Host:
    """A host of the pool.

    :param offer_mib: what it could give when the pool was opened.
    :param promised_mib: what it has promised since.
    :param placed: how many instances it carries.
    """

    name: str
    offer_mib: float
    promised_mib: float = 0.0
    placed: int = 0

    @property
    def room_mib(self) -> float:
        """What it can still promise."""
        return self.offer_mib - RESERVE_MIB - self.promised_mib

    def takes(self, size_mib: int) -> bool:
        """Whether one more of a size fits."""
        return self.room_mib >= size_mib + OVERHEAD_MIB

    def promise(self, size_mib: int) -> None:
        """Count one more."""
        self.promised_mib += size_mib + OVERHEAD_MIB
        self.placed += 1


def size_mib(offers: tuple[float, float], least_mib: int) -> int:
    """Return the size of an instance: the smaller host takes two, or as many of the least size as there is room for.

    With instances of the ordinary size a large host would be filled for hours; that is the scenario density.
    """
    half = int((min(offers) - RESERVE_MIB) // _EACH - OVERHEAD_MIB)
    return max(least_mib, half)


def choose(hosts: tuple[Host, ...], size: int) -> Host | None:
    """Return the host with most room of those that take one more; the first of equals; None when all are full."""
    able = [host for host in hosts if host.takes(size)]
    return max(able, key=lambda host: host.room_mib) if able else None
