# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An instance's own disk: what is refused, what is made, and what an arm is told of it."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    base,
    chroot,
    data_disk,
    kvm,
    seed,
    xen,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

SPEC = InstanceSpec(
    "vc-a",
    image=Image("/dev/x", kernel="/kit/vmlinuz", initrd="/kit/initrd"),
    cpuset="0",
    data_mib=32,
)
NONE = dataclasses.replace(SPEC, data_mib=0)
needs_mkfs = pytest.mark.skipif(
    shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None,
    reason="mkfs.ext4 is not installed",
)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (dataclasses.replace(SPEC, data_mib=15), "too little"),
        (dataclasses.replace(SPEC, data_mib=-1), "too little"),
        (dataclasses.replace(SPEC, image=None), "mounts no data disk"),
    ],
)
def test_one_that_can_not_be_is_refused(spec: InstanceSpec, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        data_disk.check(spec)
    data_disk.check(SPEC)
    data_disk.check(dataclasses.replace(spec, data_mib=0))


def test_it_is_a_part_of_what_an_instance_is() -> None:
    assert base.describe(SPEC)["data_mib"] == 32
    # What an older version made has no such word.
    assert "data_mib" not in base.describe(NONE)


@pytest.mark.parametrize(("there", "wanted"), [(SPEC, NONE), (NONE, SPEC)])
@pytest.mark.skipif(not kvm.HAS_LIBVIRT, reason="python3-libvirt is not installed")
def test_one_more_or_less_is_a_difference(
    tmp_path: Path, there: InstanceSpec, wanted: InstanceSpec
) -> None:
    backend = kvm.Kvm(str(tmp_path), options={"uri": "test:///default"})
    there, wanted = backend.resolve(there), backend.resolve(wanted)
    backend.store.write(
        {"arm": "kvm", "name": there.name, "owner": "me", "address": "", "started": True}
        | {"mac": "", "spec": base.describe(there)}
    )
    assert backend.differences(there) == {}
    before, after = backend.differences(wanted)["data_mib"]
    assert (before or 0, after or 0) == (there.data_mib, wanted.data_mib)


@needs_mkfs
def test_all_of_its_space_is_taken_at_once(tmp_path: Path) -> None:
    data_disk.make_file(str(tmp_path), "vc-a", 32)
    file = Path(data_disk.path(str(tmp_path)))
    found = file.stat()
    assert found.st_size == 32 << 20
    assert found.st_blocks * 512 >= 32 << 20
    assert found.st_mode & 0o077 == 0
    with file.open("rb") as handle:
        handle.seek(1080)
        assert handle.read(2) == b"\x53\xef", "no file system"
    # What an instance wrote stays when it is started again.
    with file.open("r+b") as handle:
        handle.write(b"written")
    data_disk.make_file(str(tmp_path), "vc-a", 32)
    assert file.read_bytes()[:7] == b"written"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@needs_mkfs
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(data_disk.os, "posix_fallocate", full)
    with pytest.raises(BackendError, match="data disk of 32 MiB: No space left") as caught:
        data_disk.make_file(str(tmp_path), "vc-a", 32)
    assert "df" in caught.value.remedy
    assert not Path(data_disk.path(str(tmp_path))).exists()


def test_a_device_that_became_another_ones_is_none(tmp_path: Path) -> None:
    assert not data_disk.attached("/dev/loop9999", str(tmp_path))
    assert not data_disk.attached("/dev/vda", str(tmp_path))


def test_a_machine_has_it_as_its_second_disk(tmp_path: Path) -> None:
    record = {"mac": "52:54:00:d5:02:10"}
    own = {"disks": [{"path": "/mine.img"}]}
    found = {}
    for spec in (SPEC, NONE):
        spec = dataclasses.replace(spec, options=own)
        root = ET.fromstring(kvm.Kvm(str(tmp_path)).xml(spec, record))  # noqa: S314
        found[spec.data_mib] = {
            disk.find("target").get("dev"): disk  # type: ignore[union-attr]
            for disk in root.findall("devices/disk")
        }
    assert list(found[0]) == ["vda", "vdb"]
    assert list(found[32]) == ["vda", "vdb", "vdc"]
    data = found[32]["vdb"]
    assert data.find("source").attrib == {"file": f"{tmp_path}/instances/vc-a/data"}  # type: ignore[union-attr]
    assert data.find("readonly") is None
    assert data.find("driver").attrib == {  # type: ignore[union-attr]
        "name": "qemu",
        "type": "raw",
        "cache": "none",
        "io": "native",
    }
    assert kvm.Kvm.data_device == "/dev/vdb"


def test_a_guest_of_xen_has_it_as_its_second_disk(tmp_path: Path) -> None:
    record = {"mac": "00:16:3e:d5:03:10", "uuid": "u", "data": "/dev/loop3"}
    config = xen.XenPv(str(tmp_path)).config(SPEC, record)
    assert config["disk"] == [
        "format=raw,vdev=xvda,access=r,target=/dev/x",
        "format=raw,vdev=xvdb,access=w,target=/dev/loop3",
    ]
    assert xen.XenPv.data_device == "/dev/xvdb"


@needs_mkfs
@pytest.mark.parametrize("spec", [SPEC, NONE])
def test_the_guest_is_told_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: InstanceSpec
) -> None:
    told: dict[str, str] = {}

    def files(_keys: t.Any, values: dict[str, str], _command: t.Any) -> dict[str, str]:
        told.update(values)
        return {}

    module = "ansible_collections.vcompare.lab.plugins.module_utils._arms"
    monkeypatch.setattr(seed, "files", files)
    monkeypatch.setattr(seed, "write_initrd", lambda *_arguments: None)
    monkeypatch.setattr(f"{module}.network.set_neighbour", lambda *_arguments: None)
    monkeypatch.setattr(f"{module}.ssh.Keys.ensure", lambda _keys: None)
    backend = kvm.Kvm(str(tmp_path))
    backend.store.make_folder(spec.name)
    backend._stage(spec, {"address": "10.213.2.77", "mac": "52:54:00:d5:02:4d"})
    assert told["VC_DATA"] == ("/dev/vdb" if spec.data_mib else "")
    assert Path(data_disk.path(backend.store.folder(spec.name))).exists() == bool(spec.data_mib)


@pytest.mark.parametrize("folder", ["/state/instances/vc-a/data", ""])
def test_a_chroot_has_its_folder_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """Without the rights to mount: what would be mounted where."""
    (tmp_path / "layer").mkdir()
    mounts: list[tuple[str, str]] = []
    monkeypatch.setattr(chroot, "_call", lambda *_arguments: None)
    monkeypatch.setattr(
        chroot, "_mount", lambda source, target, *_: mounts.append((source, target))
    )
    monkeypatch.setattr(chroot.os, "chroot", lambda _path: None)
    monkeypatch.setattr(chroot.os, "chdir", lambda _path: None)
    chroot._enter("/lower", str(tmp_path), 256, folder)
    at_mnt = [source for source, target in mounts if target == f"{tmp_path}/root/mnt"]
    assert at_mnt == ([folder] if folder else [])
    assert ("scratch", f"{tmp_path}/root/tmp") in mounts
