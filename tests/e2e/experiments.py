# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds the experiments of a run against what each must have left; prints what differs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

_KEPT = [
    f"kept_beside_{hog}/{limits}"
    for hog in ("cpu_hog", "memory_eater", "fork_bomb")
    for limits in ("default-limits", "explicit-limits")
]
_KEPT += ["kept_beside_disk_hog/default-limits", "kept_beside_network_hog/default-limits"]
_ALSO_BARE = [
    f"{metric}/minimal"
    for metric in (
        "sequential_read_throughput",
        "random_read_rate",
        "sequential_write_throughput",
        "throughput",
        "round_trip_time",
    )
]
# Smallest and largest value of each metric; None: it must be refused, with a reason.
_ANY: dict[str, tuple[float, float] | None] = {
    "host_memory/minimal": (0.1, 1000),
    "marginal_memory/minimal": (0.1, 1000),
    "processes/minimal": (1, 500),
    "no_cycle_failed/minimal": (1, 1),
    "nothing_left_over/minimal": (1, 1),
    "cycles_per_second/minimal": (1e-4, 100),
    "burst_start_time/minimal": (0.01, 3600),
    "idle_cpu/minimal": (1e-6, 2),
    **dict.fromkeys(_ALSO_BARE, (0.01, 1e6)),
    "host_functions_reached/minimal": (50, 20000),
    # The state alone is 4 MiB.
    "bytes_per_commit/minimal": (4 << 20, 16 << 20),
    "commit_time/minimal": (0.001, 600),
    "history_listed/minimal": (1, 1),
    "rolled_back/minimal": (1, 1),
    "same_digest_elsewhere/minimal": (1, 1),
    "build_time/minimal": (0.01, 3600),
    "rebuild_time/minimal": (0.01, 3600),
    "recipe_lines/minimal": (2, 50),
    "same_result_twice/minimal": (1, 1),
    "same_digest/minimal": (1, 1),
    # Of startup, full-start and cold-start.
    "time_to_first_reply/minimal": (0.01, 3600),
    "same_facts/minimal": (1, 1),
    "drift_found/minimal": (1, 1),
    "total_start_time/minimal": (0.1, 36000),
    "aggregate_throughput/minimal": (1, 1e7),
    "fairness/minimal": (0.01, 1),
    "no_request_failed/minimal": (1, 1),
    "update_time/minimal": (0.1, 3600),
    "scale_out_time/minimal": (0.1, 3600),
    # A lab of two nodes has no second host.
    "all_hosts_filled/minimal": None,
    "moved_alive/minimal": None,
    "placed_again/minimal": None,
    # Not above what it has alone, but for noise.
    **dict.fromkeys(_KEPT, (0.0, 1.5)),
}
_CONTAINER: dict[str, tuple[float, float] | None] = {
    "own_kernel/minimal": (0, 0),
    "host_facts_visible/minimal": (1, 20),
    "host_survives_crash/minimal": None,
    "memory_restored/minimal": None,
    "kernels_differ/minimal": (0, 0),
    "boots_other_release/minimal": (1, 1),
    "boots_other_kernel/minimal": (0, 0),
    "boots_other_system/minimal": (0, 0),
}
_MACHINE: dict[str, tuple[float, float] | None] = {
    "own_kernel/minimal": (1, 1),
    "host_facts_visible/minimal": (0, 0),
    "host_survives_crash/minimal": (1, 1),
    "memory_restored/minimal": (1, 1),
    "state_restored/minimal": (1, 1),
    "kernels_differ/minimal": (1, 1),
    "boots_other_release/minimal": (1, 1),
    "boots_other_kernel/minimal": (1, 1),
    # Xen's guests without firmware start nothing but kernels that know them.
    "boots_other_system/minimal": (0, 1),
}


def problems(bundle: Path, arm: str) -> list[str]:
    """What is not as it should be, in words."""
    lines = (bundle / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [sample for sample in map(json.loads, lines) if sample["arm"] == arm]
    found = []
    for name, bounds in (_ANY | (_CONTAINER if arm == "docker" else _MACHINE)).items():
        mine = [one for one in samples if f"{one['metric']}/{one['variant']}" == name]
        if not mine:
            found.append(f"{arm}: no sample of {name}")
        for sample in mine:
            value, status = sample["value"], sample["status"]
            if bounds is None:
                if status != "refused" or not sample["reason"]:
                    found.append(f"{arm}: {name} is {status} ({sample['reason']}), not refused")
            elif status != "ok" or not bounds[0] <= value <= bounds[1]:
                found.append(f"{arm}: {name} is {value}, {status} ({sample['reason']})")
    return found


def main() -> int:
    """Print what differs; the exit code says whether anything does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--arms", required=True)
    arguments = parser.parse_args()
    found = [each for arm in arguments.arms.split(",") for each in problems(arguments.bundle, arm)]
    print("\n".join(found) or "the experiments are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
