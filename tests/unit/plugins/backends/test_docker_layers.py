# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a container's writable layer is: a store that does not say so takes no space only by mistake."""

from __future__ import annotations

import json
import os
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import docker
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import NotPossible

# What Docker 29 says with its default store, containerd's.
CONTAINERD: dict[str, t.Any] = json.loads(
    '{"ResolvConfPath": "/var/lib/docker/containers/abc/resolv.conf",'
    ' "Storage": {"RootFS": {"Snapshot": {"Name": "overlayfs"}}}}'
)


def mountinfo(root: Path, pid: int, *lines: str) -> str:
    (root / str(pid)).mkdir(parents=True)
    (root / str(pid) / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
    return str(root)


@pytest.fixture
def layer(tmp_path: Path) -> tuple[Path, Path]:
    upper, work = tmp_path / "snapshots" / "33" / "fs", tmp_path / "snapshots" / "33" / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    return upper, work


def test_a_storage_driver_names_its_folders(layer: tuple[Path, Path]) -> None:
    upper, work = map(str, layer)
    found = {"GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": upper, "WorkDir": work}}}
    assert docker.layer_folders(found) == [upper, work]


@pytest.mark.parametrize("driver", ["overlay", "overlay2"])
def test_a_snapshotter_is_read_from_the_container_s_root(
    tmp_path: Path, layer: tuple[Path, Path], driver: str
) -> None:
    upper, work = layer
    proc = mountinfo(
        tmp_path / "proc",
        7,
        f"80 70 0:55 / /data rw - overlay overlay rw,upperdir={tmp_path},workdir={tmp_path}",
        f"90 70 0:60 / / rw,relatime master:9 - overlay {driver} rw,lowerdir=/a:/b,upperdir={upper},workdir={work}",
        "91 90 0:61 / /proc rw - proc proc rw",
    )
    assert docker.layer_folders({**CONTAINERD, "State": {"Pid": 7}}, proc) == [
        str(upper),
        str(work),
    ]


def test_a_path_with_blanks(tmp_path: Path) -> None:
    upper, work = tmp_path / "my disk" / "fs", tmp_path / "my disk" / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    escaped = [str(path).replace(" ", "\\040") for path in (upper, work)]
    proc = mountinfo(
        tmp_path / "proc",
        7,
        f"90 70 0:60 / / rw - overlay overlay rw,upperdir={escaped[0]},workdir={escaped[1]}",
    )
    assert docker.layer_folders({**CONTAINERD, "State": {"Pid": 7}}, proc) == [
        str(upper),
        str(work),
    ]


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        # Stopped, or of another host: there is no process to ask.
        (CONTAINERD, ()),
        ({**CONTAINERD, "State": {"Pid": 8}}, ()),
        (
            {**CONTAINERD, "State": {"Pid": 7}},
            ("90 70 0:60 / / rw - btrfs /dev/sda1 rw,subvol=/33",),
        ),
        # A daemon in a mount namespace of its own: the folders are not here.
        (
            {**CONTAINERD, "State": {"Pid": 7}},
            ("90 70 0:60 / / rw - overlay overlay rw,upperdir=/not/here,workdir=/not/there",),
        ),
        ({"GraphDriver": None, "State": {"Pid": 0}}, ()),
        ({"GraphDriver": {"Name": "zfs", "Data": {"Dataset": "pool/abc"}}}, ()),
        ({"GraphDriver": {"Name": "vfs", "Data": None}}, ()),
        (
            {
                "GraphDriver": {
                    "Name": "overlay2",
                    "Data": {"UpperDir": "/gone", "WorkDir": "/gone2"},
                }
            },
            (),
        ),
    ],
)
def test_a_layer_that_can_t_be_found_is_not_measured(
    tmp_path: Path, found: dict[str, t.Any], lines: tuple[str, ...]
) -> None:
    proc = mountinfo(tmp_path / "proc", 7, *lines)
    with pytest.raises(NotPossible, match="writable layer"):
        docker.layer_folders(found, proc)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_real_overlay_is_found(tmp_path: Path) -> None:
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    for folder in (upper, work, merged):
        folder.mkdir()
    options = f"lowerdir=/usr,upperdir={upper},workdir={work}"
    script = f"mount -t overlay overlay -o {options} {merged} || exit; exec chroot {merged} /bin/sleep 60"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stderr=subprocess.PIPE
    ) as process:
        try:
            found = {**CONTAINERD, "State": {"Pid": process.pid}}
            for _attempt in range(100):
                comm = Path(f"/proc/{process.pid}/comm")
                if process.poll() is not None or comm.read_text().strip() == "sleep":
                    break
                time.sleep(0.05)
            if process.poll() is not None:
                said = (process.stderr.read() if process.stderr else b"").decode()
                pytest.skip(f"this machine mounts no overlay: {said.strip()}")
            assert docker.layer_folders(found) == [str(upper), str(work)]
        finally:
            process.kill()
