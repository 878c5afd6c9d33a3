# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Hosts that take turns between plain Linux and Xen: in plans, inventories, bundles and reports."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

import numpy as np
import pytest

from vcompare_runner.bundle.join import join
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.report import build_report, html, markdown
from vcompare_runner.run import plan as plans
from vcompare_runner.run import turns
from vcompare_runner.run.inventory import Inventory

from .synthetic import Synthetic

GROUPS = {
    "bare_hosts": ("srv",),
    "docker_hosts": ("srv",),
    "kvm_hosts": ("srv",),
    "xen_hosts": ("srv", "other"),
}


def inventory(**variables: t.Any) -> Inventory:
    return Inventory(Path("hosts.ini"), GROUPS, {"srv": variables, "other": {}})


@pytest.mark.parametrize("value", [True, "true", "True", "yes", "1", 1])
def test_a_host_that_takes_turns_has_xens_arms_under_another_name(value: t.Any) -> None:
    arms = inventory(xen_shares_host=value).arms
    assert ("xen-pvh", "srv+xen") in arms and ("xen-pvh", "other") in arms
    assert ("bare", "srv") in arms and ("xen-pvh", "srv") not in arms


@pytest.mark.parametrize("value", [False, "false", "no", "", None])
def test_any_other_host_has_its_own(value: t.Any) -> None:
    assert ("xen-pvh", "srv") in inventory(xen_shares_host=value).arms


def planned(blocks: int, most: int, **variables: t.Any) -> list[tuple[str, str]]:
    there = inventory(xen_shares_host=True, **variables)
    request = plans.Request("r", "default", "quick", 1)
    profile = plans.Profile("quick", "", blocks, most, 1, 1.0, ("cpu",))
    arms = tuple(pair for pair in there.arms if pair[1] != "other")
    plan = plans.Plan(request, profile, arms, ("cpu",), blocks, most)
    return turns.lines(plan, there)


@pytest.mark.parametrize(
    ("blocks", "most", "given", "words"),
    [
        (1, 1, None, "1 block at a time: 2 reboots"),
        (10, 10, None, "5 blocks at a time: 2 reboots"),
        (10, 40, "2", "2 blocks at a time: at least 6 reboots"),
        (3, 3, 1, "1 block at a time: 4 reboots"),
    ],
)
def test_a_plan_says_how_often_a_host_is_rebooted(
    blocks: int, most: int, given: t.Any, words: str
) -> None:
    variables = {} if given is None else {"vcompare_group_blocks": given}
    ((label, text),) = planned(blocks, most, **variables)
    assert label == "turns"
    assert text.startswith("srv is booted into plain Linux and into Xen in turns")
    assert words in text


def write(folder: Path, **changes: t.Any) -> Path:
    """Write a bundle of one host that took turns, made from one of two hosts."""
    run = dataclasses.replace(Synthetic(blocks=8), **changes).write(folder)
    other = {"lab-linux": ("srv", "linux"), "lab-xen": ("srv+xen", "xen")}

    def moved(record: dict[str, t.Any], boot: bool) -> dict[str, t.Any]:
        host, system = other[record["host"]]
        return {**record, "host": host, **({"machine": "srv", "boot": system} if boot else {})}

    manifest = json.loads((run / "manifest.json").read_text())
    manifest["arms"] = [moved(arm, True) for arm in manifest["arms"]]
    (run / "manifest.json").write_text(json.dumps(manifest))
    for name in ("samples", "proofs", "blocks"):
        path = run / f"{name}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        text = "".join(json.dumps(moved(line, name == "blocks")) + "\n" for line in lines)
        path.write_text(text)
    for path in (run / "facts").glob("*.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "host": other[facts["host"]][0]}))
    return run


def turn(run: Path, boot: str, reason: str | None = None, elapsed_s: float = 75.0) -> None:
    line = {"run": run.name, "host": "srv", "boot": boot, "elapsed_s": elapsed_s, "reason": reason}
    with (run / "turns.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def texts(report: t.Mapping[str, t.Any], code: str) -> list[str]:
    return [note["text"] for note in report["notes"] if note["code"] == code]


def test_figures_are_those_of_two_hosts_and_the_report_says_that_it_is_one(tmp_path: Path) -> None:
    """Pairs are made by block; where the host ran both, no other bare is compared with."""
    run = write(tmp_path / "turns")
    turn(run, "xen")
    turn(run, "linux")
    report = build_report(load_bundle(run))
    plain = build_report(load_bundle(Synthetic(blocks=8).write(tmp_path / "two")))
    (text,) = texts(report, "alternating-boots")
    assert text.startswith("measured in alternating boots of one host: srv ran bare, docker, kvm")
    assert "xen-dom0, xen-pv, xen-pvh in Xen (srv+xen)" in text
    assert "2 times" in text and "2m30s" in text
    assert text in markdown.render(report).split("## What it was measured on")[1].split("##")[0]
    assert "measured in alternating boots of one host" in html.render(report)
    assert not texts(plain, "alternating-boots") and plain["turns"] == []

    def figures(of: t.Mapping[str, t.Any]) -> dict[tuple[str, str], float]:
        return {
            (scenario["scenario"], arm["arm"]): arm["ratio"]
            for scenario in of["scenarios"]
            for arm in scenario["arms"]
            if arm["ratio"] is not None
        }

    assert figures(report) and figures(report) == figures(plain)
    (pvh,) = [
        arm
        for scenario in report["scenarios"]
        if scenario["scenario"] == "cpu"
        for arm in scenario["arms"]
        if arm["arm"] == "xen-pvh"
    ]
    assert (pvh["host"], pvh["baseline_host"]) == ("srv+xen", "srv")
    assert np.isclose(pvh["ratio"], 0.71, rtol=0.05)
    assert "--nodes 1" in report["reproduce"]["measure"]
    assert "--nodes" not in plain["reproduce"]["measure"]


def test_blocks_without_a_counterpart_are_named(tmp_path: Path) -> None:
    run = write(tmp_path, finished=False)
    path = run / "blocks.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [line for line in lines if not (line["boot"] == "xen" and line["block"] > 6)]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    turn(run, "xen", "srv did not come back from its reboot into Xen")
    report = build_report(load_bundle(run))
    (text,) = texts(report, "unpaired-blocks")
    assert "blocks 7 and 8 without the part in Xen" in text or "7, 8" in text or "7–8" in text
    assert texts(report, "boot-failed") == [
        "srv was not booted into Xen: srv did not come back from its reboot into Xen"
    ]
    assert report["turns"][0]["unpaired"] == [{"boot": "xen", "blocks": [7, 8]}]
    assert report["run"]["blocks_finished"] == 6


def test_an_arm_that_was_never_measured_says_that_its_system_was_not_booted(tmp_path: Path) -> None:
    run = write(tmp_path, finished=False)
    path = run / "blocks.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(x) + "\n" for x in lines if x["boot"] == "linux"))
    turn(run, "xen", "srv is lost")
    arms = {arm["arm"]: arm for arm in build_report(load_bundle(run))["arms"]}
    assert arms["xen-pvh"]["state"] == "not measured"
    assert arms["xen-pvh"]["reason"] == "not booted into Xen: srv is lost"
    assert arms["kvm"]["state"] == "ok"


def test_a_joined_report_counts_the_boots_of_all_runs(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, run=f"20261124-10150{n}-ab12cd") for n, name in enumerate("ab")]
    for run in runs:
        turn(run, "xen")
        turn(run, "linux")
    report = build_report(join([load_bundle(run) for run in runs]))
    assert report["turns"][0]["boots"] == 4
    assert report["turns"][0]["unpaired"] == []


@pytest.mark.parametrize(
    ("boots", "nested", "left"),
    [
        ([], False, []),
        ([("xen", None)], False, ["srv"]),
        ([("xen", None), ("linux", None)], False, []),
        ([("xen", None), ("linux", "it is lost")], False, ["srv"]),
        # A lab's nodes are put back to their snapshot.
        ([("xen", None)], True, []),
    ],
)
def test_a_server_that_is_left_in_xen_is_named(
    tmp_path: Path, boots: list[tuple[str, str | None]], nested: bool, left: list[str]
) -> None:
    run = write(tmp_path, substrate="nested-tcg" if nested else "metal")
    for boot, reason in boots:
        turn(run, boot, reason)
    assert turns.left_in_xen(run) == left
    assert turns.left_in_xen(tmp_path / "no such run") == []


def test_a_run_of_one_node_is_resumed_on_one_node(tmp_path: Path) -> None:
    request = plans.load_request(write(tmp_path))
    assert request.nodes == 1
    assert plans.load_request(Synthetic().write(tmp_path / "two")).nodes is None
    assert "+xen" not in "".join(request.arms)
