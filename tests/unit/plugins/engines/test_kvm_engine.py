# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What starting KVM does to a host that carries machines of others. A systemctl of the test records what it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._engines import kvm_engine
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/told\n'
        f'case $1 in is-active) grep -qx "$2" {tmp_path}/active && echo active || echo inactive;;\n'
        "is-enabled) echo disabled;; esac\n"
    )
    program.chmod(0o755)
    (tmp_path / "active").write_text("")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(kvm_engine, "wanted_module", lambda: "kvm_amd")
    monkeypatch.setattr(kvm_engine, "loaded", lambda _module: True)
    monkeypatch.setattr(kvm_engine, "_MODULES_LOAD", str(tmp_path / "load.conf"))
    monkeypatch.setattr(kvm_engine, "_DROP_IN", str(tmp_path / "drop-in" / "vcompare.conf"))
    monkeypatch.setattr(kvm_engine, "LEASES", str(tmp_path / "leases"))
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/kvm" or exists(path))
    return tmp_path


def changes_of(host: Path) -> list[str]:
    told = (host / "told").read_text().splitlines()
    return [line for line in told if not line.startswith("is-")]


@pytest.mark.parametrize(
    "unit", ["libvirtd.service", "libvirtd.socket", "virtqemud.service", "virtqemud.socket"]
)
def test_a_libvirt_that_runs_is_left_as_it_is(host: Path, unit: str) -> None:
    (host / "active").write_text(f"{unit}\n")
    journal = HostJournal(str(host / "journal.jsonl"))
    kvm_engine.converge(check_mode=True, journal=journal)
    assert journal.entries() == []
    kvm_engine.converge(check_mode=False, journal=journal)
    assert changes_of(host) == []
    assert not (host / "drop-in").exists()


def test_check_mode_changes_nothing(host: Path) -> None:
    journal = HostJournal(str(host / "journal.jsonl"))
    for dedicated in (False, True):
        assert kvm_engine.converge(True, dedicated, journal)["changed"]
    assert changes_of(host) == []
    assert journal.entries() == []
    assert not (host / "load.conf").exists()


def test_the_plan_of_a_check_is_what_is_then_done(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_engine, "_installed", lambda: True)
    journal = HostJournal(str(host / "journal.jsonl"))
    for dedicated in (False, True):
        planned = kvm_engine.converge(True, dedicated, journal)
        done = kvm_engine.converge(False, dedicated, journal)
        assert (planned["plan"], planned["diff"]) == (done["plan"], done["diff"])
        (host / "load.conf").unlink()
        (host / "leases").rmdir()
    kinds = [(step["kind"], step["action"]) for step in done["plan"]]
    assert kinds[:3] == [("file", "add")] * 3
    assert done["diff"][0]["after"] == "# vcompare.lab.kvm_host\nkvm_amd\n"


def test_a_host_without_libvirt_is_planned_as_its_package_leaves_it(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_engine, "_installed", lambda: False)
    monkeypatch.setattr(kvm_engine, "loaded", lambda _module: False)
    planned = kvm_engine.converge(True, journal=HostJournal(str(host / "journal.jsonl")))
    assert [(step["kind"], Path(step["name"]).name) for step in planned["plan"]] == [
        ("file", "load.conf"),
        ("file", "leases"),
        ("module", "kvm_amd"),
    ]


def test_the_state_before_is_recorded(host: Path) -> None:
    journal = HostJournal(str(host / "journal.jsonl"))
    kvm_engine.converge(False, journal=journal)
    kinds = [(entry.kind, Path(entry.name).name) for entry in journal.entries()]
    assert kinds[:2] == [("file", "load.conf"), ("directory", "leases")]
    assert ("unit", "libvirtd.socket") in kinds
    assert [line.split()[0] for line in changes_of(host)] == ["enable"]
