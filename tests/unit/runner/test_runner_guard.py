# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The wrapper ended by force, alone: its playbook ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import Checkout
from test_runner_interrupt import alive, end, wait_for

from vcompare_runner.run.interrupt import command_line, descendants

GENTLE = """\
- name: "lab: wait for a long time"
  hosts: localhost
  gather_facts: false
  tasks:
    - name: sleep
      ansible.builtin.shell: echo $$ > "{{ vcompare_home }}/sleeper"; sleep 600
"""


@pytest.mark.parametrize("kind", ["deaf", "gentle"])
def test_the_playbook_of_a_killed_wrapper_ends(
    checkout: Checkout, tmp_path: Path, kind: str
) -> None:
    home = tmp_path / "home"
    other = checkout
    if kind == "gentle":
        subprocess.run(["cp", "-a", str(checkout.root), str(tmp_path / "checkout")], check=True)
        other = Checkout(tmp_path / "checkout")
        (other.root / "playbooks" / "lab_ready.yml").write_text(GENTLE)
    process = other.popen(home, "lab", "up")
    family: dict[int, str] = {}
    try:
        sleeper = wait_for(home / "sleeper")
        family = descendants(process.pid)
        assert sleeper in family
        assert any("vcompare_runner.run.guard" in command_line(pid) for pid in family)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        deadline = time.monotonic() + 40
        while any(alive(pid) for pid in family) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = {pid: command_line(pid) for pid in family if alive(pid)}
    finally:
        end(process)
        for pid in family:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
    assert left == {}


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (4, 4)])
def test_the_exit_code_is_the_programs(code: int, expected: int) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "vcompare_runner.run.guard", "sh", "-c", f"exit {code}"],
        check=False,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert made.returncode == expected


def test_a_program_that_was_killed() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "vcompare_runner.run.guard", "sh", "-c", "kill -9 $$"],
        check=False,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert made.returncode == 128 + signal.SIGKILL
