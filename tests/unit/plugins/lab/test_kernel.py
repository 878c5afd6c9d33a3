# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guests' kernel is taken out of its compressed file."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images.guest_image import uncompressed

ELF = b"\x7fELF" + b"kernel" * 100


def bz_image(payload: bytes, setup_sectors: int = 3, offset: int = 100) -> bytes:
    """Return a file with the fields of Linux's boot protocol that matter."""
    head = bytearray((setup_sectors + 1) * 512)
    head[0x1F1] = setup_sectors
    head[0x202:0x206] = b"HdrS"
    size = struct.pack("<I", len(ELF))
    struct.pack_into("<II", head, 0x248, offset, len(payload) + len(size))
    return bytes(head) + b"\xaa" * offset + payload + size + b"what follows the payload"


def test_the_payload_is_found_by_the_header() -> None:
    assert uncompressed(bz_image(lzma.compress(ELF))) == ELF


def test_a_newer_way_of_packing() -> None:
    program = shutil.which("zstd")
    if program is None:
        pytest.skip("zstd is not installed")
    packed = subprocess.run([program, "-qc"], input=ELF, capture_output=True, check=True).stdout
    assert uncompressed(bz_image(packed)) == ELF


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"\0" * 4096, "not a bzImage"),
        (bz_image(b"\x1f\x8b gzip" * 9), "neither by xz"),
        (bz_image(lzma.compress(b"no kernel")), "no ELF"),
    ],
)
def test_what_is_no_such_kernel_is_refused(image: bytes, said: str) -> None:
    with pytest.raises(VcompareError, match=said):
        uncompressed(image)


def test_a_real_kernel_of_debian(unpacked: Path) -> None:
    folders = (Path("/boot"), unpacked / "boot")
    kernels = [found for folder in folders for found in folder.glob("vmlinuz-*-amd64")]
    if not kernels:
        pytest.skip("there is no kernel of Debian in /boot, and none was unpacked")
    kernel = uncompressed(kernels[0].read_bytes())
    assert kernel[:4] == b"\x7fELF"
    # Whether QEMU and Xen can start it: the owner of its notes (include/xen/interface/elfnote.h).
    assert b"Xen\0" in kernel
