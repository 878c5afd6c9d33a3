# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verbs, with libvirt's own test driver (it keeps state and checks XML, and starts nothing)."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import kvm
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Image,
    InstanceSpec,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)

pytestmark = pytest.mark.skipif(not kvm.HAS_LIBVIRT, reason="python3-libvirt is not installed")

OPTIONS = {"uri": "test:///default"}
SPEC = InstanceSpec(
    "vc-node",
    memory_mib=64,
    options={**OPTIONS, "persistent": True, "disks": [{"path": "/labs/node.img"}]},
)


@pytest.fixture
def backend(tmp_path: Path) -> kvm.Kvm:
    return kvm.Kvm(str(tmp_path), options=OPTIONS)


def test_a_life(backend: kvm.Kvm) -> None:
    assert backend.available() == ""
    assert backend.info(SPEC.name).state == "absent"
    backend.prepare(SPEC)
    assert backend.info(SPEC.name).state == "broken"
    assert [entry["id"] for entry in backend.journal.pending("kvm")] == [SPEC.name]
    for _again in range(2):
        made = backend.create(SPEC, 10)
        assert (made.state, made.memory_mib, made.vcpus) == ("running", 64, 1)
    assert made.address == backend.address(SPEC)
    assert [info.name for info in backend.list()] == [SPEC.name]
    assert backend.differences(SPEC) == {}
    bigger = dataclasses.replace(SPEC, memory_mib=128)
    assert backend.differences(bigger) == {"memory_mib": (64, 128)}
    with pytest.raises(BackendError, match="something else"):
        backend.create(bigger, 10)
    assert [backend.stop(SPEC.name, 5), backend.stop(SPEC.name, 5)] == [True, False]
    assert backend.info(SPEC.name).state == "stopped"
    assert backend.create(SPEC, 10).state == "running"
    assert [backend.destroy(SPEC.name, 5), backend.destroy(SPEC.name, 5)] == [True, False]
    assert backend.info(SPEC.name).state == "absent"
    assert backend.journal.pending() == []
    assert not backend.store.exists(SPEC.name)


def test_another_system_takes_the_place_of_the_kernel(backend: kvm.Kvm) -> None:
    system = System("iPXE", "/others/ipxe.lkrn", "iPXE")
    guest = InstanceSpec("vc-ipxe", image=Image("/dev/x"), cpuset="0", options=OPTIONS)
    text = backend.xml(backend.foreign(guest, system), {"mac": "m"})
    root = ET.fromstring(text)  # noqa: S314
    assert root.findtext("os/kernel") == system.path
    assert root.find("os/initrd") is None
    assert not root.findall("devices/disk")
    assert root.find("devices/serial/source").get("path").endswith("vc-ipxe/console.log")  # type: ignore[union-attr]
    assert "graphics=off" in text
    text = backend.xml(backend.foreign(guest, dataclasses.replace(system, boot="disk")), {})
    disk = ET.fromstring(text).find("devices/disk")  # noqa: S314
    assert disk is not None
    assert disk.find("readonly") is not None
    with pytest.raises(NotPossible, match="uefi"):
        backend.foreign(guest, dataclasses.replace(system, firmware="uefi"))


def test_two_lives_from_one_file(backend: kvm.Kvm) -> None:
    backend.prepare(SPEC)
    backend.create(SPEC, 10)
    path = backend.save(SPEC.name, 10)
    assert Path(path).stat().st_size > 0
    assert path.startswith(tuple(backend.files(SPEC.name)))
    assert backend.info(SPEC.name).state == "stopped"
    for _life in range(2):
        backend.restore(SPEC.name, 10)
        assert backend.info(SPEC.name).state == "running"
        backend.put_down(SPEC.name, 10)
        assert backend.info(SPEC.name).state == "stopped"
    backend.destroy(SPEC.name, 5)
    # What it was kept in goes with it.
    assert not Path(path).exists()
    with pytest.raises(BackendError, match="no vc-node to keep"):
        backend.save(SPEC.name, 5)
    with pytest.raises(BackendError, match="restoring it"):
        backend.restore(SPEC.name, 5)


def test_what_qemu_said_is_read_and_goes_with_the_instance(
    backend: kvm.Kvm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm, "LOG_DIR", tmp_path / "qemu")
    (tmp_path / "qemu").mkdir()
    mine, other = tmp_path / "qemu/vc-node.log", tmp_path / "qemu/vc-node-2.log"
    backend.create(SPEC, 10)
    lines = [f"line {number}" for number in range(9)]
    for path in (mine, other):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Another libvirtd's domain of that name is none of ours.
    assert backend.last_words(SPEC.name) == ""
    monkeypatch.setattr(kvm.kvm_xml, "DEFAULT_URI", backend.uri)
    # A guest without a word of its own.
    assert backend.last_words(SPEC.name).splitlines() == lines[-5:]
    # What a system says of itself is looked for on its console alone.
    assert backend.console(SPEC.name) == ""
    backend.destroy(SPEC.name, 5)
    assert not mine.exists()
    assert other.exists()


def test_what_is_not_ours_is_left_alone(backend: kvm.Kvm) -> None:
    foreign = "<domain type='test'><name>vc-theirs</name><memory>65536</memory>"
    foreign += "<os><type>hvm</type></os></domain>"
    domain = backend.connection.createXML(foreign, 0)
    spec = dataclasses.replace(SPEC, name="vc-theirs")
    for verb in (
        lambda: backend.prepare(spec),
        lambda: backend.create(spec, 5),
        lambda: backend.stop("vc-theirs", 5),
        lambda: backend.destroy("vc-theirs", 5),
    ):
        with pytest.raises(BackendError, match="marker"):
            verb()
    assert domain.isActive()
    assert not backend.info("vc-theirs").ours
    assert backend.list() == []
    assert not backend.store.exists("vc-theirs")
    assert backend.journal.pending() == []


def test_a_failed_start_leaves_nothing(backend: kvm.Kvm, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = kvm.kvm_xml.domain_xml(SPEC, SPEC.options).replace(">hvm<", ">no-such-type<")
    monkeypatch.setattr(backend, "xml", lambda _spec, _record: bad)
    backend.prepare(SPEC)
    with pytest.raises(BackendError, match="libvirt said") as caught:
        backend.create(SPEC, 10)
    assert caught.value.remedy
    assert backend.info(SPEC.name).state == "absent"
    assert backend.journal.pending() == []


def test_another_daemon_is_never_taken(tmp_path: Path) -> None:
    backend = kvm.Kvm(str(tmp_path), options={"uri": "test:///no/such/file"})
    assert "test:///no/such/file" in backend.available()
    with pytest.raises(BackendError, match="was opened for"):
        kvm.Kvm(str(tmp_path), options={"uri": "test:///x"}).resolve(SPEC)
