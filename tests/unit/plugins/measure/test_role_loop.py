# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role's loop over blocks with real Ansible; only what measures is replaced.

In its place, an action that appends a block as the real one does, with figures of a known scatter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

MEASURE = """
import hashlib, json, math, random
from pathlib import Path
from ansible.plugins.action import ActionBase
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle
from ansible_collections.vcompare.lab.plugins.module_utils._block.order import order_of
from ansible_collections.vcompare.lab.plugins.plugin_utils import turns
from ansible_collections.vcompare.lab.plugins.module_utils._contract import turns as parts

class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        a, host = self._task.args, task_vars["inventory_hostname"]
        block, bundle, arms, part = int(a["block"]), Bundle(Path(a["bundle"])), a["arms"], None
        if boot := a.get("boot"):
            assert Path(f"booted.{host}").read_text() == boot, "it is booted into the other system"
            part, arms = {"machine": host, "boot": boot}, [x for x in arms if turns.boot_of(x) == boot]
            host = parts.part_name(host, boot)
        if bundle.finished(block, host):
            return {"changed": False, "block": block, "skipped": True}
        if f"{block} {host}" == task_vars.get("test_fail_at"):
            return {"failed": True, "msg": "the node went away"}
        order = order_of(arms, int(a["seed"]), host, block)
        samples, proofs, raw = [], [], {}
        for place, arm in enumerate(order, start=1):
            text = f"{block} {host} {arm}"
            key = hashlib.sha256(text.encode()).hexdigest()
            raw[key] = text
            random.seed(text)
            samples.append({
                "schema": 1, "run": a["run"], "block": block, "order": place, "host": host,
                "arm": arm, "variant": "minimal", "scenario": "cpu",
                "metric": "events_per_second", "unit": "1/s", "direction": "higher",
                "value": 4000 * math.exp(random.gauss(0, float(task_vars["test_noise"]))),
                "iteration": 1, "warmup": False, "status": "ok", "reason": None,
                "started_at": "2026-11-24T10:15:00.123Z", "host_elapsed_s": 2.0,
                "guest_elapsed_s": 2.0, "evidence": key})
            proofs.append({"run": a["run"], "block": block, "host": host, "arm": arm,
                "proven": True, "reason": None, "proofs": [{"name": "p", "source": "inside",
                "expected": "x", "observed": "x", "holds": True}]})
        bundle.append({"run": a["run"], "block": block, "host": host, "order": order,
            "arms": [{"arm": arm, "status": "ok", "reason": None} for arm in order],
            "samples": samples, "proofs": proofs, "raw": raw,
            "started_at": "2026-11-24T10:15:00.000Z", "host_elapsed_s": 50.0}, 60.0, part=part)
        return {"changed": True, "block": block, "blocks": a["blocks"], "host": host}
"""

PLAYBOOK = """
- hosts: first:second
  gather_facts: false
  connection: local
  tasks:
    - ansible.builtin.include_role:
        name: vcompare.lab.measure
        tasks_from: check
        public: true
    - ansible.builtin.set_fact:
        measure_next: {}
        measure_host: {arms: "{{ __measure_own_arms }}", substrate: metal}
        measure_found: {image: {paths: {rootfs: /dev/null}, reference: r, digest: d, quick_digest: q}}
    - vcompare.lab.bundle:
        home: "{{ measure_home }}"
        run: test
        seed: 5
        profile: "{{ __measure_plan }}"
        budget: "{{ measure_budget | string | trim or omit }}"
        hosts:
          first: {arms: [bare, bare-again, docker], substrate: metal, planned: true}
          second: {arms: [kvm], substrate: metal, planned: true}
        lab: {nested: false}
        image: {digest: d}
        instance: {vcpus: 1, memory_mib: 256}
      register: measure_opened
      run_once: true
    - ansible.builtin.include_role:
        name: vcompare.lab.measure
        tasks_from: blocks
    - vcompare.lab.bundle:
        home: "{{ measure_home }}"
        run: test
        state: closed
        stopped: "{{ measure_next.stopped }}"
      run_once: true
"""

INVENTORY = """
[bare_hosts]
first
[docker_hosts]
first
[kvm_hosts]
second
"""


class Runs:
    """Plays the role's loop in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        place = folder / "collections" / "ansible_collections" / "vcompare" / "lab"
        (place / "plugins" / "action").mkdir(parents=True)
        for name in ("roles", "meta", "galaxy.yml"):
            (place / name).symlink_to(ROOT / name)
        for path in (ROOT / "plugins").iterdir():
            if path.name != "action" and path.is_dir():
                (place / "plugins" / path.name).symlink_to(path)
        for path in (ROOT / "plugins" / "action").glob("*.py"):
            if path.name != "measure.py":
                (place / "plugins" / "action" / path.name).symlink_to(path)
        (place / "plugins" / "action" / "measure.py").write_text(MEASURE)
        (folder / "play.yml").write_text(PLAYBOOK)
        (folder / "hosts").write_text(INVENTORY)

    def play(self, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        """Play with these variables, at a fixed scatter of the figures."""
        given = {"vcompare_home": str(self.folder), "test_noise": 0.02, **variables}
        program = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.run(
            [str(program), "-i", "hosts", "play.yml", "-e", json.dumps(given)],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_RETRY_FILES_ENABLED": "0",
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )

    def blocks(self) -> list[tuple[int, str]]:
        """What was measured, in the order it was."""
        text = (self.folder / "runs" / "test" / "blocks.jsonl").read_text()
        return [(line["block"], line["host"]) for line in map(json.loads, text.splitlines())]

    def manifest(self) -> dict[str, t.Any]:
        text = (self.folder / "runs" / "test" / "manifest.json").read_text()
        return t.cast("dict[str, t.Any]", json.loads(text))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def both(count: int) -> set[tuple[int, str]]:
    return {(block, host) for block in range(1, count + 1) for host in ("first", "second")}


def test_a_fixed_number_of_blocks(runs: Runs) -> None:
    done = runs.play(vcompare_blocks=3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(runs.blocks()) == both(3)
    assert [block for block, _host in runs.blocks()] == [1, 1, 2, 2, 3, 3]
    manifest = runs.manifest()
    assert (manifest["stopped"], manifest["profile"]["max_blocks"]) == ("blocks", 3)
    assert manifest["finished_at"]
    assert [arm["arm"] for arm in manifest["arms"]] == ["bare", "bare-again", "docker", "kvm"]


def test_blocks_until_the_intervals_are_narrow_and_after_an_interruption(runs: Runs) -> None:
    """More than ten of them, so that the file of ten blocks includes itself."""
    wide = {"vcompare_budget": "10h", "test_noise": 0.026}
    failed = runs.play(**wide, test_fail_at="7 second")
    assert failed.returncode != 0
    begun = runs.blocks()
    assert (7, "second") not in begun
    assert runs.manifest()["finished_at"] is None
    done = runs.play(**wide)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = runs.blocks()
    assert measured[: len(begun)] == begun
    last = max(block for block, _host in measured)
    assert last > 10
    assert set(measured) == both(last)
    manifest = runs.manifest()
    assert manifest["stopped"] == "narrow"
    assert manifest["profile"]["budget_s"] == 36000
    assert manifest["finished_at"]


def test_a_profiles_time_ends_it_and_a_number_of_blocks_is_that_number(runs: Runs) -> None:
    """Each block is said to take two minutes, and the command has begun 18 minutes ago: one more would be too late."""
    late = {"vcompare_profile": "quick", "measure_began": time.time() - 18 * 60}
    done = runs.play(**late)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(runs.blocks()) == both(1)
    manifest = runs.manifest()
    assert (manifest["stopped"], manifest["profile"]["within_s"]) == ("budget", 1200)
    # With its time again, it goes on to the profile's greatest number.
    done = runs.play(vcompare_profile="quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(runs.blocks()) == both(5)
    assert runs.manifest()["stopped"] == "blocks"


def test_a_number_of_blocks_has_no_limit_of_time(runs: Runs) -> None:
    done = runs.play(
        vcompare_profile="quick", vcompare_blocks=2, measure_began=time.time() - 18 * 60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(runs.blocks()) == both(2)
    assert runs.manifest()["stopped"] == "blocks"


def test_a_budget_ends_it(runs: Runs) -> None:
    """Each block takes a minute on each of two hosts, and is never narrow enough."""
    done = runs.play(vcompare_budget="15m", test_noise=0.5)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(runs.blocks()) == both(7)
    assert runs.manifest()["stopped"] == "budget"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"vcompare_budget": "soon"}, "vcompare_budget: soon is no time"),
        (
            {"vcompare_blocks": 3, "vcompare_max_blocks": 2},
            "vcompare_max_blocks: 2 is not a maximum number",
        ),
        ({"vcompare_max_blocks": "many"}, "vcompare_max_blocks: many"),
    ],
)
def test_what_makes_no_sense_is_refused(
    runs: Runs, variables: dict[str, t.Any], message: str
) -> None:
    done = runs.play(**variables)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split())
    assert not (runs.folder / "runs").exists()
