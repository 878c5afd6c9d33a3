# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose work is traced, and what is read out of a trace."""

from __future__ import annotations

import os
import pathlib
import subprocess
import threading

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import threads
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import NotPossible
from ansible_collections.vcompare.lab.plugins.module_utils._host import tracing
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import reached
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Arms
from .test_experiments import quiet_host, samples

__all__ = ["quiet_host"]

NAMES = st.from_regex(r"[a-z_]{1,20}( \[kvm\])?", fullmatch=True)


@given(st.lists(NAMES))
def test_functions_are_counted_once(names: list[str]) -> None:
    lines = ["# tracer: function\n", "#\n", *(f" {name}\n" for name in names), "\n"]
    functions, calls = tracing.functions_in(lines)
    assert functions == set(names)
    assert calls == len(names)


def test_what_was_lost_is_counted(tmp_path: pathlib.Path) -> None:
    stats = tmp_path / "stats"
    stats.write_text(
        "entries: 5\noverrun: 3\ncommit overrun: 0\nbytes: 10\noldest event ts:  1.5\ndropped events: 4\n"
    )
    assert tracing.lost_in(stats) == 7


def test_a_kernel_without_the_tracer_says_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "available_tracers").write_text("blk nop\n")
    with (
        pytest.raises(NotPossible, match=r"no function tracer.*blk, nop"),
        tracing.Tracer([1], root=tmp_path),
    ):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["available_tracers"]


def _proc(folder: pathlib.Path, pid: int, comm: str, cmdline: str = "", *more: int) -> None:
    for number in (pid, *more):
        task = folder / str(pid) / "task" / str(number)
        task.mkdir(parents=True)
        (folder / str(number)).mkdir(exist_ok=True)
        (folder / str(number) / "comm").write_text(f"{comm}\n")
    (folder / str(pid) / "cmdline").write_text(cmdline)


def test_threads_are_told_by_what_they_are(tmp_path: pathlib.Path) -> None:
    _proc(tmp_path, 10, "qemu-system-i38", "qemu\0-xen-domid\0003\0-nodefaults\0", 11)
    _proc(tmp_path, 20, "qemu-system-i38", "qemu\0-xen-domid\00030\0")
    _proc(tmp_path, 30, "vif3.0-q0-guest")
    _proc(tmp_path, 31, "vif30.0-q0-gues")
    _proc(tmp_path, 40, "xenstored", "", 41)
    (tmp_path / "self").mkdir()
    qemu = {10: "qemu-system-i38", 11: "qemu-system-i38"}
    assert threads.with_argument("-xen-domid", "3", proc=tmp_path) == qemu
    assert threads.named("vif3.", proc=tmp_path) == {30: "vif3.0-q0-guest"}
    assert set(threads.of_programs("xenstored", "oxenstored", proc=tmp_path)) == {40, 41}
    assert threads.of_process(99, proc=tmp_path) == {}


def test_a_control_group_has_all_its_threads(tmp_path: pathlib.Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    _proc(proc, 5, "redis-server", "", 6)
    _proc(proc, 7, "sh")
    (proc / "5" / "cgroup").write_text("0::/docker/abc\n")
    (groups / "docker/abc/inner").mkdir(parents=True)
    (groups / "docker/abc/cgroup.threads").write_text("5\n6\n")
    (groups / "docker/abc/inner/cgroup.threads").write_text("7\n")
    assert threads.of_group(5, proc, groups) == {5: "redis-server", 6: "redis-server", 7: "sh"}
    (proc / "5" / "cgroup").write_text("3:cpu:/docker/abc\n")
    with pytest.raises(NotPossible, match="version 2"):
        threads.of_group(5, proc, groups)


def test_threads_of_this_very_process() -> None:
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert {os.getpid(), other.native_id} <= set(threads.of_process(os.getpid()))
    finally:
        stop.set()
        other.join()


def test_the_work_is_a_shells() -> None:
    text = reached.script("10.0.0.1")
    assert text.startswith("redis-cli -h 10.0.0.1 BLPOP")
    subprocess.run(["/bin/sh", "-n", "-c", text], check=True)


def test_an_arm_that_can_not_tell_its_tasks_apart_is_refused(local_arms: Arms) -> None:
    result, found = samples(local_arms, "containment")
    assert found["host_functions_reached", "minimal"]["status"] == "refused"
    assert "told apart" in str(found["host_functions_reached", "minimal"]["reason"])
    assert result["arms"][0]["status"] == "ok"
    _result, found = samples(local_arms, "containment", company=False)
    assert ("host_functions_reached", "minimal") not in found
