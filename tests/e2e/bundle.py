# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds a bundle and its report against what a run should have left; prints what differs."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from vcompare_runner.bundle.gate_limits import OF_CONDITIONS


def refused_blocks(report: dict) -> dict[tuple[str, str], set[int]]:
    """By (arm, host), the blocks in which the machine did something else: nobody's fault, and rightly left out."""
    hosts: dict[str, set[str]] = {}
    for scenario in report["scenarios"]:
        for figure in scenario["arms"]:
            hosts.setdefault(figure["host"], set()).add(figure["arm"])
    found: dict[tuple[str, str], set[int]] = {}
    for gate in report["gates"]:
        for result in gate["results"] if gate["name"] in OF_CONDITIONS else ():
            if result["passed"] is False:
                for arm in [result["arm"]] if result["arm"] else hosts.get(result["host"], ()):
                    found.setdefault((arm, result["host"]), set()).add(result["block"])
    return found


def problems(bundle: Path, proven: set[str], refused: set[str], blocks: int) -> list[str]:
    """What is not as it should be, in words."""
    found = []
    for name in ("index.html", "report.md", "report.json", "samples.csv"):
        if not (bundle / "report" / name).is_file():
            found.append(f"there is no report/{name}")
    if found:
        return found
    report = json.loads((bundle / "report" / "report.json").read_text(encoding="utf-8"))
    arms = {arm["arm"]: arm for arm in report["arms"]}
    for arm in sorted(proven):
        if not arms.get(arm, {}).get("proven"):
            found.append(f"{arm} is not proven: {arms.get(arm, {}).get('reason')}")
        elif not arms[arm]["proofs"]:
            found.append(f"{arm} has no proofs")
    for arm in sorted(refused):
        if arms.get(arm, {}).get("proven"):
            found.append(f"{arm} is proven, and was broken")
        if not json.dumps(arms.get(arm, {})).strip("{}"):
            found.append(f"{arm} is not in the report")
    noisy = refused_blocks(report)
    for scenario in report["scenarios"]:
        for figure in scenario["arms"]:
            name = f"{scenario['scenario']} in {figure['arm']}"
            # An answer of yes or no may stand where a figure may not.
            left = blocks - len(noisy.get((figure["arm"], figure["host"]), ()))
            if figure["arm"] in proven and (
                not left <= figure["blocks"] <= blocks or (left and figure["median"] is None)
            ):
                found.append(f"{name}: {figure['blocks']} blocks, median {figure['median']}")
            if figure["arm"] in refused and figure["median"] is not None:
                found.append(f"{name} has the figure {figure['median']}, and was refused")
            if figure["arm"] == "bare" and figure["ratio"] not in (1, 1.0, None):
                found.append(f"{name}: bare is {figure['ratio']} times itself")
    html = (bundle / "report" / "index.html").read_text(encoding="utf-8")
    outside = re.findall(
        r"""(?:src|href)\s*=\s*["']?https?://[^"' >]*\.(?:js|css|png|svg|woff2?)""", html
    )
    if outside or "<script src" in html:
        found.append(f"the report wants the network: {outside}")
    for arm in sorted(proven | refused):
        if arm not in html:
            found.append(f"{arm} is not in index.html")
    return found


def main() -> int:
    """Print what differs; the exit code says whether anything does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--proven", required=True)
    parser.add_argument(
        "--ended",
        type=int,
        help="what the comparison ended with: 3 only where the machine did something else",
    )
    parser.add_argument("--refused", default="")
    parser.add_argument("--blocks", type=int, required=True)
    args = parser.parse_args()
    found = problems(
        args.bundle,
        set(args.proven.split(",")),
        {arm for arm in args.refused.split(",") if arm},
        args.blocks,
    )
    if args.ended not in (None, 0):
        index = args.bundle / "report" / "report.json"
        if (
            args.ended != 3
            or not index.is_file()
            or not refused_blocks(json.loads(index.read_text("utf-8")))
        ):
            found.append(f"the comparison ended with {args.ended}")
    for line in found:
        print(f"{args.bundle.name}: {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
