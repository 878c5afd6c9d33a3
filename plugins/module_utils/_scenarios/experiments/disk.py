# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An instance's own disk: reads and writes past the page cache, in a file on its writable file system.

By sysbench's file test and not by fio: Debian's fio brings Ceph, GlusterFS and Python into the one root file system.
One request at a time, so that what is measured is the length of the way to the disk, not how many ways there are.

A read that was answered from a cache inside would say nothing of the disk. So the file system's own device is asked how
much it moved meanwhile: less than what sysbench says is refused. What the host's disk keeps in caches of its own below
that is the same in every arm.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.data_disk import MOUNT_POINT
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    replied,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    WorkloadError,
    counted,
    find,
)

NAME = "disk"
SEQUENTIAL_READ = Metric(NAME, "sequential_read_throughput", "MiB/s", "higher", 0.001, 1e6)
RANDOM_READ = Metric(NAME, "random_read_rate", "1/s", "higher", 0.01, 1e7)
SEQUENTIAL_WRITE = Metric(NAME, "sequential_write_throughput", "MiB/s", "higher", 0.001, 1e6)

FILE_MIB = 64
# The file, and what ext4 takes for itself.
DATA_MIB = FILE_MIB + 32

_BLOCKS = {"seqrd": 1 << 20, "rndrd": 4096, "seqwr": 1 << 20}
_SECTOR = 512
# Devices count whole sectors, and sysbench the requests.
_TOLERANCE = 0.01

_SYSBENCH = (
    "sysbench",
    "fileio",
    "--file-num=1",
    f"--file-total-size={FILE_MIB}M",
)
_DEVICE = re.compile(rf"^\S+ \S+ (\d+:\d+) \S+ {MOUNT_POINT} ", re.MULTILINE)
_STAT = re.compile(r"^vcompare-device:((?: +\d+)+)$", re.MULTILINE)
_DIRECT = re.compile(r"^Extra file open flags: directio$", re.MULTILINE)
_EVENTS = re.compile(r"^\s+total number of events:\s+([0-9]+)$", re.MULTILINE)
_TIME = re.compile(r"^\s+total time:\s+([0-9.]+)s$", re.MULTILINE)
_PRINTED = {
    "seqrd": re.compile(r"^\s+reads/s:\s+([0-9.]+)$", re.MULTILINE),
    "rndrd": re.compile(r"^\s+reads/s:\s+([0-9.]+)$", re.MULTILINE),
    "seqwr": re.compile(r"^\s+writes/s:\s+([0-9.]+)$", re.MULTILINE),
}


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one test gave.

    :param rate: requests a second.
    :param moved: bytes that the device moved meanwhile, in the direction of the test.
    """

    mode: str
    rate: float
    requests: int
    moved: int

    @property
    def mib_per_second(self) -> float:
        """The rate in MiB a second."""
        return self.rate * _BLOCKS[self.mode] / (1 << 20)

    @property
    def text(self) -> str:
        """What it was made of, in words."""
        return (
            f"{self.requests} requests of {_BLOCKS[self.mode]} bytes ({self.mode}), {self.rate:g} a second;"
            f" its device moved {self.moved} bytes meanwhile"
        )


def measured(stage: Stage) -> t.Iterator[Figure]:
    """Read one after the other, here and there, and write, each for a fixed time."""
    device = device_of(
        replied(stage.run(["cat", "/proc/self/mountinfo"], 30.0), "reading its mounts")
    )
    counts = f"/sys/dev/block/{device}/stat"
    if stage.run(["test", "-r", counts], 30.0).rc != 0:
        raise NotPossible(
            f"the file system at {MOUNT_POINT} has no block device of its own ({device}),"
            " so that nobody can tell whether a read reached the disk"
        )
    try:
        _in_place(stage, [*_SYSBENCH, "prepare"])
        yield _figure(SEQUENTIAL_READ, _one(stage, "seqrd", counts))
        yield _figure(RANDOM_READ, _one(stage, "rndrd", counts))
        yield _figure(SEQUENTIAL_WRITE, _one(stage, "seqwr", counts))
    finally:
        stage.run(["rm", "-f", f"{MOUNT_POINT}/test_file.0"], 60.0)


def _figure(metric: Metric, reading: Reading) -> Figure:
    value = reading.rate if metric is RANDOM_READ else reading.mib_per_second
    return Figure(metric, value, reading.text)


def _in_place(stage: Stage, argv: t.Sequence[str], around: str = "") -> str:
    """Run sysbench where its file is, and what is asked for before and after it."""
    script = f'cd {MOUNT_POINT} || exit; {around} "$@"; rc=$?; {around} exit $rc'
    result = stage.run(["/bin/sh", "-c", script, "disk", *argv], 120.0 + stage.seconds)
    return replied(result, f"sysbench {argv[-1]} on its disk")


def argv_of(mode: str, seconds: int) -> list[str]:
    """The command line of one test, the same in every arm."""
    return [
        *_SYSBENCH,
        f"--file-test-mode={mode}",
        f"--file-block-size={_BLOCKS[mode]}",
        "--file-io-mode=sync",
        "--file-extra-flags=direct",
        # Only once, at the end.
        "--file-fsync-freq=0",
        "--rand-type=uniform",
        "--rand-seed=1",
        "--threads=1",
        f"--time={seconds}",
        "run",
    ]


def _one(stage: Stage, mode: str, counts: str) -> Reading:
    around = f'echo "vcompare-device:" $(cat {counts});'
    return parse(mode, stage.seconds, _in_place(stage, argv_of(mode, stage.seconds), around))


def device_of(mounts: str) -> str:
    """Return the number of the device that is mounted at the mount point, like ``254:16``.

    :param mounts: ``/proc/self/mountinfo``.
    :raises BackendError: nothing is.
    """
    found = _DEVICE.findall(mounts)
    if not found:
        raise BackendError(f"the instance has no file system of its own at {MOUNT_POINT}")
    return str(found[-1])


def parse(mode: str, seconds: int, text: str) -> Reading:
    """Read a test's figures, and hold them against those of the device.

    :param text: sysbench's output, between two lines with the counts of the device.
    :raises BackendError: a figure is missing, or what was counted did not reach the device.
    """
    try:
        find(_DIRECT, text, "that the file was opened for direct reads and writes")
        printed = float(find(_PRINTED[mode], text, "the rate").group(1))
        events = int(find(_EVENTS, text, "'total number of events'").group(1))
        spent_s = float(find(_TIME, text, "'total time'").group(1))
        if spent_s < seconds * (1 - _TOLERANCE):
            raise WorkloadError(f"it ran for {spent_s:g} s instead of {seconds} s")
        # The last event of a test that writes is the one that has it all on the disk.
        requests = events - 1 if mode == "seqwr" else events
        rate = counted(printed, requests, spent_s, "requests per second")
    except WorkloadError as error:
        raise BackendError(f"sysbench's {mode}: {error}") from None
    found = [[int(word) for word in counts.split()] for counts in _STAT.findall(text)]
    # Documentation/block/stat.rst of Linux: sectors read are the third, sectors written the seventh.
    column = 6 if mode == "seqwr" else 2
    if len(found) != 2 or min(map(len, found)) <= column:
        raise BackendError(f"sysbench's {mode}: its device did not say how much it moved")
    moved = (found[1][column] - found[0][column]) * _SECTOR
    asked = requests * _BLOCKS[mode]
    if moved < asked * (1 - _TOLERANCE):
        raise BackendError(
            f"sysbench's {mode} counted {asked} bytes, of which {moved} reached the device: the rest never left a cache"
        )
    return Reading(mode, rate, requests, moved)


EXPERIMENT = Experiment(
    NAME,
    (Step(LATER, (SEQUENTIAL_READ, RANDOM_READ, SEQUENTIAL_WRITE), measured),),
    without=(),
    data_mib=DATA_MIB,
)
