# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making and reaping processes: stress-ng forks one child at a time, for a fixed time.

One counted operation is the same work in every arm: traced, each is one clone, a child that makes
four setpgid calls, setsid and vhangup and exits, and one wait4; a fork that fails is not counted.
(vhangup is refused in a container and does nothing in a fresh session elsewhere: well under a
thousandth of a fork.) stress-ng's constant seed keeps its own random choices the same as well.
"""

from __future__ import annotations

import math
import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    find,
)

# stress-ng 0.15: "metrc:" lines on standard error, columns: operations, real, user, system time,
# operations a second by real time, by processor time, …
_ROW = re.compile(
    r"^stress-ng: (?:metrc|info): +\[[0-9]+\] fork +"
    r"([0-9]+) +([0-9.]+) +([0-9.]+) +([0-9.]+) +([0-9.]+) ",
    re.MULTILINE,
)
_DONE = re.compile(
    r"^stress-ng: info: +\[[0-9]+\] (?:passed: [0-9]+|successful run completed)", re.MULTILINE
)

# Half of a hundredth, and a little.
_ROUNDING_S = 0.0051


def argv(spec: WorkSpec) -> list[str]:
    """The command line; one forking process, whatever the number of CPUs: latency, not capacity."""
    limit = ["--fork-ops", "20"] if spec.warmup else []
    return [
        "stress-ng",
        "--fork",
        "1",
        "--fork-max",
        "1",
        "--no-rand-seed",
        "--timeout",
        f"{spec.seconds}s",
        *limit,
        "--metrics",
        # A place that can be written to in every arm: the root file system can't.
        "--temp-path",
        "/tmp",  # noqa: S108 - stress-ng makes a folder of its own there
    ]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read forks per second."""
    text = stderr + stdout
    if not _DONE.search(text):
        raise WorkloadError(
            f"stress-ng does not say that it was successful: {text.strip()[-300:] or 'nothing'}"
        )
    row = find(_ROW, text, "the row of the fork stressor")
    forks, seconds, rate = int(row.group(1)), float(row.group(2)), float(row.group(5))
    if seconds <= 0:
        raise WorkloadError(f"stress-ng says that it ran for {seconds:g} s")
    # The time has two decimals only, so here the printed rate is the exact one.
    least = forks / (seconds + _ROUNDING_S)
    most = forks / (seconds - _ROUNDING_S) if seconds > _ROUNDING_S else math.inf
    if not least <= rate <= most:
        raise WorkloadError(
            f"stress-ng printed {rate:g} forks a second, but its own counts give {least:g} to {most:g}"
        )
    return rate


WORKLOAD = Workload(
    name="fork",
    metric="forks_per_second",
    unit="1/s",
    direction="higher",
    argv=argv,
    parse=parse,
    # A fork and exit takes tens of microseconds at the very least.
    low=0.1,
    high=1e5,
)
