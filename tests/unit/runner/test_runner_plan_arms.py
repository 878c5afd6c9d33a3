# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Which arms a run measures: the wrapper's plan and the role must say the same of each host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from vcompare_runner._contract.arms import AGAIN, ARMS, ARMS_OF_GROUP, PLANTED
from vcompare_runner.run import plan
from vcompare_runner.run.inventory import Inventory
from vcompare_runner.run.project import Project

ROOT = Path(__file__).resolve().parents[3]
GROUPS = {
    "bare_hosts": ("one",),
    "docker_hosts": ("one",),
    "kvm_hosts": ("one",),
    "xen_hosts": ("two",),
}
PROFILES = plan.read_profiles(Project(ROOT))
ASKED: tuple[tuple[str, ...], ...] = (
    (),
    ("bare", "xen-hvm"),
    ("bare", "docker"),
    ("bare", PLANTED),
)

PLAYBOOK = """
- hosts: one:two
  gather_facts: false
  connection: local
  vars_files:
    - {root}/roles/measure/vars/main.yml
    - {root}/roles/measure/vars/profiles.yml
  vars: {{measure_scenarios: [], measure_claims: [], measure_blocks: 0, measure_max_blocks: 0, measure_budget: ""}}
  tasks:
    - ansible.builtin.debug:
        msg: "ARMS={{{{ said | to_json }}}}"
      vars:
        measure_profile: "{{{{ item.0 }}}}"
        measure_arms: "{{{{ item.1 }}}}"
        said:
          host: "{{{{ inventory_hostname }}}}"
          profile: "{{{{ item.0 }}}}"
          asked: "{{{{ item.1 }}}}"
          arms: "{{{{ __measure_own_arms }}}}"
      loop: {cases}
    - ansible.builtin.debug:
        msg: "PEERS={{{{ __measure_peer_of | dict2items | rejectattr('value', 'eq', '') | items2dict | to_json }}}}"
"""
PEERS = {"docker_peers": ("three",), "kvm_peers": ("three",), "xen_peers": ("four",)}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("arms")
    cases = [[name, list(asked)] for name in PROFILES for asked in ASKED]
    (folder / "play.yml").write_text(PLAYBOOK.format(root=ROOT, cases=json.dumps(cases)))
    lines = [line for group, hosts in (GROUPS | PEERS).items() for line in (f"[{group}]", *hosts)]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts", "play.yml"],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections"),
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said(output: str, word: str) -> list[dict[str, t.Any]]:
    decoder = json.JSONDecoder()
    texts = [
        decoder.decode("{" + line.strip() + "}")["msg"]
        for line in output.splitlines()
        if f'"msg": "{word}=' in line
    ]
    return [json.loads(text.removeprefix(f"{word}=")) for text in texts]


@pytest.fixture(scope="module")
def said_by_the_role(output: str) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for each in said(output, "ARMS"):
        key = f"{each['profile']} {','.join(each['asked'])}"
        found.setdefault(key, set()).update((arm, each["host"]) for arm in each["arms"])
    return found


def test_every_arm_that_can_move_has_its_technology_s_second_host(output: str) -> None:
    types = [arm for arm in ARMS_OF_GROUP["xen_hosts"] if arm in ("xen-pv", "xen-pvh", "xen-hvm")]
    # Hosts answer in no order.
    assert sorted(said(output, "PEERS"), key=len) == [
        {"docker": "three", "kvm": "three"},
        dict.fromkeys(types, "four"),
    ]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_role_and_the_wrapper_agree(
    said_by_the_role: dict[str, set[tuple[str, str]]], profile: str, asked: tuple[str, ...]
) -> None:
    inventory = Inventory(Path("hosts"), GROUPS, {})
    request = plan.Request(run="r", lab="default", profile=profile, seed=1, arms=asked)
    planned = set(plan.make_plan(request, Project(ROOT), inventory).arms)
    assert planned == said_by_the_role[f"{profile} {','.join(asked)}"]
    assert (AGAIN, "one") in planned


def test_short_profiles_leave_out_what_takes_minutes_to_start() -> None:
    inventory = Inventory(Path("hosts"), GROUPS, {})
    for profile, has_it in (("smoke", False), ("quick", False), ("standard", True), ("full", True)):
        request = plan.Request(run="r", lab="default", profile=profile, seed=1)
        arms = {arm for arm, _host in plan.make_plan(request, Project(ROOT), inventory).arms}
        assert ("xen-hvm" in arms) == has_it
        named = plan.Request(
            run="r", lab="default", profile=profile, seed=1, arms=("bare", "xen-hvm")
        )
        arms = {arm for arm, _host in plan.make_plan(named, Project(ROOT), inventory).arms}
        assert arms == {"bare", AGAIN, "xen-hvm"}


def test_a_profile_names_arms_that_there_are() -> None:
    for profile in PROFILES.values():
        assert set(profile.arms) <= set(ARMS)


def test_every_arm_is_in_a_group() -> None:
    carried = {arm for arms in ARMS_OF_GROUP.values() for arm in arms}
    assert carried == {*ARMS, AGAIN, PLANTED}
