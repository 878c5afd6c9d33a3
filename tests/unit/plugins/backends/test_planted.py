# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arm with effects of known size: both sides mean the same, and the limit is in force."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.bare import BarePlanted
from ansible_collections.vcompare.lab.plugins.module_utils._arms.cgroup import CPU_PERIOD_S, Cgroup
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

from vcompare_runner.calibrate import planted


def test_what_is_planted_is_what_is_looked_for() -> None:
    assert BarePlanted.arm == arms.PLANTED
    assert (BarePlanted.SHARE, BarePlanted.LATE_S) == (planted.SHARE_OF_CPU, planted.LATE_S)
    assert planted.PERIOD_S == CPU_PERIOD_S


def test_it_is_no_technology_to_choose_by_accident() -> None:
    assert arms.PLANTED not in arms.ARMS
    assert arms.PLANTED in arms.CHOICES
    assert not arms.BY_NAME[arms.PLANTED].default


def test_the_limit_is_written_and_read_back(tmp_path: Path) -> None:
    group = Cgroup("one", tmp_path)
    group.path.mkdir(parents=True)
    assert group.cpu_limit() == ""
    group.limit_cpu(0.8)
    assert group.cpu_limit() == Cgroup.cpu_max(0.8) == "400000 500000"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"


def test_a_limit_that_cannot_be_set_says_where(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="limiting the CPU of its control group"):
        Cgroup("gone", tmp_path).limit_cpu(0.8)


def test_what_fills_the_rest_is_in_its_own_group_and_idle(tmp_path: Path) -> None:
    group = Cgroup("one.rest", tmp_path)
    group.fill("0")
    (pid,) = group.pids()
    try:
        assert "while" in Path(f"/proc/{pid}/cmdline").read_text()
        assert (group.path / "cpu.idle").read_text() == "1"
        assert group.cpus() == "0"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_without_idle_groups_nothing_is_started(tmp_path: Path) -> None:
    group = Cgroup("one.rest", tmp_path)
    (group.path / "cpu.idle").mkdir(parents=True)
    with pytest.raises(BackendError, match="filling the rest of the CPUs 0"):
        group.fill("0")
    assert not (group.path / "cgroup.procs").exists()
