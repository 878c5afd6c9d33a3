# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An emulated host has one processor while its kernel changes its own code, and all of them before and after."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._host import one_processor

EMULATED, REAL = "model name\t: QEMU TCG CPU version 2.5+\n", "model name\t: AMD EPYC 7B13\n"


@pytest.fixture
def cpus(tmp_path: Path) -> Path:
    """Four processors, of which the first can't be taken away and the last is."""
    for number, online in enumerate(("", "1", "1", "0")):
        folder = tmp_path / "cpus" / f"cpu{number}"
        folder.mkdir(parents=True)
        if online:
            (folder / "online").write_text(online)
    return tmp_path / "cpus"


def proc(tmp_path: Path, model: str) -> Path:
    """The processor's name, and this thread."""
    folder = tmp_path / "proc"
    (folder / str(os.getpid()) / "task" / str(threading.get_native_id())).mkdir(parents=True)
    (folder / "cpuinfo").write_text(f"processor\t: 0\n{model}")
    return folder


def online(cpus: Path) -> list[str]:
    return [(cpus / f"cpu{number}" / "online").read_text() for number in (1, 2, 3)]


def test_the_others_are_away_for_as_long_as_it_lasts(cpus: Path, tmp_path: Path) -> None:
    with one_processor.while_code_changes(cpus, proc(tmp_path, EMULATED)):
        assert online(cpus) == ["0", "0", "0"]
    # What was not there before is not there now.
    assert online(cpus) == ["1", "1", "0"]


def test_they_are_back_whatever_happens(cpus: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="no room"),
        one_processor.while_code_changes(cpus, proc(tmp_path, EMULATED)),
    ):
        raise OSError("no room")
    assert online(cpus) == ["1", "1", "0"]


def test_a_real_processor_stays(cpus: Path, tmp_path: Path) -> None:
    with one_processor.while_code_changes(cpus, proc(tmp_path, REAL)):
        assert online(cpus) == ["1", "1", "0"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_what_was_bound_to_one_is_bound_again(cpus: Path, tmp_path: Path) -> None:
    every = os.sched_getaffinity(0)
    one = {max(every)}
    os.sched_setaffinity(0, one)
    try:
        with one_processor.while_code_changes(cpus, proc(tmp_path, EMULATED)):
            # As the kernel does when that processor goes.
            os.sched_setaffinity(0, every)
        assert os.sched_getaffinity(0) == one
        # One that has ended meanwhile keeps no other from it.
        os.sched_setaffinity(0, every)
        one_processor.restore(
            {2**22 + 1: frozenset(one), threading.get_native_id(): frozenset(one)}
        )
        assert os.sched_getaffinity(0) == one
    finally:
        os.sched_setaffinity(0, every)


LISTED = """Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)
Domain-0                             0     0    0   r--      61.4  all / all
Domain-0                             0     1    1   -b-      54.0  1,3 / all
"""


def test_dom0_is_held_by_xen(cpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, said = proc(tmp_path, EMULATED), []
    (folder / "xen").mkdir()
    (folder / "xen" / "capabilities").write_text("control_d\n")

    def run(argv: list[str], timeout_s: float, doing: str) -> Result:
        said.append(" ".join(argv))
        return Result(0, LISTED, "", 0.1, 0.1)

    monkeypatch.setattr(one_processor, "host_run", run)
    with one_processor.while_code_changes(cpus, folder):
        assert said == ["xl vcpu-list Domain-0", "xl vcpu-pin Domain-0 all 0"]
        assert online(cpus) == ["1", "1", "0"]
    assert said[2:] == ["xl vcpu-pin Domain-0 0 all", "xl vcpu-pin Domain-0 1 1,3"]
