# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Bundles made up from known ratios, for tests: what went in is what statistics must find."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from pathlib import Path

import numpy as np

RUN = "20261124-101500-ab12cd"

METRICS: dict[str, tuple[str, str, str, float]] = {
    # scenario: (metric, unit, direction, figure of bare)
    "startup": ("time_to_first_reply", "s", "lower", 0.42),
    "cpu": ("events_per_second", "1/s", "higher", 4450.0),
    "memory-bandwidth": ("write_throughput", "MiB/s", "higher", 5210.0),
    "syscall": ("time_per_call", "ns", "lower", 1320.0),
    "fork": ("forks_per_second", "1/s", "higher", 610.0),
}

RATIOS: dict[str, dict[str, float]] = {
    "startup": {"docker": 3.1, "kvm": 21.0, "xen-dom0": 1.05, "xen-pv": 17.5, "xen-pvh": 24.0},
    "cpu": {"docker": 0.999, "kvm": 0.902, "xen-dom0": 0.73, "xen-pv": 0.626, "xen-pvh": 0.71},
    "memory-bandwidth": {
        "docker": 1.0,
        "kvm": 0.95,
        "xen-dom0": 0.81,
        "xen-pv": 0.77,
        "xen-pvh": 0.8,
    },
    "syscall": {"docker": 1.18, "kvm": 1.04, "xen-dom0": 2.9, "xen-pv": 3.4, "xen-pvh": 1.3},
    "fork": {"docker": 0.93, "kvm": 0.61, "xen-dom0": 0.34, "xen-pv": 0.29, "xen-pvh": 0.52},
}

HOST_OF = {
    "bare": "lab-linux",
    "bare-again": "lab-linux",
    "docker": "lab-linux",
    "kvm": "lab-linux",
}

PROOFS: dict[str, list[tuple[str, str, str]]] = {
    "bare-again": [("boot-id", "inside", "the host's")],
    "bare": [("hypervisor-flag", "inside", "as the host"), ("boot-id", "inside", "the host's")],
    "docker": [("boot-id", "inside", "the host's"), ("cgroup", "outside", "docker")],
    "kvm": [
        ("cpuid-signature", "inside", "KVMKVMKVM"),
        ("dominfo", "outside", "kvm"),
        ("boot-id", "inside", "its own"),
    ],
}


def host_of(arm: str) -> str:
    return HOST_OF.get(arm, "lab-xen")


def proofs_of(arm: str) -> list[tuple[str, str, str]]:
    return PROOFS.get(arm, [("hypervisor-type", "inside", "xen"), ("xl-list", "outside", arm)])


@dataclasses.dataclass
class Synthetic:
    """What the bundle shall hold. Change fields, then ``write`` it."""

    arms: tuple[str, ...] = ("bare", "docker", "kvm", "xen-dom0", "xen-pv", "xen-pvh")
    scenarios: tuple[str, ...] = tuple(METRICS)
    blocks: int = 7
    iterations: int = 3
    seed: int = 20261124
    noise: float = 0.02
    drift: float = 0.10
    run: str = RUN
    substrate: str = "nested-tcg"
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    unplanned: dict[str, str] = dataclasses.field(default_factory=dict)
    lost: dict[str, str] = dataclasses.field(default_factory=dict)
    finished: bool = True
    # scenario → arm → what the arm's figure is of bare's.
    ratios: t.Mapping[str, t.Mapping[str, float]] = dataclasses.field(
        default_factory=lambda: RATIOS
    )
    # What the manifest declares under ``claims``; none, as bundles of old had it.
    claims: dict[str, t.Any] | None = None

    def manifest(self) -> dict[str, t.Any]:
        nested = self.substrate != "metal"
        acceleration = {
            "accel": "tcg" if self.substrate == "nested-tcg" else "kvm",
            "reason": "the host's CPU has no hardware virtualisation",
            "remedy": "Take a machine that has it." if self.lost else "",
            "refused_arms": [{"arm": arm, "reason": why} for arm, why in self.lost.items()],
            "rungs": [
                {
                    "name": "cpu_flags",
                    "holds": False,
                    "detail": "neither svm nor vmx in /proc/cpuinfo",
                },
                {
                    "name": "dev_kvm",
                    "holds": True,
                    "detail": "/dev/kvm opens; this alone proves nothing",
                },
                {
                    "name": "boot",
                    "holds": False,
                    "detail": "the lab's kernel did not boot with KVM within 60 s",
                },
            ],
        }
        return {
            "schema": 1,
            "run": self.run,
            "created_at": "2026-11-24T10:15:00Z",
            "finished_at": "2026-11-24T10:51:12Z" if self.finished else None,
            "profile": {
                "name": "quick",
                "blocks": self.blocks,
                "iterations": self.iterations,
                "seconds": 2,
                "scenarios": list(self.scenarios),
            },
            "seed": self.seed,
            "arms": [
                {
                    "arm": arm,
                    "host": host_of(arm),
                    "substrate": self.substrate,
                    "planned": arm not in self.unplanned,
                    "reason": self.unplanned.get(arm),
                }
                for arm in (*self.arms, *self.unplanned)
            ],
            "lab": {
                "name": "default",
                "nested": True,
                "substrate": self.substrate,
                "acceleration": acceleration,
            }
            if nested
            else {"nested": False},
            "image": {
                "schema": 1,
                "digest": "sha256:" + "5f" * 32,
                "reference": "vcompare/guest:5f5f5f5f5f5f",
                "release": "bookworm",
                "kernel": "6.1.0-25-amd64",
                "layer_diff_id": "sha256:" + "7a" * 32,
                "packages": {
                    "sysbench": "1.0.20+ds-5",
                    "linux-perf": "6.1.106-3",
                    "redis-server": "5:7.0.15-1",
                },
            },
            "instance": {"vcpus": 1, "memory_mib": 256},
            **({"claims": self.claims} if self.claims is not None else {}),
            "versions": {
                "vcompare": "0.1.0",
                "ansible_core": "2.19.4",
                "python": "3.11.2",
                "controller": "Debian GNU/Linux 12",
            },
        }

    def facts(self, host: str) -> dict[str, t.Any]:
        return {
            "host": host,
            "kernel": "6.1.0-25-amd64",
            "cpu_model": "QEMU TCG CPU version 2.5+",
            "cpu_count": 2,
            "memory_mib": 3900,
            "substrate": self.substrate,
            "clocksource": "xen" if host == "lab-xen" else "tsc",
            "mitigations": "off",
            "os": "Debian GNU/Linux 12 (bookworm)",
            "versions": {"docker": "20.10.24", "libvirt": "9.0.0", "qemu": "7.2.9"}
            if host == "lab-linux"
            else {"xen": "4.17.3"},
            "boot_id": "0d0f1d2c-0000-4000-8000-000000000000",
            "cmdline": "root=/dev/vda1 ro console=ttyS0",
        }

    def sample(
        self, block: int, order: int, arm: str, scenario: str, iteration: int, value: float
    ) -> dict[str, t.Any]:
        metric, unit, direction, _bare = METRICS[scenario]
        raw = f"{self.run} {block} {arm} {scenario} {iteration}"
        return {
            "schema": 1,
            "run": self.run,
            "block": block,
            "order": order,
            "host": host_of(arm),
            "arm": arm,
            "variant": "minimal",
            "scenario": scenario,
            "metric": metric,
            "unit": unit,
            "direction": direction,
            "value": value,
            "iteration": iteration,
            "warmup": iteration == 0,
            "status": "ok",
            "reason": None,
            "started_at": f"2026-11-24T10:{15 + block:02d}:00.123Z",
            "host_elapsed_s": 2.01,
            "guest_elapsed_s": 2.0,
            "evidence": hashlib.sha256(raw.encode()).hexdigest(),
        }

    def lines(
        self,
    ) -> tuple[list[dict[str, t.Any]], list[dict[str, t.Any]], list[dict[str, t.Any]]]:
        """Return samples, proofs and blocks."""
        rng = np.random.default_rng(self.seed)
        samples: list[dict[str, t.Any]] = []
        proofs: list[dict[str, t.Any]] = []
        blocks: list[dict[str, t.Any]] = []
        for block in range(1, self.blocks + 1):
            # The whole machine is slower or faster in a block: pairing has to cancel it.
            slow = float(np.exp(rng.normal(0, self.drift)))
            for host in sorted({host_of(arm) for arm in self.arms}):
                arms = [arm for arm in self.arms if host_of(arm) == host]
                outcomes = []
                for order, arm in enumerate(arms, start=1):
                    status = (
                        "refused"
                        if arm in self.refused
                        else "failed"
                        if arm in self.failed
                        else "ok"
                    )
                    reason = self.refused.get(arm) or self.failed.get(arm)
                    outcomes.append({"arm": arm, "status": status, "reason": reason})
                    proofs.append(self._proof(block, arm, status == "refused", reason))
                    for scenario in self.scenarios:
                        direction, bare = METRICS[scenario][2:]
                        true = (
                            bare
                            * self.ratios[scenario].get(arm, 1.0)
                            * (slow if direction == "lower" else 1 / slow)
                        )
                        once = scenario == "startup"
                        for iteration in range(1) if once else range(self.iterations + 1):
                            value = true * float(np.exp(rng.normal(0, self.noise)))
                            record = self.sample(block, order, arm, scenario, iteration, value)
                            record["warmup"] = not once and iteration == 0
                            if status != "ok":
                                record |= {
                                    "value": None,
                                    "status": status,
                                    "reason": reason,
                                    "evidence": None,
                                }
                            samples.append(record)
                blocks.append(
                    {
                        "run": self.run,
                        "block": block,
                        "host": host,
                        "arms": outcomes,
                        "order": arms,
                        "controller_elapsed_s": 61.2,
                        "host_elapsed_s": 61.1,
                        "started_at": f"2026-11-24T10:{15 + block:02d}:00Z",
                    }
                )
        return samples, proofs, blocks

    def _proof(self, block: int, arm: str, refused: bool, reason: str | None) -> dict[str, t.Any]:
        proofs = [
            {
                "name": name,
                "source": source,
                "expected": expected,
                "observed": expected,
                "holds": True,
            }
            for name, source, expected in proofs_of(arm)
        ]
        if refused:
            proofs[0] |= {"observed": "TCGTCGTCGTCG", "holds": False}
        return {
            "run": self.run,
            "block": block,
            "host": host_of(arm),
            "arm": arm,
            "proven": not refused,
            "reason": reason if refused else None,
            "proofs": proofs,
        }

    def write(self, folder: Path) -> Path:
        """Write the bundle below ``folder``; return its folder."""
        root = folder / self.run
        (root / "facts").mkdir(parents=True)
        samples, proofs, blocks = self.lines()
        (root / "manifest.json").write_text(json.dumps(self.manifest(), indent=1))
        for host in {host_of(arm) for arm in self.arms}:
            (root / "facts" / f"{host}.json").write_text(json.dumps(self.facts(host)))
        for name, records in (("samples", samples), ("proofs", proofs), ("blocks", blocks)):
            write_lines(root / f"{name}.jsonl", records)
        return root


def write_lines(path: Path, records: t.Iterable[dict[str, t.Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def read_lines(path: Path) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
