# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Foreign load: what the controller does beside the lab's nodes and the run itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host.conditions import Conditions
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.plugin_utils import controller
from ansible_collections.vcompare.lab.plugins.plugin_utils.controller import Process, Reading

TICKS = os.sysconf("SC_CLK_TCK")
SPIN = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"


def process(pid: int, parent: int, command: str, spent: float, reaped: float = 0.0) -> Process:
    return Process(pid, parent, spent, reaped, pid * 10, command.replace(" ", "\0").encode())


RUNNING = {
    each.pid: each
    for each in (
        process(1, 0, "init", 9.0),
        process(10, 1, "bash /srv/ansible/ci.sh vcompare", 50.0, 500.0),
        process(11, 10, "python /opt/bin/vcompare compare", 1.0, 0.5),
        process(12, 11, "python ansible-playbook compare.yml", 2.0, 4.0),
        process(13, 12, "python ansible-playbook compare.yml", 0.25),
        process(14, 13, "ssh node", 0.125),
        process(20, 10, "make something-else", 70.0),
        process(30, 1, "qemu -name guest=vc-default-1234-lab-linux,debug-threads=on", 300.0),
        process(31, 1, "qemu -name guest=vc-default-1234-lab-linux2,debug-threads=on", 7.0),
        process(32, 1, "qemu -name guest=other,debug-threads=on", 8.0),
    )
}


def test_own_time_is_that_of_the_whole_run() -> None:
    assert controller.own_time(RUNNING, 13) == 1.0 + 0.5 + 2.0 + 4.0 + 0.25 + 0.125
    assert controller.own_time(RUNNING, 99) is None


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("/usr/bin/python3 /opt/bin/ansible-playbook -i x", True),
        ("python3.11 -I -m vcompare_runner compare", True),
        ("vcompare compare", True),
        ("bash run.sh vcompare", False),
        ("python3 ./vcompare/bench.py", False),
        ("make vcompare", False),
        ("python3", False),
        ("", False),
    ],
)
def test_what_belongs_to_the_run(command: str, ours: bool) -> None:
    assert controller.is_ours(command.replace(" ", "\0").encode()) is ours


def test_only_the_nodes_of_this_lab_count() -> None:
    nodes = controller.nodes_of(RUNNING, ["vc-default-1234-lab-linux", "vc-default-1234-lab-xen"])
    assert nodes == {(30, 300): 300.0}
    assert controller.nodes_of(RUNNING, []) == {}


def test_domains_follow_from_home_and_lab(tmp_path: Path) -> None:
    names = tuple(controller.lab_nodes(str(tmp_path), "default").values())
    assert names == tuple(node.domain for node in Lab(str(tmp_path), "default", 4).nodes)
    assert controller.lab_nodes(str(tmp_path), None) == {}
    assert controller.lab_nodes(str(tmp_path), "No Lab!") == {}


def reading(
    at: float,
    busy: float | None,
    nodes: dict[tuple[int, int], float],
    own: float | None,
    kernel: dict[tuple[int, int], float] | None = None,
) -> Reading:
    return Reading(at, Conditions(busy, 0.0, 0, {"cpu": at}), nodes, kernel or {}, own)


def test_known_answer() -> None:
    found = controller.between(
        reading(0.0, 100.0, {(30, 300): 10.0}, 5.0, {(7, 1): 2.0, (8, 1): 4.0}),
        # One kernel thread has ended, one has begun.
        reading(10.0, 119.5, {(30, 300): 25.0}, 6.0, {(7, 1): 3.0, (9, 500): 0.5}),
    )
    assert found["busy_cpus"] == 1.95
    assert found["busy_kernel_cpus"] == 0.15
    assert found["busy_nodes_cpus"] == 1.5
    assert found["busy_own_cpus"] == 0.1
    assert found["busy_foreign_cpus"] == 0.35
    assert found["nodes_here"] == 1
    assert found["pressure_s"] == {"cpu": 10.0, "io": None, "memory": None}


def test_what_can_not_be_told_is_missing() -> None:
    """A node that was started again meanwhile took its old time along."""
    nodes = {(30, 300): 10.0}
    other = {(40, 900): 1.0}
    for before, after in (
        (reading(0, 100.0, nodes, 5.0), reading(10, 118.0, other, 6.0)),
        (reading(0, 100.0, nodes, None), reading(10, 118.0, nodes, 6.0)),
        (reading(0, None, nodes, 5.0), reading(10, None, nodes, 6.0)),
    ):
        assert controller.between(before, after)["busy_foreign_cpus"] is None


def wait_until_it_has_run(pid: int, cpu_s: float = 0.5) -> None:
    """On a busy machine, a second on the clock may be a small part of one on a CPU."""
    deadline = time.monotonic() + 60
    spent = 0.0
    while spent < cpu_s:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_our_own_work_is_not_foreign_and_that_of_others_is() -> None:
    """Real processes: a child of ours, and one that is nobody's child here."""
    began, before = time.monotonic(), controller.read(())
    child = subprocess.Popen([sys.executable, "-c", SPIN])
    wait_until_it_has_run(child.pid)
    child.kill()
    child.wait()
    mine = controller.between(before, controller.read(()))
    assert mine["busy_own_cpus"] * (time.monotonic() - began) > 0.3
    assert mine["nodes_here"] == 0
    began, before = time.monotonic(), controller.read(())
    # Its parent ends at once: it belongs to init, like the work of anybody else.
    starter = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SPIN!r}], stdout=subprocess.DEVNULL)\n"
        "print(child.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True, check=True
    )
    pid = int(done.stdout)
    try:
        wait_until_it_has_run(pid)
        theirs = controller.between(before, controller.read(()))
    finally:
        os.kill(pid, 9)
    assert theirs["busy_foreign_cpus"] * (time.monotonic() - began) > 0.3


def test_the_session_is_that_of_the_process_above(tmp_path: Path) -> None:
    """A name may hold what looks like the end of a name."""
    parent = tmp_path / str(os.getppid())
    parent.mkdir()
    fields = ["S", "1"] + ["0"] * 17 + ["4711"] + ["0"] * 20
    (parent / "stat").write_text(f"{os.getppid()} (a) b) {' '.join(fields)}\n")
    assert controller.session(tmp_path) == f"{os.getppid()}-4711"
    assert controller.session(tmp_path / "none") is None
    assert controller.session() == controller.session()
