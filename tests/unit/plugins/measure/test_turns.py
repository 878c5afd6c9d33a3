# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that take turns between plain Linux and Xen: in which order, when a run ends, and what the bundle says."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.vcompare.lab.plugins.action import bundle as bundle_action
from ansible_collections.vcompare.lab.plugins.action import measure as measure_action
from ansible_collections.vcompare.lab.plugins.action import measure_next
from ansible_collections.vcompare.lab.plugins.action.bundle import planned_arms
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms
from ansible_collections.vcompare.lab.plugins.module_utils._contract.turns import BOOTS, part_name
from ansible_collections.vcompare.lab.plugins.modules import measure as measure_module
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle, file_name
from ansible_collections.vcompare.lab.plugins.plugin_utils.turns import (
    Turns,
    boot_of,
    fitting,
)

from vcompare_runner.bundle.read import load_bundle

from .test_actions import action
from .test_bundle import MANIFEST, measured
from .test_measure_next import clock

BOTH = {"srv": list(BOOTS)}
ARMS = [
    "bare",
    "bare-again",
    "docker",
    "kvm",
    "docker-in-kvm",
    "xen-dom0",
    "xen-pvh",
    "docker-in-xen",
]


def walk(
    until: int,
    rounds: dict[int, set[str]] | None = None,
    boot: str = "linux",
    hosts: t.Sequence[str] = ("srv",),
    sharing: t.Mapping[str, t.Sequence[str]] | None = None,
) -> list[tuple[int, str]]:
    """Take the steps of a group to its end, as the role does; return what was measured where."""
    done = {block: set(each) for block, each in (rounds or {}).items()}
    sharing = BOTH if sharing is None else sharing
    steps = []
    while step := Turns(done, hosts, sharing).next_step(boot, until):
        assert step.until == until
        boot = step.boot
        steps.append((step.block, step.boot))
        here = {part_name(host, boot) for host in sharing if boot in sharing[host]}
        done.setdefault(step.block, set()).update(here, set(hosts) - set(sharing))
        assert len(steps) <= 2 * until
    return steps


def test_each_arm_belongs_to_one_system() -> None:
    assert {arm: boot_of(arm) for arm in ARMS} == {
        **dict.fromkeys(ARMS[:5], "linux"),
        **dict.fromkeys(ARMS[5:], "xen"),
    }


def test_the_runner_knows_the_same_names() -> None:
    """It can't import the collection."""
    assert part_name("srv", "xen") == "srv+xen"
    assert part_name("srv", "linux") == "srv"
    xen = tuple(arm for arm in arms.ARMS if boot_of(arm) == "xen")
    assert xen == arms.ARMS_OF_GROUP[arms.XEN_GROUP]


def test_a_group_is_measured_in_both_systems_with_one_reboot() -> None:
    assert walk(3) == [(1, "linux"), (2, "linux"), (3, "linux"), (1, "xen"), (2, "xen"), (3, "xen")]


def test_the_next_group_begins_in_the_system_that_runs() -> None:
    """So each system comes first in every other group."""
    first = {block: {"srv", "srv+xen"} for block in (1, 2)}
    assert walk(4, first, boot="xen") == [(3, "xen"), (4, "xen"), (3, "linux"), (4, "linux")]


@pytest.mark.parametrize(
    ("linux", "xen", "steps"),
    [
        # In the middle of the first part, of the second, and between the two.
        (2, 0, [(1, "xen"), (2, "xen")]),
        (3, 1, [(2, "xen"), (3, "xen")]),
        (0, 2, [(1, "linux"), (2, "linux")]),
        (2, 2, []),
    ],
)
def test_what_was_interrupted_gets_its_counterparts(
    linux: int, xen: int, steps: list[tuple[int, str]]
) -> None:
    rounds: dict[int, set[str]] = {}
    for name, count in (("srv", linux), ("srv+xen", xen)):
        for block in range(1, count + 1):
            rounds.setdefault(block, set()).add(name)
    assert walk(max(linux, xen), rounds) == steps


def test_other_hosts_are_measured_in_the_part_that_comes_first() -> None:
    assert walk(2, hosts=("srv", "other")) == [(1, "linux"), (2, "linux"), (1, "xen"), (2, "xen")]
    # Of one that was interrupted, what is missing is measured without a reboot.
    rounds = {1: {"srv", "srv+xen", "other"}, 2: {"srv", "srv+xen"}}
    assert walk(2, rounds, boot="xen", hosts=("srv", "other")) == [(2, "xen")]


def test_a_host_that_was_lost_is_not_waited_for() -> None:
    rounds = {1: {"lost", "srv", "srv+xen"}}
    assert walk(1, rounds, hosts=("srv",)) == []


def test_a_host_with_arms_of_xen_only_is_not_measured_in_linux() -> None:
    sharing = {"srv": ["xen"]}
    assert walk(2, sharing=sharing) == [(1, "xen"), (2, "xen")]


@pytest.mark.parametrize(
    ("room", "boot", "blocks"),
    [
        (float("inf"), "linux", 5),
        # Five blocks of 100 s, a reboot into Xen, and one back.
        (620, "linux", 5),
        (619, "linux", 4),
        (560, "xen", 5),
        (159, "linux", 0),
        (160, "xen", 1),
        (-1, "xen", 0),
    ],
)
def test_a_group_has_as_many_blocks_as_fit_with_its_reboots(
    room: float, boot: str, blocks: int
) -> None:
    assert fitting(room, 100, 60, boot, 5) == blocks


# With a bundle


def opened(tmp_path: Path, **profile: t.Any) -> Bundle:
    hosts = {
        "srv": {"arms": ["kvm", "xen-pvh"], "substrate": "metal", "planned": True, "boots": BOOTS}
    }
    bundle = Bundle(tmp_path / "runs" / MANIFEST["run"])
    profile = {**MANIFEST["profile"], **profile}
    bundle.open({**MANIFEST, "profile": profile, "arms": planned_arms(hosts)})
    return bundle


def fill(bundle: Bundle, boot: str, blocks: t.Iterable[int], took: float = 60.0) -> None:
    for block in blocks:
        at = 1000.0 * block + (500 if boot == "xen" else 0)
        part = {"machine": "srv", "boot": boot}
        bundle.append(measured(block, part_name("srv", boot)), took, None, clock(at), part)


def turned(bundle: Bundle, boot: str, at: float, took: float, reason: str | None = None) -> None:
    bundle.turned(
        {"host": "srv", "boot": boot, "began_at_s": at, "elapsed_s": took, "reason": reason}
    )


def ask(bundle: Bundle, **more: t.Any) -> dict[str, t.Any]:
    arguments = {"bundle": str(bundle.path), "hosts": ["srv"], "sharing": BOTH, **more}
    return t.cast("dict[str, t.Any]", action(measure_next, arguments).run(task_vars={}))


@pytest.fixture
def still_open(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, t.Any]]:
    found = [{"claim": "near-native", "blocks_needed": 4}]
    monkeypatch.setattr(measure_next, "_open_claims", lambda path: (found, ""))
    return found


def test_a_group_is_as_long_as_the_run_at_most(tmp_path: Path) -> None:
    bundle = opened(tmp_path, blocks=7)
    first = ask(bundle, group=5)
    assert (first["block"], first["boot"], first["until"]) == (1, "linux", 5)
    for boot in BOOTS:
        fill(bundle, boot, range(1, 6))
    second = ask(bundle, group=5, boot="xen", until=5)
    assert (second["block"], second["boot"], second["until"]) == (6, "xen", 7)
    for boot in BOOTS:
        fill(bundle, boot, range(6, 8))
    assert ask(bundle, group=5, boot="linux", until=7)["stopped"] == "blocks"


def test_a_run_does_not_end_within_a_group(
    tmp_path: Path, still_open: list[dict[str, t.Any]]
) -> None:
    """Neither when claims are decided nor when the time is up."""
    bundle = opened(tmp_path, blocks=1, max_blocks=9, budget_s=1)
    fill(bundle, "linux", [1, 2])
    still_open.clear()
    step = ask(bundle, boot="linux", until=2)
    assert (step["go_on"], step["block"], step["boot"]) == (True, 1, "xen")
    fill(bundle, "xen", [1, 2])
    assert ask(bundle, boot="xen", until=2)["stopped"] == "narrow"


@pytest.mark.parametrize(("budget", "until"), [(660, 4), (659, 3), (539, 0)])
def test_reboots_are_part_of_the_budget(
    tmp_path: Path, still_open: list[dict[str, t.Any]], budget: int, until: int
) -> None:
    """120 s a block and 90 s a reboot: 330 s are gone, and the reboots to come count."""
    bundle = opened(tmp_path, blocks=2, max_blocks=9, budget_s=budget)
    for boot in BOOTS:
        fill(bundle, boot, [1, 2])
    turned(bundle, "xen", 9000.0, 90.0)
    assert bundle.measuring_s() == 4 * 60 + 90
    found = ask(bundle, boot="xen", until=2, group=2)
    if until:
        assert (found["block"], found["boot"], found["until"]) == (3, "xen", until)
    else:
        assert found["stopped"] == "budget"


def test_the_time_of_the_whole_command_has_room_for_the_reboots(
    tmp_path: Path, still_open: list[dict[str, t.Any]]
) -> None:
    bundle = opened(tmp_path, blocks=1, max_blocks=9, within_s=1200)
    for boot in BOOTS:
        fill(bundle, boot, [1])
    turned(bundle, "xen", 9000.0, 90.0)
    # Left: 1200 - 940 - 45 = 215 s, of which a block and the reboot back take 210.
    late = ask(bundle, boot="xen", until=1, began=time.time() - 940)
    assert (late["go_on"], late["until"]) == (True, 2)
    assert ask(bundle, boot="xen", until=1, began=time.time() - 950)["stopped"] == "budget"


def test_a_resumed_run_finishes_what_was_begun_and_then_goes_on(tmp_path: Path) -> None:
    bundle = opened(tmp_path, blocks=4)
    fill(bundle, "linux", [1, 2])
    fill(bundle, "xen", [1])
    step = ask(bundle, group=3)
    assert (step["block"], step["boot"], step["until"]) == (2, "xen", 2)
    fill(bundle, "xen", [2])
    step = ask(bundle, group=3, boot="xen", until=2)
    assert (step["block"], step["boot"], step["until"]) == (3, "xen", 4)


def test_a_group_of_no_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="0 blocks"):
        ask(opened(tmp_path), group=0)


def test_the_manifest_has_both_parts_of_a_host(tmp_path: Path) -> None:
    bundle = opened(tmp_path)
    arms = load_bundle(bundle.path).manifest.arms
    assert [(arm.arm, arm.host, arm.machine, arm.boot) for arm in arms] == [
        ("kvm", "srv", "srv", "linux"),
        ("xen-pvh", "srv+xen", "srv", "xen"),
    ]
    # A host that takes no turns is what it was.
    (arm,) = planned_arms({"h": {"arms": ["xen-pvh"], "substrate": "metal", "planned": True}})
    assert arm["host"] == "h" and "machine" not in arm


def test_a_run_is_finished_when_both_parts_are(tmp_path: Path) -> None:
    bundle = opened(tmp_path, blocks=2)
    fill(bundle, "linux", [1, 2])
    fill(bundle, "xen", [1])
    assert bundle.close()[1] == ["block 2 of srv+xen"]
    fill(bundle, "xen", [2])
    assert bundle.close()[1] == []


def test_a_boot_is_recorded_with_what_the_host_is_then(tmp_path: Path) -> None:
    bundle = opened(tmp_path)
    arguments = {
        "home": str(tmp_path),
        "run": MANIFEST["run"],
        "state": "turned",
        "turn": {
            "host": "srv",
            "boot": "xen",
            "began": time.time() - 30,
            "facts": {"substrate": "metal", "kernel": "6.1.0"},
        },
    }
    done = action(bundle_action, arguments).run(task_vars={})
    assert 30 <= done["elapsed_s"] < 40
    loaded = load_bundle(bundle.path)
    (turn,) = loaded.turns
    assert (turn.host, turn.boot, turn.reason) == ("srv", "xen", None)
    assert loaded.facts["srv+xen"].kernel == "6.1.0"
    assert (bundle.path / "facts" / "srv+xen.json").exists()
    failed = {**arguments, "turn": {**arguments["turn"], "reason": "it did not come back"}}
    action(bundle_action, failed).run(task_vars={})
    assert [turn.reason for turn in load_bundle(bundle.path).turns] == [
        None,
        "it did not come back",
    ]


@pytest.mark.parametrize("turn", [{"host": "srv", "boot": "bsd", "began": 1.0}, {"host": "srv"}])
def test_a_boot_that_can_t_be_is_refused(tmp_path: Path, turn: dict[str, t.Any]) -> None:
    bundle = opened(tmp_path)
    arguments = {"home": str(tmp_path), "run": MANIFEST["run"], "state": "turned", "turn": turn}
    with pytest.raises(AnsibleActionFail, match="bundle: turn"):
        action(bundle_action, arguments).run(task_vars={})
    assert not (bundle.path / "turns.jsonl").exists()


def test_a_line_that_was_cut_off_costs_that_line_alone(tmp_path: Path) -> None:
    bundle = opened(tmp_path)
    turned(bundle, "xen", 1000.0, 60.0)
    with (bundle.path / "turns.jsonl").open("a") as file:
        file.write('{"run": "2026')
    assert bundle.turn_s() == 60.0
    turned(bundle, "linux", 2000.0, 70.0)
    lines = (bundle.path / "turns.jsonl").read_text().splitlines()
    assert [json.loads(line)["boot"] for line in lines] == ["xen", "linux"]


def test_a_block_is_recorded_with_its_system(tmp_path: Path) -> None:
    bundle = opened(tmp_path)
    fill(bundle, "linux", [1])
    fill(bundle, "xen", [1])
    blocks = load_bundle(bundle.path).blocks
    assert [(b.host, b.machine, b.boot) for b in blocks] == [
        ("srv", "srv", "linux"),
        ("srv+xen", "srv", "xen"),
    ]


@pytest.mark.parametrize(
    ("boot", "host", "arms"),
    [
        ("", "srv", ["bare", "xen-pvh", "kvm"]),
        ("linux", "srv", ["bare", "kvm"]),
        ("xen", "srv+xen", ["xen-pvh"]),
    ],
)
def test_only_the_arms_of_the_system_that_runs_are_measured(
    boot: str, host: str, arms: list[str]
) -> None:
    found = measure_action._part("srv", ["bare", "xen-pvh", "kvm"], boot)
    assert found == (host, arms, {"machine": "srv", "boot": boot} if boot else None)


def test_facts_of_both_parts_have_their_own_files() -> None:
    assert file_name("srv") != file_name("srv+xen")
    assert "/" not in file_name("a/b+xen")


@pytest.mark.parametrize(
    ("boot", "dom0", "refused"),
    [
        ("", False, ""),
        ("", True, ""),
        ("linux", False, ""),
        ("xen", True, ""),
        ("xen", False, "runs plain Linux"),
        ("linux", True, "runs Xen"),
    ],
)
def test_a_host_that_was_rebooted_by_something_else_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, boot: str, dom0: bool, refused: str
) -> None:
    monkeypatch.setattr(measure_module.proofs, "is_dom0", lambda: dom0)
    if refused:
        with pytest.raises(ValueError, match=refused):
            measure_module._check_boot(boot)
    else:
        measure_module._check_boot(boot)
