# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiny guest is judged by what it did, on a real /dev/kvm."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._lab import kvm_ioctl


@pytest.fixture
def kvm() -> Iterator[kvm_ioctl.Kvm]:
    try:
        with kvm_ioctl.Kvm() as opened:
            opened.create_vm()
            yield opened
    except (OSError, kvm_ioctl.KvmError) as error:
        pytest.skip(f"no working /dev/kvm here: {error}")


def test_guest_leaves_its_traces(kvm: kvm_ioctl.Kvm) -> None:
    assert "halted" in kvm.run_instructions()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (b"\xb8\x11\x11\xf4", "0x1111 in its register"),  # another value, nothing in memory
        (b"\xb8\x43\x56\xf4", "0x0 in its memory"),  # the right value, nothing in memory
        (b"\xe6\x11\xf4", "exit reason 2"),  # an output before the HLT
    ],
)
def test_guest_that_does_anything_else_is_caught(
    kvm: kvm_ioctl.Kvm, monkeypatch: pytest.MonkeyPatch, code: bytes, says: str
) -> None:
    monkeypatch.setattr(kvm_ioctl, "_CODE", code)
    with pytest.raises(kvm_ioctl.KvmError, match=says):
        kvm.run_instructions()


def test_guest_that_never_halts_is_ended(
    kvm: kvm_ioctl.Kvm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_ioctl, "_CODE", b"\xeb\xfe")
    start = time.monotonic()
    with pytest.raises(kvm_ioctl.KvmError, match="did not halt"):
        kvm.run_instructions(deadline_s=0.3)
    assert time.monotonic() - start < 5


def test_no_descriptor_is_left_open(kvm: kvm_ioctl.Kvm, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    kvm.run_instructions()
    monkeypatch.setattr(kvm_ioctl, "_CODE", b"\xe6\x11\xf4")
    with pytest.raises(kvm_ioctl.KvmError):
        kvm.run_instructions()
    assert len(os.listdir("/proc/self/fd")) == before


def test_another_file_is_no_kvm(tmp_path: pathlib.Path) -> None:
    fake = tmp_path / "kvm"
    fake.write_text("")
    with kvm_ioctl.Kvm(str(fake)) as opened, pytest.raises(OSError, match="ioctl"):
        opened.create_vm()
