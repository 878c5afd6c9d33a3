# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``samples.csv``: every sample of the bundle, with whether it counts and why not."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from vcompare_runner.bundle.samples import STATUS_NAMES, SampleTable
from vcompare_runner.core.edges import WRITE_REMEDY, replacing

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


# What makes a cell need quotes (RFC 4180).
_SPECIAL = re.compile(r'[",\r\n]')


def write_samples(samples: SampleTable, path: Path) -> None:
    """Write the table. A missing value is an empty cell."""
    with replacing(path, WRITE_REMEDY) as file:
        file.write(",".join(HEADER) + "\n")
        file.writelines(_lines(samples))


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def _lines(samples: SampleTable) -> t.Iterator[str]:
    """Give a line a sample.

    Not by the module csv: of a million lines with 21 cells it takes as long as all the rest of a report. Seven of the
    cells are those of the sample's series, which are made once.
    """
    series_cells = [
        ",".join(
            map(
                _cell,
                (
                    key.host,
                    key.arm,
                    key.variant,
                    key.scenario,
                    key.metric,
                    key.unit,
                    key.direction,
                ),
            )
        )
        for key in samples.keys
    ]
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
    # Most samples share these, and nearly none has a reason.
    runs = {run: _cell(run) for run in set(samples.run)}
    special, why_not = _SPECIAL.search, samples.why_not
    for index, (
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
    ) in enumerate(columns):
        # Text with a comma or a quote is rare, and asking for it is what costs.
        if reason is not None or started is None or special(started):
            reason, started = _cell(reason), _cell(started)
        if evidence is None or not evidence.isalnum():
            evidence = _cell(evidence)
        value = values[index] if has_value[index] else ""
        yield (
            f"{runs[run]},{block},{'' if order is None else order},{series_cells[series]},{value},{iteration},"
            f"{'true' if warmup else 'false'},{STATUS_NAMES[status]},{reason or ''},{started},"
            f"{'' if host_s is None else host_s},{'' if guest_s is None else guest_s},{evidence},"
            f"{'true' if used else 'false'},{_cell(why_not[index]) if index in why_not else ''}\n"
        )
