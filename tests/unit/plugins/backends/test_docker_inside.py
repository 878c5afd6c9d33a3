# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of an instance when a container in a machine is to be it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    docker_in_xen,
    docker_inside,
    kvm,
    kvm_xml,
    xen,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker_in_kvm import DockerInKvm
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

COMMAND = ("redis-server", "--bind", "10.213.2.7", "--save", "")


def brought(folder: Path) -> Path:
    place = folder / "others" / "docker-host"
    place.mkdir(parents=True)
    (place / "image.json").write_text(json.dumps({"digest": "sha256:dd"}))
    return place


def spec(folder: Path, size: int = 1024) -> InstanceSpec:
    archive = folder / "container.tar"
    archive.write_bytes(b"\0" * size)
    image = Image(
        "/dev/x", "/kit/vmlinux", "/kit/initrd", str(archive), "vcompare/guest:ab", "sha256:aa"
    )
    return InstanceSpec("vc-a", image=image, command=COMMAND, cpuset="0", memory_mib=256)


def test_the_machine_is_told_to_run_the_container(tmp_path: Path) -> None:
    place = brought(tmp_path)
    machine = DockerInKvm(str(tmp_path)).resolve(spec(tmp_path))
    assert machine.image is not None
    # It starts from the image with the daemon; the container is that of all arms, with the same application.
    assert machine.image.rootfs == str(place / "rootfs.ext4")
    assert machine.image.kernel == str(place / "vmlinux")
    assert machine.command == (
        "/usr/lib/vcompare/docker-host", "/dev/vdb", "vcompare/guest:ab", "256", *COMMAND,
    )  # fmt: skip
    # What the daemon takes is the machine's, and not the container's.
    assert machine.memory_mib == 256 + docker_inside.SURPLUS_MIB
    disks = kvm_xml.model(machine, machine.options).disks
    assert [disk.path for disk in disks] == [machine.image.rootfs, str(tmp_path / "container.tar")]
    assert all(disk.readonly for disk in disks)


def test_the_same_in_a_guest_of_xen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = brought(tmp_path)
    backend = docker_in_xen.DockerInXen(str(tmp_path))
    monkeypatch.setattr(xen.Xen, "_host_cpus", lambda self: frozenset({0, 1}))
    machine = backend.resolve(spec(tmp_path))
    assert machine.command[1] == "/dev/xvdb"
    config = backend.config(machine, {"mac": "m", "uuid": "u"})
    assert config["type"] == "pvh"
    assert config["disk"] == [
        f"format=raw,vdev=xvda,access=r,target={place / 'rootfs.ext4'}",
        f"format=raw,vdev=xvdb,access=r,target={tmp_path / 'container.tar'}",
    ]
    assert "vcompare.arm=docker-in-xen" in str(config["extra"])


def test_without_its_image_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm.Kvm, "available", lambda self: "")
    backend = DockerInKvm(str(tmp_path))
    assert "docker-host is not on this host" in backend.available()
    with pytest.raises(BackendError, match="docker-host is not on this host"):
        backend.resolve(spec(tmp_path))
    brought(tmp_path)
    assert backend.available() == ""
    # A disk has whole sectors; what is cut off would be missing at the end of the archive.
    with pytest.raises(BackendError, match="sectors"):
        backend.resolve(spec(tmp_path, 1025))


def test_a_container_is_proven_against_its_machine() -> None:
    machine = {"boot_id": "b", "release": "6.1", "pid_namespace": "pid:[1]"}
    inside = {**machine, "pid_namespace": "pid:[2]", "dockerenv": "present", "cpus": "1"}
    assert all(proof.holds for proof in docker_inside.container_proofs(inside, machine, 1))
    for key, value in (
        ("boot_id", "c"),
        ("release", "6.12"),
        ("pid_namespace", "pid:[1]"),
        ("dockerenv", ""),
        ("cpus", "2"),
    ):
        found = docker_inside.container_proofs({**inside, key: value}, machine, 1)
        assert len([proof for proof in found if not proof.holds]) == 1, key
    assert not any(proof.holds for proof in docker_inside.container_proofs({}, {}, 1))
