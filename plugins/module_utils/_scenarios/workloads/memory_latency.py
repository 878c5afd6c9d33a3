# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads at random places of memory: sysbench reads words of one large buffer, for a fixed time.

The buffer is that of memory-bandwidth, a quarter of the instance's memory: where that is larger than the caches and
than what the processor's table of pages (TLB) covers, an access needs a walk through the page tables, which a virtual
machine has two of. What this figure can't tell: the latency of a single access. The places do not depend on what was
read before, so that a processor may have several accesses on their way at once, and drawing each place costs time
too. It so is a bound from neither side, and good for holding arms against each other only.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    as_long_as,
    find,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.memory_bandwidth import (
    block_mib,
)

_WORD = 8
_EVENTS = re.compile(r"^\s+total number of events:\s+([0-9]+)$", re.MULTILINE)
_TIME = re.compile(r"^\s+total time:\s+([0-9.]+)s$", re.MULTILINE)
_BLOCK = re.compile(r"^  block size: ([0-9]+)KiB$", re.MULTILINE)
_OPERATION = re.compile(r"^  operation: (\w+)$", re.MULTILINE)
_MOVED = re.compile(r"^([0-9.]+) MiB transferred ", re.MULTILINE)


def argv(spec: WorkSpec) -> list[str]:
    """The command line; one thread, whatever the number of CPUs: latency, not capacity."""
    block = block_mib(spec.memory_mib)
    return [
        "sysbench",
        "memory",
        f"--memory-block-size={block}M",
        f"--memory-total-size={f'{block}M' if spec.warmup else '1024T'}",
        "--memory-oper=read",
        "--memory-access-mode=rnd",
        "--rand-seed=1",
        "--threads=1",
        f"--time={spec.seconds}",
        "run",
    ]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read nanoseconds per access."""
    block = block_mib(spec.memory_mib)
    found = int(find(_BLOCK, stdout, "'block size'").group(1))
    if found != block * 1024:
        raise WorkloadError(f"sysbench used blocks of {found} KiB")
    operation = find(_OPERATION, stdout, "'operation'").group(1)
    if operation != "read":
        raise WorkloadError(f"sysbench measured {operation}, not read")
    events = int(find(_EVENTS, stdout, "'total number of events'").group(1))
    moved = float(find(_MOVED, stdout, "'MiB transferred'").group(1))
    seconds = float(find(_TIME, stdout, "'total time'").group(1))
    as_long_as(spec, seconds)
    if not events or moved != events * block:
        raise WorkloadError(
            f"sysbench printed {moved:g} MiB, but its own counts give {events} blocks of {block} MiB"
        )
    return seconds * 1e9 / (events * (block << 20) / _WORD)


WORKLOAD = Workload(
    name="memory-latency",
    metric="time_per_access",
    unit="ns",
    direction="lower",
    argv=argv,
    parse=parse,
    # A word of a first-level cache takes about a nanosecond; a millisecond is a disk's.
    low=0.05,
    high=1e6,
)
