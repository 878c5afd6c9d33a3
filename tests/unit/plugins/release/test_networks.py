# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bridges, mounts and instances in a network and mount namespace of their own: only what is ours goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[4] / "playbooks" / "collections"
SCRIPT = """\
import json, sys
from ansible_collections.vcompare.lab.plugins.module_utils._release import instances, state
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account
folder, check_mode = sys.argv[1], sys.argv[2] == "check"
instances._DAEMONS = dict.fromkeys(("docker", "podman", "kvm"), lambda: False)
account = Account(check_mode)
instances.Instances(folder, account).release()
state.folder(account, folder, f"{folder}/host-journal.jsonl")
print(json.dumps({"removed": account.removed, "left": account.left}))
"""
XEN = "ip link add vcxen0 type bridge; ip link set vcxen0 alias vcompare"
RECORD = {"arm": "bare", "name": "vc-a", "owner": "x", "address": "", "started": False, "spec": {}}


def released(folder: Path, setup: str, *modes: str) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Release a state folder so often in one namespace; return what was said, and the links that are there then."""
    if os.geteuid() != 0:
        pytest.skip("only root has namespaces of networks and mounts here")
    calls = "; ".join(f'"$0" -c "$1" "$2" {mode}' for mode in modes)
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "sh", "-ec", f"{setup}\n{calls}\nls /sys/class/net"),
            *(sys.executable, SCRIPT, str(folder)),
        ],
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if "unshare" in done.stderr:
        pytest.skip("this kernel has no namespaces")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in lines[: len(modes)]], lines[len(modes) :]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    return state


def test_a_bridge_and_a_mount_of_ours_go(folder: Path) -> None:
    (folder / "rootfs-abc").mkdir()
    (folder / "instances/vc-a").mkdir(parents=True)
    (folder / "instances/vc-a/instance.json").write_text(json.dumps(RECORD))
    setup = f"mount -t sysfs sysfs /sys; {XEN}; mount -t tmpfs tmpfs {folder}/rootfs-abc"
    (checked, done, again), links = released(folder, setup, "check", "real", "real")
    assert links == ["lo"]
    assert not folder.exists()
    assert [one["kind"] for one in checked["removed"]] == [
        "bare instance",
        "bridge",
        "mount",
        "folder",
    ]
    assert done == checked
    assert again == {"removed": [], "left": []}


@pytest.mark.parametrize(
    ("setup", "left"),
    [
        ("ip link add vcxen0 type bridge", []),
        (
            f"{XEN}; ip link add tap9 type veth peer name tap8; ip link set tap9 master vcxen0",
            ["vcxen0"],
        ),
        ("ip link add vcpool0 type bridge", []),
    ],
    ids=["without our marker", "with a port of others", "another tunnel"],
)
def test_what_others_have_stays(folder: Path, setup: str, left: list[str]) -> None:
    (folder / "images").mkdir()
    (done,), links = released(folder, f"mount -t sysfs sysfs /sys; {setup}", "real")
    assert {"vcxen0", "vcpool0"} & set(links)
    assert [one["name"] for one in done["left"]] == left
    # What could not be removed keeps the folder that says what it is.
    assert folder.exists() == bool(left)


def test_nothing_is_removed_through_a_mount(folder: Path) -> None:
    (folder / "images/abc").mkdir(parents=True)
    (folder / "theirs").mkdir()
    (folder / "theirs/file").touch()
    setup = f"mount -t sysfs sysfs /sys; mount --bind {folder}/theirs {folder}/images/abc"
    (done,), _links = released(folder, setup, "real")
    assert (folder / "theirs/file").exists()
    assert [one["kind"] for one in done["left"]] == ["mount"]
    assert f"umount {folder}/images/abc" in done["left"][0]["remedy"]
