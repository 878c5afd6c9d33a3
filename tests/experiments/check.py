# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds the experiments of a run against what each must have left; prints what differs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

_YES: tuple[float, float] = (1, 1)
_NO: tuple[float, float] = (0, 0)
_START: tuple[float, float] = (0.01, 3600)
# Not above what it has alone, but for noise.
_KEPT: tuple[float, float] = (0.0, 1.5)
_SLOWED: tuple[float, float] = (0.1, 1000.0)
_LIMITS = ("default-limits", "explicit-limits")
Bounds = dict[str, tuple[float, float] | None]
# Smallest and largest value of each metric, by scenario; None: it must be refused, with a reason.
_ALL: dict[str, Bounds] = {
    "startup": {"time_to_first_reply": _START},
    "memory-latency": {"time_per_access": (0.1, 1e6)},
    "memcached": {"requests_per_second": (1, 1e7)},
    "footprint": {
        "host_memory": (0.1, 1000),
        "marginal_memory": (0.1, 1000),
        "processes": (1, 500),
        "idle_cpu": (1e-6, 2),
    },
    "disk": dict.fromkeys(
        ("sequential_read_throughput", "random_read_rate", "sequential_write_throughput"),
        (0.01, 1e6),
    ),
    "network": dict.fromkeys(("throughput", "round_trip_time"), (0.01, 1e6)),
    "churn": {
        "no_cycle_failed": _YES,
        "nothing_left_over": _YES,
        "cycles_per_second": (1e-4, 100),
        "burst_start_time": _START,
    },
    "isolation": {
        **{
            f"{metric}_beside_{hog}/{limits}": bounds
            for metric, bounds in (("kept", _KEPT), ("reply_time", _SLOWED))
            for hog, variants in (
                *((each, _LIMITS) for each in ("cpu_hog", "memory_eater", "fork_bomb")),
                *((each, _LIMITS[:1]) for each in ("disk_hog", "network_hog")),
            )
            for limits in variants
        },
    },
    "ten-apps": {
        "total_start_time": (0.1, 36000),
        "aggregate_throughput": (1, 1e7),
        "fairness": (0.01, 1),
    },
    "delivery": {
        "no_request_failed": _YES,
        "update_time": (0.1, 3600),
        "scale_out_time": (0.1, 3600),
    },
    "image-history": {
        # The state alone is 4 MiB.
        "bytes_per_commit": (4 << 20, 16 << 20),
        "commit_time": (0.001, 600),
        "history_listed": _YES,
        "rolled_back": _YES,
        "same_digest_elsewhere": _YES,
    },
    "image-build": {
        "build_time": _START,
        "rebuild_time": _START,
        "recipe_lines": (2, 50),
        "same_result_twice": _YES,
    },
    "consistency": {"same_digest": _YES, "same_facts": _YES, "drift_found": _YES},
    "cold-start": {"time_to_first_reply": _START},
    "full-start": {"time_to_first_reply": _START},
    # A lab of two nodes has no second host.
    "pool": dict.fromkeys(("all_hosts_filled", "moved_alive", "placed_again")),
    "containment": {"host_functions_reached": (50, 20000)},
}
_CONTAINER: dict[str, Bounds] = {
    "containment": {
        "own_kernel": _NO,
        "host_facts_visible": (1, 20),
        "host_calls_permitted": (100, 381),
        "host_survives_crash": None,
    },
    "snapshots": {"memory_restored": None},
    "two-kernels": {"kernels_differ": _NO},
    "os-variety": {
        "boots_other_release": _YES,
        "boots_other_kernel": _NO,
        "boots_other_system": _NO,
    },
}
_MACHINE: dict[str, Bounds] = {
    "containment": {
        "own_kernel": _YES,
        "host_facts_visible": _NO,
        "host_calls_permitted": _NO,
        "host_survives_crash": _YES,
    },
    "snapshots": {"memory_restored": _YES, "state_restored": _YES},
    "two-kernels": {"kernels_differ": _YES},
    "os-variety": {
        "boots_other_release": _YES,
        "boots_other_kernel": _YES,
        # Xen's guests without firmware start nothing but kernels that know them.
        "boots_other_system": (0, 1),
    },
}


def expected(arm: str, scenario: str) -> Bounds:
    """Bounds of a scenario's metrics in an arm."""
    of_kind = _CONTAINER if arm in ("docker", "podman") else _MACHINE
    return _ALL.get(scenario, {}) | of_kind.get(scenario, {})


def problems(bundle: Path, arm: str, scenarios: list[str]) -> list[str]:
    """What is not as it should be, in words."""
    lines = (bundle / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [sample for sample in map(json.loads, lines) if sample["arm"] == arm]
    found = []
    for scenario in scenarios:
        bounds_of = expected(arm, scenario)
        if not bounds_of:
            found.append(f"nothing is known of {scenario}: say in {__file__} what it must give")
        for name, bounds in bounds_of.items():
            metric, _slash, variant = name.partition("/")
            mine = [
                one
                for one in samples
                if (one["scenario"], one["metric"], one["variant"])
                == (scenario, metric, variant or "minimal")
            ]
            if not mine:
                found.append(f"{arm}: no sample of {scenario}/{name}")
            for sample in mine:
                value, status = sample["value"], sample["status"]
                said = f"{arm}: {scenario}/{name} is {value}, {status} ({sample['reason']})"
                if bounds is None:
                    if status != "refused" or not sample["reason"]:
                        found.append(f"{said}, not refused")
                elif status != "ok" or not bounds[0] <= value <= bounds[1]:
                    found.append(said)
    return found


def main() -> int:
    """Print what differs; the exit code says whether anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--arms", required=True, help="names, with commas between them")
    parser.add_argument("--scenarios", required=True, help="names, with commas between them")
    arguments = parser.parse_args()
    scenarios = arguments.scenarios.split(",")
    found = [
        each
        for arm in arguments.arms.split(",")
        for each in problems(arguments.bundle, arm, scenarios)
    ]
    print("\n".join(found) or "the experiments are as they should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
