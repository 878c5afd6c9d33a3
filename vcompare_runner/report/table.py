# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``samples.csv``: every sample of the bundle, with whether it counts and why not."""

from __future__ import annotations

import csv
import typing as t
from pathlib import Path

from vcompare_runner.samples import STATUS_NAMES, SampleTable

HEADER = [
    "run",
    "block",
    "order",
    "host",
    "arm",
    "variant",
    "scenario",
    "metric",
    "unit",
    "direction",
    "value",
    "iteration",
    "warmup",
    "status",
    "reason",
    "started_at",
    "host_elapsed_s",
    "guest_elapsed_s",
    "evidence",
    "used",
    "why_not",
]


def write_samples(samples: SampleTable, path: Path) -> None:
    """Write the table. A missing value is an empty cell."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(_rows(samples))
    temporary.replace(path)


def _rows(samples: SampleTable) -> t.Iterator[tuple[t.Any, ...]]:
    values = samples.value.tolist()
    has_value = samples.has_value.tolist()
    columns = zip(
        samples.run,
        samples.block.tolist(),
        samples.order,
        samples.series.tolist(),
        samples.iteration.tolist(),
        samples.warmup.tolist(),
        samples.status.tolist(),
        samples.reason,
        samples.started_at,
        samples.host_elapsed_s,
        samples.guest_elapsed_s,
        samples.evidence,
        samples.used.tolist(),
        strict=True,
    )
    for index, row in enumerate(columns):
        (
            run,
            block,
            order,
            series,
            iteration,
            warmup,
            status,
            reason,
            started,
            host_s,
            guest_s,
            evidence,
            used,
        ) = row
        key = samples.keys[series]
        yield (
            run,
            block,
            order,
            key.host,
            key.arm,
            key.variant,
            key.scenario,
            key.metric,
            key.unit,
            key.direction,
            values[index] if has_value[index] else None,
            iteration,
            "true" if warmup else "false",
            STATUS_NAMES[status],
            reason,
            started,
            host_s,
            guest_s,
            evidence,
            "true" if used else "false",
            samples.why_not.get(index),
        )
