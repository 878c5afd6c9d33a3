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


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Running totals of the host since its boot.

    :param busy_s: CPU seconds spent on anything.
    :param steal_s: CPU seconds in which a hypervisor below ran something else. In a Xen dom0 that
        includes its own guests, so it is recorded, and judged by nobody here.
    :param swapped_pages: pages moved to or from swap.
    :param pressure_s: seconds in which some task waited, by resource (PSI); without resources that
        this kernel does not count.
    """

    busy_s: float
    steal_s: float
    swapped_pages: int
    pressure_s: t.Mapping[str, float]

    def since(self, earlier: Conditions) -> Conditions:
        """What was added between two readings."""
        return Conditions(
            busy_s=round(self.busy_s - earlier.busy_s, 3),
            steal_s=round(self.steal_s - earlier.steal_s, 3),
            swapped_pages=self.swapped_pages - earlier.swapped_pages,
            pressure_s={
                name: round(value - earlier.pressure_s[name], 6)
                for name, value in self.pressure_s.items()
                if name in earlier.pressure_s
            },
        )


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.read()
    except OSError:
        # Kernels without PSI, containers with part of /proc hidden.
        return ""


def parse(stat: str, vmstat: str, pressure: t.Mapping[str, str], ticks: int) -> Conditions:
    """Make the totals out of the text of ``/proc/stat``, ``/proc/vmstat`` and ``/proc/pressure/*``.

    :param ticks: clock ticks a second (``SC_CLK_TCK``).
    """
    fields = [int(word) for word in stat.splitlines()[0].split()[1:]] if stat else []
    # user nice system idle iowait irq softirq steal (guest and guest_nice are within user and nice)
    fields += [0] * (8 - len(fields))
    busy = sum(fields[:3]) + sum(fields[5:7])
    swapped = sum(
        int(line.split()[1])
        for line in vmstat.splitlines()
        if line.startswith(("pswpin ", "pswpout "))
    )
    waits = {}
    for name, text in pressure.items():
        for line in text.splitlines():
            if line.startswith("some ") and "total=" in line:
                waits[name] = int(line.rpartition("total=")[2]) / 1e6
    return Conditions(busy / ticks, fields[7] / ticks, swapped, waits)


def now() -> Conditions:
    """Read the totals of this host."""
    return parse(
        _read("/proc/stat"),
        _read("/proc/vmstat"),
        {name: _read(f"/proc/pressure/{name}") for name in ("cpu", "io", "memory")},
        os.sysconf("SC_CLK_TCK"),
    )


def wait_quiet(timeout_s: float, limit: float = QUIET_CPUS) -> float:
    """Wait until the host does little, at most for a while; return the CPUs that are busy then."""
    deadline = time.monotonic() + timeout_s
    while True:
        before, began = now(), time.monotonic()
        time.sleep(_WINDOW_S)
        ended = time.monotonic()
        busy = (now().busy_s - before.busy_s) / (ended - began)
        if busy <= limit or ended > deadline:
            return round(busy, 2)
