# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The CPUID instruction, run by this very process: no tool, no kernel module."""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct

# void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]), System V calling convention:
# push rbx; mov r8,rdx; mov eax,edi; mov ecx,esi; cpuid; mov [r8],eax; mov [r8+4],ebx;
# mov [r8+8],ecx; mov [r8+12],edx; pop rbx; ret
_CODE = bytes.fromhex("53 4989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3")

_HYPERVISOR_BIT = 1 << 31


def cpuid(leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
    """Return eax, ebx, ecx and edx.

    :raises OSError: when this is not an x86-64 processor, or memory may not be executed here.
    """
    if platform.machine() != "x86_64":
        raise OSError(f"{platform.machine()} has no CPUID")
    with mmap.mmap(
        -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ) as page:
        page.write(_CODE)
        out = (ctypes.c_uint32 * 4)()
        anchor = ctypes.c_char.from_buffer(page)
        function = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(
            ctypes.addressof(anchor)
        )
        function(leaf, subleaf, ctypes.addressof(out))
        # The page can't be unmapped while something points into it.
        del function, anchor
    return out[0], out[1], out[2], out[3]


def hypervisor_signature() -> str:
    """Return the twelve characters of the hypervisor below, or nothing when there is none.

    The bit and the leaf are the convention of all hypervisors (https://lwn.net/Articles/301888/).
    """
    try:
        if not cpuid(1)[2] & _HYPERVISOR_BIT:
            return ""
        _eax, ebx, ecx, edx = cpuid(0x40000000)
    except OSError:
        return ""
    return struct.pack("<III", ebx, ecx, edx).rstrip(b"\0").decode("ascii", errors="replace")
