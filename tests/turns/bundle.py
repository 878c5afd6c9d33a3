# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds a bundle of one node that took turns against how its blocks must have been measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def problems(bundle: Path, blocks: int) -> list[str]:
    """What is not as it should be, in words."""
    found = []
    lines = [json.loads(line) for line in (bundle / "blocks.jsonl").read_text().splitlines()]
    steps = [(line["block"], line["boot"]) for line in lines]
    # One group: all of it in Linux, then all of it in Xen.
    expected = [(block, boot) for boot in ("linux", "xen") for block in range(1, blocks + 1)]
    if steps != expected:
        found.append(f"measured {steps} instead of {expected}")
    boots = {line["clocks"]["host"]["boot_id"]: line["boot"] for line in lines}
    if set(boots.values()) != {"linux", "xen"} or {line["machine"] for line in lines} != {
        "lab-linux"
    }:
        found.append(f"the two systems were not two boots of one node: {boots}")
    names = {"linux": "lab-linux", "xen": "lab-linux+xen"}
    if any(line["host"] != names[line["boot"]] for line in lines):
        found.append("a block is under the name of the other system")
    turns = [json.loads(line) for line in (bundle / "turns.jsonl").read_text().splitlines()]
    if not turns or turns[0]["boot"] != "xen" or turns[-1]["boot"] != "linux":
        found.append(
            f"the node was not booted into Xen and back: {[turn['boot'] for turn in turns]}"
        )
    if any(turn["reason"] for turn in turns):
        found.append("a boot failed")
    versions = {
        host: json.loads((bundle / "facts" / f"{host}.json").read_text())["versions"].get("xen")
        for host in names.values()
    }
    if not versions["lab-linux+xen"]:
        found.append("the facts of the node in Xen have no version of Xen")
    report = json.loads((bundle / "report" / "report.json").read_text())
    if [note["code"] for note in report["notes"]].count("alternating-boots") != 1:
        found.append("the report does not say that it is one host")
    pvh = [
        arm
        for scenario in report["scenarios"]
        for arm in scenario["arms"]
        if arm["arm"] == "xen-pvh" and arm["ratio"] is not None
    ]
    if not pvh or any(arm["baseline_host"] != "lab-linux" for arm in pvh):
        found.append("Xen's arm is not compared with bare of the same node")
    print(f"boots: {[(turn['boot'], turn['elapsed_s']) for turn in turns]}")
    return found


if __name__ == "__main__":
    differences = problems(Path(sys.argv[1]), int(sys.argv[2]))
    print("\n".join(differences))
    sys.exit(1 if differences else 0)
