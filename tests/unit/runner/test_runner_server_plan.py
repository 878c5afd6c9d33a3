# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``vcompare compare --dry-run`` with servers: the real playbooks in check mode, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vcompare_runner.core.errors import PlaybookError
from vcompare_runner.run import server_plan
from vcompare_runner.run.events import Failure, RunState
from vcompare_runner.run.inventory import Inventory
from vcompare_runner.run.playbook import Outcome

ROOT = Path(server_plan.__file__).parents[1]
LOCAL = "ansible_connection=local ansible_python_interpreter=/usr/bin/python3"


def inventory(**groups: tuple[str, ...]) -> Inventory:
    return Inventory(Path("hosts.ini"), groups, {})


def outcome(lines: dict[str, list[str]], *failures: Failure) -> Outcome:
    state = RunState()
    state.results_of["Show the plan"] = {host: {"lines": said} for host, said in lines.items()}
    state.failures = list(failures)
    return Outcome(2 if failures else 0, False, state, Path("a.log"))


def test_nodes_of_a_lab_are_no_servers() -> None:
    nested = inventory(bare_hosts=("lab-linux",), lab_nodes=("lab-linux",), lab_servers=("here",))
    assert server_plan.servers(nested) == []
    mixed = inventory(
        bare_hosts=("lab-linux", "a"),
        kvm_peers=("b", "a"),
        lab_nodes=("lab-linux",),
        image_builders=("maker",),
    )
    assert server_plan.servers(mixed) == ["a", "b"]
    assert server_plan.options(mixed) == ["--check", "--limit", "a,b,maker,localhost"]


def test_a_plan_of_every_server_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = inventory(bare_hosts=("a", "b"))
    done = outcome({"localhost": ["x"], "b": ["nothing to change"], "a": ["packages to add: y"]})
    assert server_plan.show(done, hosts) == 0
    said = capsys.readouterr().out
    assert "a:\n  packages to add: y\n\nb:\n  nothing to change\n\nlocalhost:\n  x\n" in said
    assert "nothing was changed" in said


def test_what_is_refused_is_shown_with_its_remedy_beside_other_hosts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hosts = inventory(bare_hosts=("a", "b", "c"))
    done = outcome(
        {"a": ["packages to add: y"], "b": ["nothing to change"]},
        Failure("b", "Boot", "must be rebooted", remedy="allow it"),
        Failure("c", "Check", "connection refused", unreachable=True),
    )
    assert server_plan.show(done, hosts) == 2
    said = capsys.readouterr().out
    assert "a:\n  packages to add: y\n" in said
    assert "b:\n  refused: must be rebooted\n  remedy: allow it\n" in said
    assert "c:\n  can't be reached: connection refused\n" in said
    assert "2 of 3 can't be used as asked for: b, c" in said


def test_a_server_of_which_nothing_is_known_is_an_error() -> None:
    with pytest.raises(PlaybookError, match="would do on b"):
        server_plan.show(outcome({"a": ["x"]}), inventory(bare_hosts=("a", "b")))


def test_servers_are_planned_and_nothing_is_made(tmp_path: Path) -> None:
    """One server that is there, and one that can't be reached."""
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(
        f"[bare_hosts]\nhere {LOCAL}\ngone ansible_host=127.0.0.1 ansible_port=1\n[kvm_hosts]\nhere\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vcompare_runner", "compare", "--dry-run"),
            *("-i", str(hosts), "--arms", "bare"),
        ],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if "ANSIBLE" not in name},
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "PYTHONPATH": str(ROOT),
            "VCOMPARE_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )
    said = done.stdout
    assert done.returncode == 2, said + done.stderr
    assert "would measure (nothing was made)" in said
    assert "here:\n  " in said
    assert "gone:\n  can't be reached: " in said
    assert "Traceback" not in said + done.stderr
    assert not (tmp_path / "home" / "images").exists()
    assert not (tmp_path / "home" / "runs").exists()
