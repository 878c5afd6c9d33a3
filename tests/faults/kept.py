# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds a run that a fault struck against what it had before: no finished block may be lost or be there twice."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def lines(path: Path) -> list[str]:
    """The lines of a file, without their ends; none where it is not there."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def problems(run: Path, before: Path, blocks: int, may_fail: set[str]) -> list[str]:
    """What is not as it should be, in words."""
    found = []
    for name in ("blocks.jsonl", "samples.jsonl", "proofs.jsonl"):
        had, has = lines(before / name), lines(run / name)
        lost = [line for line in had if line not in set(has)]
        if lost:
            found.append(f"{name}: {len(lost)} of {len(had)} lines are lost: {lost[0][:100]}")
    had_blocks = len(lines(before / "blocks.jsonl"))
    if not had_blocks:
        found.append("nothing was finished before the fault, so that nothing is shown")
    records = [json.loads(line) for line in lines(run / "blocks.jsonl")]
    places = [(record["block"], record["host"]) for record in records]
    if len(set(places)) != len(places):
        found.append(f"blocks are there twice: {sorted(places)}")
    for host in {host for _block, host in places}:
        numbers = sorted(block for block, where in places if where == host)
        if numbers != list(range(1, blocks + 1)):
            found.append(f"{host} has the blocks {numbers}, and not 1 to {blocks}")
    for record in records:
        for arm in record["arms"]:
            name = f"{arm['arm']} in block {record['block']}"
            if arm["status"] != "ok":
                print(f"{name}: {arm['status']}: {arm.get('reason')}")
                if arm["arm"] not in may_fail:
                    found.append(f"{name} is {arm['status']}: {arm.get('reason')}")
                elif not arm.get("reason"):
                    found.append(f"{name} is {arm['status']} without a reason")
    if not (run / "report" / "index.html").is_file():
        found.append("there is no report")
    print(
        f"{run.name}: {had_blocks} blocks were finished before the fault, {len(records)} are there"
    )
    return found


def main() -> int:
    """Print what differs; the exit code says whether anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--blocks", type=int, required=True)
    parser.add_argument("--may-fail", default="", help="arms that the fault may have cost a block")
    args = parser.parse_args()
    may_fail = {arm for arm in args.may_fail.split(",") if arm}
    found = problems(args.run, args.before, args.blocks, may_fail)
    for line in found:
        print(f"WRONG: {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
