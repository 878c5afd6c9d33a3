# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role's loop with a host that takes turns, in real Ansible.

Only what measures, boots and asks the host is replaced.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.report import build_report

from .test_role_loop import PLAYBOOK, Runs

# In place of the host's boot menu: what it is booted into is in a file.
XEN_BOOT = """
from pathlib import Path
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        host, turn = task_vars["inventory_hostname"], self._task.args["turn"]
        booted = Path(f"booted.{host}").read_text()
        if self._task.args.get("verify") and booted != turn:
            return {"failed": True, "msg": "it runs something else"}
        Path(f"next.{host}").write_text(turn)
        return {"changed": False, "reboot_required": booted != turn, "entry": "xen-entry"}
"""
NESTED_LAB = """
from pathlib import Path
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        (host,) = self._task.args["nodes"]
        boot = Path(f"next.{host}").read_text()
        with open(f"boots.{host}", "a") as log:
            log.write(boot + "\\n")
            log.flush()
        count = len(Path(f"boots.{host}").read_text().split())
        if str(count) == str(task_vars.get("test_lost_at", "")) and host == task_vars.get("test_lost", host):
            return {"failed": True, "msg": "the node did not come back"}
        Path(f"booted.{host}").write_text(boot)
        return {"changed": True}
"""
NOTHING = """
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        return {"changed": False, "facts": {"substrate": "metal", "kernel": "of Xen"}}
"""
INVENTORY = """
[lab_servers]
carrier ansible_connection=local
[bare_hosts]
first
[docker_hosts]
first
[kvm_hosts]
second
[xen_hosts]
first xen_shares_host=true vcompare_nested=true
"""


class Turning(Runs):
    """One host that takes turns, and another beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        actions = (
            folder
            / "collections"
            / "ansible_collections"
            / "vcompare"
            / "lab"
            / "plugins"
            / "action"
        )
        for name, text in {
            "xen_boot": XEN_BOOT,
            "nested_lab": NESTED_LAB,
            "arms": NOTHING,
            "host_facts": NOTHING,
        }.items():
            (actions / f"{name}.py").write_text(text)
        play = PLAYBOOK.replace(
            'measure_host: {arms: "{{ __measure_own_arms }}", substrate: metal}',
            'measure_host: {arms: "{{ __measure_own_arms }}", substrate: metal, boots: []}\n'
            "        measure_booted: linux\n        measure_seen_xen: false",
        )
        play = play.replace(
            "    - vcompare.lab.bundle:",
            "    - ansible.builtin.set_fact:\n"
            "        measure_host: \"{{ measure_host | combine({'boots': __measure_boots}) }}\"\n"
            "    - vcompare.lab.bundle:",
            1,
        )
        play = play.replace(
            "first: {arms: [bare, bare-again, docker], substrate: metal, planned: true}",
            "first: \"{{ hostvars.first.measure_host | combine({'planned': true}) }}\"",
        )
        # With what the role does when the blocks are measured, or when that failed.
        (folder / "play.yml").write_text(play.replace("tasks_from: blocks", "tasks_from: session"))
        (folder / "hosts").write_text(INVENTORY)
        for host in ("first", "second"):
            (folder / f"booted.{host}").write_text("linux")

    def boots(self) -> list[str]:
        path = self.folder / "boots.first"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def runs(tmp_path: Path) -> Turning:
    return Turning(tmp_path)


ASKED: dict[str, t.Any] = {"vcompare_arms": "bare,docker,kvm,xen-pvh"}


def test_blocks_are_measured_in_groups_with_one_reboot_each(runs: Turning) -> None:
    done = runs.play(**ASKED, vcompare_blocks=4, vcompare_group_blocks=2)
    assert done.returncode == 0, done.stdout + done.stderr
    of_first = [(block, host) for block, host in runs.blocks() if host != "second"]
    assert of_first == [
        (1, "first"), (2, "first"), (1, "first+xen"), (2, "first+xen"),
        (3, "first+xen"), (4, "first+xen"), (3, "first"), (4, "first"),
    ]  # fmt: skip
    assert [block for block, host in runs.blocks() if host == "second"] == [1, 2, 3, 4]
    assert runs.boots() == ["xen", "linux"]
    assert runs.manifest()["finished_at"]
    bundle = load_bundle(runs.folder / "runs" / "test")
    assert [turn.boot for turn in bundle.turns] == ["xen", "linux"]
    assert bundle.facts["first+xen"].kernel == "of Xen"
    assert "first" not in bundle.facts


def test_a_host_is_in_plain_linux_at_the_end(runs: Turning) -> None:
    """After an odd number of groups, too."""
    done = runs.play(**ASKED, vcompare_blocks=3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs.boots() == ["xen", "linux"]
    assert [turn.boot for turn in load_bundle(runs.folder / "runs" / "test").turns] == [
        "xen",
        "linux",
    ]


def test_a_host_without_arms_of_xen_is_not_rebooted(runs: Turning) -> None:
    done = runs.play(vcompare_arms="bare,docker,kvm", vcompare_blocks=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {host for _block, host in runs.blocks()} == {"first", "second"}
    assert runs.boots() == []
    assert all("machine" not in arm for arm in runs.manifest()["arms"])


def test_a_host_that_does_not_come_back_does_not_keep_the_others(runs: Turning) -> None:
    done = runs.play(**ASKED, vcompare_blocks=4, vcompare_group_blocks=2, test_lost_at=1)
    assert done.returncode != 0
    assert [block for block, host in runs.blocks() if host == "first"] == [1, 2]
    assert [block for block, host in runs.blocks() if host == "second"] == [1, 2, 3, 4]
    assert runs.manifest()["finished_at"] is None
    report = build_report(load_bundle(runs.folder / "runs" / "test"))
    (lost,) = [note["text"] for note in report["notes"] if note["code"] == "boot-failed"]
    assert "did not come back" in lost
    (arm,) = [arm for arm in report["arms"] if arm["arm"] == "xen-pvh"]
    assert arm["state"] == "not measured" and "did not come back" in arm["reason"]

    # Once it is there again, the run goes on: what is missing, and nothing else.
    before = runs.blocks()
    done = runs.play(**ASKED, vcompare_blocks=4, vcompare_group_blocks=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(set(runs.blocks()) - set(before)) == sorted(
        [(3, "first"), (4, "first"), *((block, "first+xen") for block in range(1, 5))]
    )
    assert runs.manifest()["finished_at"]


def test_an_interrupted_group_is_finished_first(runs: Turning) -> None:
    failed = runs.play(
        **ASKED, vcompare_blocks=4, vcompare_group_blocks=2, test_fail_at="2 first+xen"
    )
    assert failed.returncode != 0
    of_first = [pair for pair in runs.blocks() if pair[1] != "second"]
    assert of_first == [(1, "first"), (2, "first"), (1, "first+xen")]
    # It is not left in Xen.
    assert runs.boots() == ["xen", "linux"]
    assert (runs.folder / "booted.first").read_text() == "linux"
    done = runs.play(**ASKED, vcompare_blocks=4, vcompare_group_blocks=2)
    assert done.returncode == 0, done.stdout + done.stderr
    rest = [pair for pair in runs.blocks() if pair[1] != "second"][len(of_first) :]
    # The other host has gone on to the last block meanwhile, so that all four are one group now.
    assert rest == [
        (3, "first"), (4, "first"), (2, "first+xen"), (3, "first+xen"), (4, "first+xen"),
    ]  # fmt: skip


def test_a_number_of_blocks_that_is_no_group_is_refused(runs: Turning) -> None:
    done = runs.play(**ASKED, vcompare_group_blocks=-1)
    assert done.returncode != 0
    assert "vcompare_group_blocks" in " ".join(done.stdout.split())
    assert not (runs.folder / "runs").exists()
