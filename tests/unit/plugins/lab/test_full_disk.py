# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node that its emulator stopped for want of room. With a real one: tests/faults/running.sh."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import capacity
from ansible_collections.vcompare.lab.plugins.module_utils._lab import snapshots
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import (
    NO_DISK,
    NestedLab,
    Settings,
)

# As libvirt-domain.h numbers them; the tests' Python has no libvirt.
libvirt = types.SimpleNamespace(
    VIR_DOMAIN_RUNNING=1,
    VIR_DOMAIN_PAUSED=3,
    VIR_DOMAIN_PAUSED_USER=1,
    VIR_DOMAIN_PAUSED_IOERROR=5,
    libvirtError=OSError,
)


class _Domain:
    """As much of a domain as is asked for its state."""

    def __init__(self, *state: int) -> None:
        self._state = list(state)

    def state(self) -> list[int]:
        return self._state


def test_only_a_failed_disk_is_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "libvirt", libvirt)
    paused = libvirt.VIR_DOMAIN_PAUSED
    assert snapshots.cannot_write(_Domain(paused, libvirt.VIR_DOMAIN_PAUSED_IOERROR))
    assert not snapshots.cannot_write(_Domain(paused, libvirt.VIR_DOMAIN_PAUSED_USER))
    assert not snapshots.cannot_write(
        _Domain(libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED_IOERROR)
    )


def test_whoever_waits_for_it_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = NestedLab(Lab(str(tmp_path), "default"))
    monkeypatch.setattr(lab, "_node_state", lambda _node: NO_DISK)
    with pytest.raises(VcompareError, match=r"can't be written: .* MiB free") as told:
        lab._is_alive(lab.lab.nodes[0])
    assert "Make room" in told.value.remedy


def test_the_disk_that_counts_is_the_one_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[t.Any] = []
    monkeypatch.setattr(capacity, "disk_mib", lambda path: asked.append(path) or 3)
    monkeypatch.setattr(capacity, "memory_mib", lambda: 10**6)
    lab = NestedLab(Lab(str(tmp_path), "default"))
    settings = Settings("tcg", "", "", vcpus=1, memory_mib=1, boot_timeout_s=1.0)
    with pytest.raises(VcompareError, match=r"MiB of disk, and .*/labs/default has 3 MiB free"):
        lab.check(settings, 0)
    assert asked == [lab.lab.folder]


def test_a_file_system_of_its_own_stays_when_the_lab_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = NestedLab(Lab(str(tmp_path), "default"), "qemu:///session")
    folder = Path(lab.lab.folder)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(lab, "_take_away", lambda keep_keys: None)

    def rmtree(path: str) -> None:
        for entry in Path(path).iterdir():
            entry.unlink()
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("shutil.rmtree", rmtree)
    monkeypatch.setattr("os.path.ismount", lambda path: path == str(folder))
    assert lab.down()
    assert not lab.exists()
    assert not lab.down()
