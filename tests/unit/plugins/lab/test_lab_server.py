"""What is set right on a lab server where neither systemd nor udev runs, and put back."""

from __future__ import annotations

import os
import stat
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._lab import server

# Root may give a file to any group, others to their own.
GROUP = 4321 if os.geteuid() == 0 else os.getgid()


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of whoever runs this, that stands for the device as the kernel makes it."""
    path = tmp_path / "kvm"
    path.touch(mode=0o600)
    found = path.stat()
    monkeypatch.setattr(server, "_AS_MADE", (found.st_uid, found.st_gid, 0o600))
    monkeypatch.setattr(server, "needs_daemon", lambda: True)
    monkeypatch.setattr(server, "has_systemd", lambda: False)
    monkeypatch.setattr(server, "DAEMONS", {"libvirtd": str(tmp_path / "no-socket")})
    group: t.Any = types.SimpleNamespace(gr_gid=GROUP)
    monkeypatch.setattr(server.grp, "getgrnam", lambda name: group)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "journal"))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_device_is_given_to_the_group_and_given_back(device: Path, journal: Journal) -> None:
    before = device.stat()
    assert server.kvm_device_closed(str(device))
    assert server.open_kvm_device(journal, str(device))
    assert (device.stat().st_uid, device.stat().st_gid) == (before.st_uid, GROUP)
    assert _mode(device) == 0o660
    assert [record["id"] for record in journal.pending()] == [str(device)]
    assert server.open_kvm_device(journal, str(device)) == []
    assert server.release(journal) == [f"{device} is open to root alone again."]
    assert (device.stat().st_uid, device.stat().st_gid) == (before.st_uid, before.st_gid)
    assert _mode(device) == 0o600
    assert journal.pending() == []
    assert server.release(journal) == []


def test_a_device_that_somebody_set_up_is_left_alone(device: Path, journal: Journal) -> None:
    device.chmod(0o666)
    assert server.open_kvm_device(journal, str(device)) == []
    assert _mode(device) == 0o666
    assert journal.records() == []


def test_what_somebody_set_since_then_is_left_alone(device: Path, journal: Journal) -> None:
    assert server.open_kvm_device(journal, str(device))
    device.chmod(0o666)
    assert server.release(journal) == []
    assert _mode(device) == 0o666
    assert journal.pending() == []


@pytest.mark.parametrize(
    ("mode", "group", "of_nobody"),
    [(0o600, 0, False), (0o666, 1, False), (0o660, 0, False), (0o660, 1, True)],
)
def test_a_device_that_is_shared_with_others_than_libvirts_machines(
    device: Path, monkeypatch: pytest.MonkeyPatch, mode: int, group: int, of_nobody: bool
) -> None:
    device.chmod(mode)
    kvm: t.Any = types.SimpleNamespace(gr_gid=device.stat().st_gid + group)
    monkeypatch.setattr(server.grp, "getgrnam", lambda name: kvm)
    assert server.kvm_device_of_nobody(str(device)) is of_nobody


def test_where_systemd_runs_udev_sees_to_it(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.kvm_device_closed(str(device))
    monkeypatch.setattr(server, "has_systemd", lambda: True)
    assert not server.kvm_device_closed(str(device))


def test_a_machine_without_the_device_needs_nothing(device: Path) -> None:
    assert server.kvm_device_closed(str(device))
    device.unlink()
    assert not server.kvm_device_closed(str(device))
