# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guests' network, with libvirt's own test driver."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import kvm, kvm_network, network
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

pytestmark = pytest.mark.skipif(not kvm.HAS_LIBVIRT, reason="python3-libvirt is not installed")


@pytest.fixture
def connection(tmp_path: Path) -> t.Any:
    # a driver's state of its own, so that tests don't meet each other's networks
    path = tmp_path / "node.xml"
    path.write_text("<node/>")
    return kvm.Kvm(str(tmp_path), options={"uri": f"test://{path}"}).connection


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lib/dnsmasq"
    monkeypatch.setattr(kvm_network, "_DNSMASQ_STATE", folder)
    monkeypatch.setattr(shutil, "which", lambda _name, path: "/usr/sbin/dnsmasq")
    return folder


def test_it_is_made_once_and_started_again(connection: t.Any, folder: Path) -> None:
    assert kvm_network.ensure(connection, network.KVM, "me")
    assert folder.is_dir()
    made = connection.networkLookupByName("vcompare")
    assert made.isActive() and made.isPersistent() and made.autostart()
    assert made.bridgeName() == "vckvm0"
    assert not kvm_network.ensure(connection, network.KVM, "me")
    made.destroy()
    assert kvm_network.ensure(connection, network.KVM, "me")


def test_another_network_of_that_name_is_left_alone(connection: t.Any, folder: Path) -> None:
    other = network.Subnet("10.99.0.0/24", "br-theirs")
    kvm_network.ensure(connection, other, "them")
    with pytest.raises(BackendError, match="br-theirs") as caught:
        kvm_network.ensure(connection, network.KVM, "me")
    assert caught.value.remedy


def test_without_dnsmasq_it_is_refused(
    connection: t.Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name, path: None)
    with pytest.raises(BackendError, match="dnsmasq") as caught:
        kvm_network.ensure(connection, network.KVM, "me")
    assert "dnsmasq-base" in caught.value.remedy
    assert connection.listAllNetworks(0) == []
