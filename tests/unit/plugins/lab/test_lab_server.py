"""What is set right on a lab server where neither systemd nor udev runs, and put back."""

from __future__ import annotations

import os
import stat
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils.lab import server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")

GROUP = 4321


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for the device, as the kernel makes it."""
    path = tmp_path / "kvm"
    path.touch(mode=0o600)
    os.chown(path, 0, 0)
    monkeypatch.setattr(server, "has_systemd", lambda: False)
    group: t.Any = types.SimpleNamespace(gr_gid=GROUP)
    monkeypatch.setattr(server.grp, "getgrnam", lambda name: group)
    return path


def _rights(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_the_device_is_given_to_the_group_and_given_back(device: Path, tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))
    assert server.open_kvm_device(journal, str(device))
    assert _rights(device) == (0, GROUP, 0o660)
    assert [record["id"] for record in journal.pending()] == [str(device)]
    assert server.open_kvm_device(journal, str(device)) == []
    server.stop_daemons(journal)
    assert _rights(device) == (0, 0, 0o600)
    assert journal.pending() == []


def test_a_device_that_somebody_set_up_is_left_alone(device: Path, tmp_path: Path) -> None:
    device.chmod(0o666)
    journal = Journal(str(tmp_path / "journal"))
    assert server.open_kvm_device(journal, str(device)) == []
    assert _rights(device) == (0, 0, 0o666)
    assert journal.records() == []


def test_where_systemd_runs_udev_sees_to_it(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "has_systemd", lambda: True)
    assert not server.kvm_device_closed(str(device))


def test_a_machine_without_the_device_needs_nothing(device: Path) -> None:
    device.unlink()
    assert not server.kvm_device_closed(str(device))
