# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds a report against what a run beside noise may say: nothing decided, and the gate that saw the noise."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

OPEN = ("REFUSED", "INCONCLUSIVE")


def main() -> int:
    """Print the verdicts, and what is wrong with them; the exit code says whether anything is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--claims", required=True)
    parser.add_argument("--gate", required=True)
    args = parser.parse_args()
    report = json.loads((args.bundle / "report" / "report.json").read_text(encoding="utf-8"))
    claims = {claim["id"]: claim for claim in report["claims"]}
    gate = next(gate for gate in report["gates"] if gate["name"] == args.gate)
    wrong = []
    for name in args.claims.split(","):
        claim = claims[name]
        print(f"{name}: {claim['verdict']}: {claim['sentence']}")
        if claim["verdict"] not in OPEN:
            wrong.append(f"{name} is {claim['verdict']}, and was measured beside noise")
    print(f"{gate['name']}: refused {gate['refused']} of {gate['judged']}")
    if not gate["refused"]:
        wrong.append(f"the gate {gate['name']} saw nothing")
    for line in wrong:
        print(f"{args.bundle.name}: WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
