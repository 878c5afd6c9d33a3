# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sequential writes to memory: sysbench fills one buffer again and again, for a fixed time.

The buffer is a quarter of the instance's memory. sysbench's usual 1 MiB stays in a core's own cache
and so says nothing of memory or of nested page tables; STREAM asks for at least four times the last
level cache (https://www.cs.virginia.edu/stream/ref.html), which a quarter of a small instance comes
as near to as it can without starving the rest.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    as_long_as,
    counted,
    find,
)

_RATE = re.compile(r"^([0-9.]+) MiB transferred \(([0-9.]+) MiB/sec\)$", re.MULTILINE)
_TIME = re.compile(r"^\s+total time:\s+([0-9.]+)s$", re.MULTILINE)
_BLOCK = re.compile(r"^  block size: ([0-9]+)KiB$", re.MULTILINE)
_OPERATION = re.compile(r"^  operation: (\w+)$", re.MULTILINE)


def block_mib(memory_mib: int) -> int:
    """Size of the buffer in MiB: a power of two (sysbench takes no other), at most a quarter."""
    size = 1
    while size * 2 <= memory_mib // 4:
        size *= 2
    return size


def argv(spec: WorkSpec) -> list[str]:
    """The command line; the total is out of reach, so that time is what ends it."""
    block = block_mib(spec.memory_mib)
    total = f"{4 * block}M" if spec.warmup else "1024T"
    return [
        "sysbench",
        "memory",
        f"--memory-block-size={block}M",
        f"--memory-total-size={total}",
        "--memory-oper=write",
        "--memory-access-mode=seq",
        f"--threads={spec.vcpus}",
        f"--time={spec.seconds}",
        "run",
    ]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read MiB per second."""
    block = int(find(_BLOCK, stdout, "'block size'").group(1))
    if block != block_mib(spec.memory_mib) * 1024:
        raise WorkloadError(f"sysbench used blocks of {block} KiB")
    operation = find(_OPERATION, stdout, "'operation'").group(1)
    if operation != "write":
        raise WorkloadError(f"sysbench measured {operation}, not write")
    match = find(_RATE, stdout, "'MiB transferred'")
    moved, rate = float(match.group(1)), float(match.group(2))
    seconds = float(find(_TIME, stdout, "'total time'").group(1))
    as_long_as(spec, seconds)
    return counted(rate, moved, seconds, "MiB per second")


WORKLOAD = Workload(
    name="memory-bandwidth",
    metric="write_throughput",
    unit="MiB/s",
    direction="higher",
    argv=argv,
    parse=parse,
    # 10 TiB/s is more than the memory of any single machine of today moves.
    low=0.1,
    high=1e7,
)
