# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The same noise through real bundles: written to disk, loaded, analysed as for a report.

The figures of ``study.py`` begin at block values. Here whole files are read, so that what lies
before (parsing, which samples count, warm-up, median of iterations, pairing) is in it too: every
interval of ``analyse`` has to be the one that the drawn values have.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
import typing as t
from pathlib import Path

import numpy as np

from vcompare_runner._contract.arms import ARMS, BARE
from vcompare_runner.analysis.statistics import MIN_PAIRS, ScenarioFigures, analyse, order
from vcompare_runner.analysis.statistics.inference import LEVEL
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.calibrate.cases import Case, Size
from vcompare_runner.calibrate.study import SPREAD, generator

RUN = "20000101-000000-000000"
HOST = "synthetic"
SCENARIOS: t.Mapping[str, tuple[str, str, str, float]] = {
    "startup": ("time_to_first_reply", "s", "lower", 0.4),
    "cpu": ("events_per_second", "1/s", "higher", 4000.0),
    "syscall": ("time_per_call", "ns", "lower", 1300.0),
    "fork": ("forks_per_second", "1/s", "higher", 600.0),
}
BLOCKS = 10

# Numbers are written as JSON with all their digits, and come back through exp and log.
_SAME = 1e-9


@dataclasses.dataclass(frozen=True)
class DiskFigure:
    """What came back from bundles on disk.

    :param intervals: how many intervals the reports have.
    :param differ: how many of them are not the ones of the drawn values (more than 1e-9 away).
    :param held: share that holds the truth, for information.
    """

    case: str
    bundles: int
    intervals: int
    differ: int
    held: float

    @property
    def holds(self) -> bool:
        """Say whether all intervals came back, and there were some."""
        return self.intervals > 0 and self.differ == 0


def through_files(case: Case, bundles: int, seed: int) -> DiskFigure:
    """Write bundles, load and analyse them, and compare each interval with the drawn values."""
    rng = generator(seed, "disk", case.name)
    counts = np.zeros(3, dtype=np.int64)
    for _number in range(bundles):
        drawn = {
            scenario: case.draw(rng, Size(1, BLOCKS, len(ARMS)), SPREAD)[0]
            for scenario in SCENARIOS
        }
        half = rng.permutation(np.arange(1, BLOCKS + 1))[: BLOCKS // 2]
        lost: list[int] = half.tolist() if case.loses_half else []
        with tempfile.TemporaryDirectory(prefix="vcompare-calibrate-") as folder:
            write_bundle(Path(folder), drawn, rng, lost)
            figures = analyse(load_bundle(Path(folder)))
        counts += _compare(figures, drawn, lost)
    intervals, differ, held = (int(count) for count in counts)
    return DiskFigure(case.name, bundles, intervals, differ, held / max(1, intervals))


def _compare(
    figures: t.Sequence[ScenarioFigures],
    drawn: t.Mapping[str, np.ndarray],
    lost: t.Collection[int],
) -> tuple[int, int, int]:
    """Return how many intervals there are, how many differ from the drawn values', how many hold."""
    intervals = differ = held = 0
    for scenario in figures:
        values = drawn[scenario.scenario]
        for arm in scenario.arms:
            if arm.arm == BARE:
                continue
            number = ARMS.index(arm.arm)
            kept = [block for block in range(BLOCKS) if number != 1 or block + 1 not in lost]
            found = arm.comparison.interval if arm.comparison else None
            if found is None:
                # Right where too few blocks are left: no interval is counted then.
                differ += len(kept) >= MIN_PAIRS
                continue
            ends = order.bounds(values[kept, number] - values[kept, 0], LEVEL)
            intervals += 1
            differ += not np.allclose(np.log([found.low, found.high]), ends, rtol=0, atol=_SAME)
            held += found.low <= 1.0 <= found.high
    return intervals, differ, held


def write_bundle(
    folder: Path,
    drawn: t.Mapping[str, np.ndarray],
    rng: np.random.Generator,
    lost: t.Collection[int] = (),
) -> None:
    """Write a bundle as a run would.

    :param drawn: scenario → logarithms of block values, shape (blocks, arms), bare first.
    :param lost: blocks in which the second arm failed before it measured anything.
    """
    blocks = len(next(iter(drawn.values())))
    samples, proofs, lines = [], [], []
    for block in range(1, blocks + 1):
        outcomes = []
        for number, arm in enumerate(ARMS):
            failed = number == 1 and block in lost
            reason = "lost on purpose" if failed else None
            outcomes.append({"arm": arm, "status": "failed" if failed else "ok", "reason": reason})
            proofs.append(_proof(block, arm))
            if failed:
                continue
            for scenario, values in drawn.items():
                value = math.exp(float(values[block - 1, number])) * SCENARIOS[scenario][3]
                samples += [
                    _sample(block, number, arm, scenario, iteration, value * factor)
                    for iteration, factor in enumerate(_iterations(rng))
                ]
        lines.append(
            {"run": RUN, "block": block, "host": HOST, "arms": outcomes, "order": list(ARMS)}
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(_manifest(blocks, list(drawn))))
    for name, records in (("samples", samples), ("proofs", proofs), ("blocks", lines)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text)


def _iterations(rng: np.random.Generator) -> list[float]:
    """Return factors of a warm-up and of three iterations, whose median is 1.

    Each arm has its own in each block: a warm-up that counts, or a mean for a median, would not
    cancel in the ratio.
    """
    warm_up, around = math.exp(rng.normal(0.0, 1.0)), abs(float(rng.normal(0.0, 0.1)))
    return [warm_up, *rng.permutation([math.exp(-around), 1.0, math.exp(3 * around)]).tolist()]


def _manifest(blocks: int, scenarios: list[str]) -> dict[str, t.Any]:
    return {
        "schema": 1,
        "run": RUN,
        "created_at": "2000-01-01T00:00:00Z",
        "finished_at": "2000-01-01T01:00:00Z",
        "profile": {"name": "calibrate", "blocks": blocks, "scenarios": scenarios},
        "seed": 1,
        "arms": [
            {"arm": arm, "host": HOST, "substrate": "metal", "planned": True, "reason": None}
            for arm in ARMS
        ],
        "lab": {"nested": False},
    }


def _proof(block: int, arm: str) -> dict[str, t.Any]:
    return {"run": RUN, "block": block, "host": HOST, "arm": arm, "proven": True, "reason": None}


def _sample(
    block: int, place: int, arm: str, scenario: str, iteration: int, value: float
) -> dict[str, t.Any]:
    metric, unit, direction, _typical = SCENARIOS[scenario]
    return {
        "schema": 1,
        "run": RUN,
        "block": block,
        "order": place + 1,
        "host": HOST,
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
        "started_at": None,
        "host_elapsed_s": None,
        "guest_elapsed_s": None,
        "evidence": None,
    }
