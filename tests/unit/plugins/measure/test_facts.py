# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host is: known answers, and this very machine."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._contract import substrates
from ansible_collections.vcompare.lab.plugins.module_utils._host import cpuid, facts


def test_versions_of_what_is_installed() -> None:
    listing = (
        "ii  docker.io 20.10.24+dfsg1-1+deb12u1+b6\n"
        "rc  containerd 1.6.20~ds1-1+deb12u3\n"
        "un  qemu-kvm \n"
        "ii  qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3\n"
        "ii  xen-hypervisor-4.17-amd64 4.17.7+13-g2445b30a44-0+deb12u1\n"
    )
    assert facts.package_versions(listing) == {
        "docker": "20.10.24+dfsg1-1+deb12u1+b6",
        "qemu": "1:7.2+dfsg-7+deb12u18+b3",
        "xen": "4.17.7+13-g2445b30a44-0+deb12u1",
    }


def test_the_packages_of_this_machine_are_understood() -> None:
    listing = facts._listing()
    if not listing:
        pytest.skip("no dpkg here")
    assert all(len(line.split()) in (2, 3) for line in listing.splitlines())


def test_texts_of_proc() -> None:
    text = "processor\t: 0\nmodel name\t: A B\n\nprocessor\t: 1\nmodel name\t: A B\n"
    assert facts.cpu(text) == ("A B", 2)
    assert facts.cpu("") == ("", 0)
    assert facts.memory_mib("MemTotal:        3040256 kB\n") == 2969
    assert facts.memory_mib("") is None


def test_this_machine() -> None:
    found = facts.collect()
    json.dumps(found)
    assert found["kernel"] == platform.release()
    assert found["cpu_count"] > 0
    assert found["memory_mib"] > 0
    assert found["substrate"] in substrates.SUBSTRATES
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="CPUID is x86's")
def test_cpuid_agrees_with_the_kernel() -> None:
    _eax, ebx, ecx, edx = cpuid.cpuid(0)
    vendor = b"".join(register.to_bytes(4, "little") for register in (ebx, edx, ecx)).decode()
    cpuinfo = Path("/proc/cpuinfo").read_text()
    assert f"vendor_id\t: {vendor}\n" in cpuinfo
    flags = next(line for line in cpuinfo.splitlines() if line.startswith("flags")).split()
    assert bool(cpuid.hypervisor_signature()) == ("hypervisor" in flags)


def test_no_cpuid_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpuid.hypervisor_signature() == ""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    kit, state = tmp_path / "kit", tmp_path / "state"
    monkeypatch.setattr(facts, "NODE_KIT", str(kit))
    monkeypatch.setattr(facts, "NODE_ROOTFS", str(tmp_path / "rootfs-disk"))
    monkeypatch.setattr(facts, "STATE_DIR", str(state))
    return kit, state


def make_image(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True)
    (folder / "image.json").write_text(json.dumps({"schema": 1, "digest": digest}))
    for name in ("rootfs.ext4", "vmlinux", "initrd.img", "container.tar"):
        (folder / name).write_text("x")


def test_image_of_a_node(places: tuple[Path, Path], tmp_path: Path) -> None:
    assert facts.image() is None
    make_image(places[0], "sha256:aa")
    found = facts.image()
    assert found is not None
    assert found["missing"] == ["rootfs"]
    (tmp_path / "rootfs-disk").write_text("x")
    found = facts.image()
    assert found is not None
    assert found["missing"] == []
    assert found["paths"]["rootfs"] == str(tmp_path / "rootfs-disk")
    assert found["paths"]["initrd"] == str(places[0] / "initrd.img")


def test_further_images_are_what_was_noted_last(places: tuple[Path, Path]) -> None:
    folder = places[1] / "others"
    assert facts.others(str(folder)) == {}
    (folder / "half").mkdir(parents=True)
    (folder / "half" / "vmlinux").write_text("x")
    (folder / "whole").mkdir()
    (folder / "whole" / "vmlinux").write_text("x")
    described = {"files": {"vmlinux": "aa", "gone": "bb"}}
    (folder / "whole" / "image.json").write_text(json.dumps(described))
    assert facts.others(str(folder)) == {"whole": {"files": {"vmlinux": "aa"}}}


def test_image_on_metal_by_digest(places: tuple[Path, Path]) -> None:
    state = places[1]
    make_image(state / "images" / "aa", "sha256:aa")
    make_image(state / "images" / "bb", "sha256:bb")
    found = facts.image("sha256:aa")
    assert found is not None
    assert found["paths"]["rootfs"] == str(state / "images" / "aa" / "rootfs.ext4")
    assert facts.image("sha256:cc") is None
