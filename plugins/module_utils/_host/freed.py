# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory that an earlier instance gave back is written to before the next one's clock runs.

A machine that is emulated by QEMU (TCG) keeps the code that it translated until the page that it came from is written
to, and takes it apart then. What a virtual machine leaves is full of such pages, and the next arm would pay for them:
after a KVM guest, a second of writing to memory took sixteen, and the start of a container twenty-five seconds in place
of nine. Elsewhere it is writing to free memory, and no more.
"""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

_PIECE = bytes(1 << 20)
_MEMINFO = Path("/proc/meminfo")
_HYPERVISOR = Path("/sys/hypervisor/type")


def available_mib(meminfo: Path = _MEMINFO) -> int:
    """Return the memory in MiB that can be had without swapping; 0 when the kernel does not say."""
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    except (OSError, ValueError, IndexError):
        pass
    return 0


def write_through(wanted_mib: int, meminfo: Path = _MEMINFO, hypervisor: Path = _HYPERVISOR) -> int:
    """Write to so much free memory, and give it back; return how much it was, in MiB.

    Never more than half of what is available: nothing shall be swapped out for it. Nothing under Xen, where a guest's
    memory goes back to Xen and not to the control domain.
    """
    with contextlib.suppress(OSError):
        if hypervisor.read_text(encoding="ascii").strip() == "xen":
            return 0
    size_mib = min(wanted_mib, available_mib(meminfo) // 2)
    if size_mib <= 0:
        return 0
    # Private, so that it comes in huge pages where the kernel has them: half the time.
    with mmap.mmap(-1, size_mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for _piece in range(size_mib):
            memory.write(_PIECE)
    return size_mib
