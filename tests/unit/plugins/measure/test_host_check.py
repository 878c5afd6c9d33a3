# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Servers that can't be used are refused before anything is made: the module, and the playbook on this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import host_check

ROOT = Path(next(iter(collection.__path__)))
LOCAL = f"ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, mib * MIB)
    )


def test_a_server_that_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 700)
    found = host_check.inspect(str(tmp_path / "not" / "there"), 600)
    assert found["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found["free_mib"] == 700


@pytest.mark.parametrize("machine", ["aarch64", "riscv64", "i686", ""])
def test_another_architecture_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(VcompareError, match=f"is {machine}, ") as refused:
        host_check.inspect(str(tmp_path), 1)
    assert "x86-64" in refused.value.remedy


def test_a_server_without_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(VcompareError, match="Root is needed") as refused:
        host_check.inspect(str(tmp_path), 1)
    assert "ansible_become" in refused.value.remedy


def test_too_little_space_is_refused_with_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 599)
    with pytest.raises(VcompareError, match=r"needs 600 MiB, and 599 MiB are free"):
        host_check.inspect(str(tmp_path), 600)


def test_an_image_that_is_there_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 598)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "disk").write_bytes(os.urandom(2 * MIB))
    os.sync()
    assert host_check.inspect(str(tmp_path), 600)["free_mib"] >= 600


def play(folder: Path, inventory: str) -> subprocess.CompletedProcess[str]:
    """Run the check, and a play after it that shows which hosts are still there."""
    (folder / "hosts.ini").write_text(inventory)
    after = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug:\n        msg: goes on\n"
    (folder / "site.yml").write_text(
        f"- ansible.builtin.import_playbook: {ROOT}/playbooks/hosts.yml\n{after}"
    )
    return subprocess.run(
        [
            *(sys.executable, "-m", "ansible.cli.playbook"),
            *("-i", str(folder / "hosts.ini"), str(folder / "site.yml")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(folder / "ansible")},
    )


def test_a_machine_under_two_names_is_refused_with_both(tmp_path: Path) -> None:
    done = play(tmp_path, f"[bare_hosts]\none {LOCAL}\n[docker_peers]\nother {LOCAL}\n")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "one and other are one machine" in said
    assert "goes on" not in said


def test_one_name_in_several_groups_is_one_server(tmp_path: Path) -> None:
    # Of arms that need no control groups, which not every machine with this test has in version 2.
    done = play(tmp_path, f"[kvm_hosts]\none {LOCAL}\n[kvm_peers]\none\n")
    assert done.returncode == 0, done.stdout
    assert "goes on" in done.stdout


def test_a_server_that_can_t_be_reached_ends_the_run_for_all(tmp_path: Path) -> None:
    # The port is reserved, and nothing listens there.
    silent = "ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o BatchMode=yes'"
    done = play(tmp_path, f"[bare_hosts]\none {LOCAL}\n[xen_hosts]\nsilent {silent}\n")
    assert done.returncode != 0
    assert "silent" in done.stdout
    assert "UNREACHABLE" in done.stdout
    assert "goes on" not in done.stdout


def test_a_host_that_may_not_be_rebooted_into_xen_ends_the_run_for_all(tmp_path: Path) -> None:
    done = play(tmp_path, f"[kvm_hosts]\none {LOCAL}\n[xen_hosts]\none\n")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "must be rebooted into Xen, and vcompare_allow does not have reboot" in said
    assert "goes on" not in said
