# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Under what conditions something was measured: what else the host did at the time."""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

# More than this many CPUs busy while nothing of ours runs is load from elsewhere.
QUIET_CPUS = 0.3
_WINDOW_S = 0.25


# What can wait for whom, as the kernel names it (PSI).
RESOURCES = ("cpu", "io", "memory")

Record = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Running totals of the host since its boot; None where this kernel does not count something.

    :param busy_s: CPU seconds spent on anything.
    :param steal_s: CPU seconds in which a hypervisor below ran something else. In a Xen dom0 that
        includes its own guests, so it is recorded, and judged by nobody here.
    :param swapped_pages: pages moved to or from swap.
    :param pressure_s: seconds in which some task waited, by resource (PSI); without resources that
        this kernel does not count.
    """

    busy_s: float | None
    steal_s: float | None
    swapped_pages: int | None
    pressure_s: t.Mapping[str, float]

    def since(self, earlier: Conditions) -> Conditions:
        """What was added between two readings."""
        swapped = _difference(self.swapped_pages, earlier.swapped_pages, 0)
        return Conditions(
            busy_s=_difference(self.busy_s, earlier.busy_s, 3),
            steal_s=_difference(self.steal_s, earlier.steal_s, 3),
            swapped_pages=None if swapped is None else int(swapped),
            pressure_s={
                name: round(value - earlier.pressure_s[name], 6)
                for name, value in self.pressure_s.items()
                if name in earlier.pressure_s
            },
        )

    def record(self, wall_s: float) -> Record:
        """Return a difference as it stands in a block's line (docs/contracts.md, "Bundle").

        :param wall_s: how long it was between the two readings. A figure that could not be read is
            None, never zero.
        """
        return {
            "wall_s": round(wall_s, 3),
            "cpus": cpu_count(),
            "busy_s": self.busy_s,
            "steal_s": self.steal_s,
            "swapped_pages": self.swapped_pages,
            "pressure_s": {name: self.pressure_s.get(name) for name in RESOURCES},
        }


def _difference(later: float | None, earlier: float | None, digits: int) -> float | None:
    return None if later is None or earlier is None else round(later - earlier, digits)


def cpu_count() -> int | None:
    """The number of CPUs that are online, or None when that can't be told."""
    try:
        return os.sysconf("SC_NPROCESSORS_ONLN")
    except (OSError, ValueError):
        return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.read()
    except OSError:
        # Kernels without PSI, containers with part of /proc hidden.
        return ""


def boot_id() -> str | None:
    """What tells this boot from all others: clocks that count from the boot belong to it."""
    return _read("/proc/sys/kernel/random/boot_id").strip() or None


def parse(stat: str, vmstat: str, pressure: t.Mapping[str, str], ticks: int) -> Conditions:
    """Make the totals out of the text of ``/proc/stat``, ``/proc/vmstat`` and ``/proc/pressure/*``.

    :param ticks: clock ticks a second (``SC_CLK_TCK``).
    """
    first = stat.splitlines()[0].split() if stat else []
    fields = [int(word) for word in first[1:]]
    # user nice system idle iowait irq softirq steal (guest and guest_nice are within user and nice)
    busy = sum(fields[:3]) + sum(fields[5:7]) if len(fields) >= 4 else None
    steal = fields[7] if len(fields) > 7 else None
    swapped = [
        int(line.split()[1])
        for line in vmstat.splitlines()
        if line.startswith(("pswpin ", "pswpout "))
    ]
    waits = {}
    for name, text in pressure.items():
        for line in text.splitlines():
            if line.startswith("some ") and "total=" in line:
                waits[name] = int(line.rpartition("total=")[2]) / 1e6
    return Conditions(
        busy_s=None if busy is None else busy / ticks,
        steal_s=None if steal is None else steal / ticks,
        swapped_pages=sum(swapped) if swapped else None,
        pressure_s=waits,
    )


def now() -> Conditions:
    """Read the totals of this host."""
    return parse(
        _read("/proc/stat"),
        _read("/proc/vmstat"),
        {name: _read(f"/proc/pressure/{name}") for name in RESOURCES},
        os.sysconf("SC_CLK_TCK"),
    )


def wait_quiet(timeout_s: float, limit: float = QUIET_CPUS) -> float | None:
    """Wait until the host does little, at most for a while; return the CPUs that are busy then.

    None when this host does not say how busy it is.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        before, began = now(), time.monotonic()
        time.sleep(_WINDOW_S)
        ended = time.monotonic()
        spent = now().since(before).busy_s
        if spent is None:
            return None
        busy = spent / (ended - began)
        if busy <= limit or ended > deadline:
            return round(busy, 2)
