# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Gives a made-up bundle what the measuring side adds: raw texts, conditions, clocks, and the chain."""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle
from synthetic import read_lines

Record = dict[str, t.Any]
# Changes what is known of one block: (line of the block) → None.
Change = t.Callable[[Record], None]

TRANSFER_S = 7.0


def conditions(cpu: float = 0.1) -> Record:
    """A quiet turn of ten seconds on two CPUs."""
    return {
        "wall_s": 10.0, "cpus": 2, "busy_s": 9.0, "steal_s": 0.0, "swapped_pages": 0,
        "pressure_s": {"cpu": 10 * cpu, "io": 0.2, "memory": 0.0}, "quiet_cpus": 0.05,
    }  # fmt: skip


def controller() -> Record:
    """A quiet controller that carries two nodes."""
    return {
        "wall_s": 70.0, "cpus": 2, "steal_s": 0.0, "swapped_pages": 0, "nodes_here": 2,
        "pressure_s": {"cpu": 30.0, "io": 0.5, "memory": 0.0}, "busy_cpus": 1.6,
        "busy_nodes_cpus": 1.5, "busy_own_cpus": 0.05, "busy_foreign_cpus": 0.05, "load1": 1.9,
    }  # fmt: skip


def clocks(block: int, rate: float = 1.0) -> Record:
    """A block a hundred seconds after the one before, with some seconds of transfer before it."""
    sent = 1000.0 + 100.0 * block
    began = 50.0 + rate * (sent + TRANSFER_S - 0.3 * (block % 5))
    return {
        "host": {"boot_id": "h", "began_s": began, "ended_s": began + rate * 61.1},
        "controller": {
            "boot_id": "c",
            "sent_s": sent,
            "received_s": sent + TRANSFER_S + 62.0,
            "sent_at_s": 1.7e9 + sent,
        },
    }


def measured_side(line: Record) -> None:
    """Add conditions and clocks as they are when nothing is wrong."""
    for arm in line["arms"]:
        arm["conditions"] = conditions()
        arm["clock"] = {"instance_s": 20.0, "host_least_s": 19.99, "host_most_s": 20.05}
    line["controller"] = controller()
    line["clocks"] = clocks(line["block"])


def chain_up(folder: Path, change: Change = lambda line: None) -> Path:
    """Write the bundle again by the collection's own writer, with all that this adds.

    :param change: called for each block's line before it is written.
    """
    read = {name: read_lines(folder / f"{name}.jsonl") for name in ("samples", "proofs", "blocks")}
    for name in read:
        (folder / f"{name}.jsonl").unlink()
    for sub in ("raw", "events"):
        (folder / sub).mkdir(exist_ok=True)
    bundle = Bundle(folder)
    for line in read["blocks"]:
        place = (line["block"], line["host"])
        samples = [each for each in read["samples"] if (each["block"], each["host"]) == place]
        raw = {}
        for number, sample in enumerate(samples):
            text = f"{place} {number} {sample['arm']}\n"
            sample["evidence"] = hashlib.sha256(text.encode()).hexdigest()
            raw[sample["evidence"]] = text
        extra = f"clocks of {place}\n"
        raw[hashlib.sha256(extra.encode()).hexdigest()] = extra
        measured_side(line)
        change(line)
        bundle.append(
            {
                **line,
                "samples": samples,
                "proofs": [p for p in read["proofs"] if (p["block"], p["host"]) == place],
                "raw": raw,
                "host_monotonic_s": line["clocks"]["host"],
            },
            line["controller_elapsed_s"],
            line["controller"],
            line["clocks"]["controller"],
        )
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["finished_at"]:
        manifest["last_block_sha256"] = read_lines(folder / "blocks.jsonl")[-1]["sha256"]
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
