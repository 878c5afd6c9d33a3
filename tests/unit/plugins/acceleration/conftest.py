# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A kernel of 70 bytes and programs that behave like a QEMU in trouble."""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Callable

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._lab.boot_probe import Machine

MARKER = "MARKER-OF-USER-SPACE"


def tiny_kernel(text: bytes) -> bytes:
    """A multiboot kernel (version 1, addresses in its header) that prints ``text`` on ttyS0."""
    at = 0x100000
    header = 32
    # mov esi, text; mov dx, 0x3f8; next: lodsb; test al, al; jz end; out dx, al; jmp next;
    # end: hlt; jmp end
    code_size = 5 + 4 + 1 + 2 + 2 + 1 + 2 + 1 + 2
    code = b"\xbe" + struct.pack("<I", at + header + code_size)
    code += b"\x66\xba\xf8\x03" + b"\xac" + b"\x84\xc0" + b"\x74\x03" + b"\xee" + b"\xeb\xf8"
    code += b"\xf4" + b"\xeb\xfd"
    assert len(code) == code_size
    end = at + header + len(code) + len(text) + 1
    magic, flags = 0x1BADB002, 0x10000
    head = struct.pack(
        "<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, at, at, end, end, at + header
    )
    return head + code + text + b"\0"


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Callable[..., Machine]:
    """Makes a machine whose QEMU is a shell script with the given body, or the real one."""

    def make(script: str = "", kernel: bytes = b"kernel", qemu: str = "") -> Machine:
        if not qemu:
            path = tmp_path / "qemu"
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
            qemu = str(path)
        for name, content in (("vmlinuz", kernel), ("initrd", b"initrd")):
            (tmp_path / name).write_bytes(content)
        return Machine(
            qemu=qemu,
            kernel=str(tmp_path / "vmlinuz"),
            initrd=str(tmp_path / "initrd"),
            append="console=ttyS0",
            marker=MARKER,
            memory_mib=64,
        )

    return make
