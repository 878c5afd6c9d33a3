# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What sysbench's file test prints on a disk, and that a cache is not taken for one."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import base, disk
from hypothesis import given
from hypothesis import strategies as st

OUTPUTS = pathlib.Path(__file__).parent / "outputs"


def printed(mode: str) -> str:
    return (OUTPUTS / f"disk-{mode}.stdout").read_text(encoding="utf-8")


# Read by eye: events over total time; a test that writes has one more, its fsync.
KNOWN = {"seqrd": 1829 / 1.0004, "rndrd": 15902 / 1.0002, "seqwr": (2999 - 1) / 1.0005}


@pytest.mark.parametrize("mode", KNOWN)
def test_value_of_a_real_output(mode: str) -> None:
    reading = disk.parse(mode, 1, printed(mode))
    assert reading.rate == pytest.approx(KNOWN[mode])
    assert reading.moved >= reading.requests * disk._BLOCKS[mode] * 0.99
    blocks_in_a_mib = {"rndrd": 256}.get(mode, 1)
    assert reading.mib_per_second == pytest.approx(KNOWN[mode] / blocks_in_a_mib)


@pytest.mark.parametrize("mode", KNOWN)
@given(data=st.data())
def test_a_truncated_output_gives_the_value_or_an_error(mode: str, data: st.DataObject) -> None:
    text = printed(mode)
    cut = data.draw(st.integers(0, len(text)))
    try:
        reading = disk.parse(mode, 1, text[:cut])
    except BackendError as error:
        assert error.message
    else:
        assert reading.rate == pytest.approx(KNOWN[mode])


@pytest.mark.parametrize("mode", KNOWN)
def test_what_never_left_a_cache_is_no_figure_of_a_disk(mode: str) -> None:
    lines = printed(mode).splitlines()
    before, after = [line for line in lines if line.startswith("vcompare-device:")]
    text = printed(mode).replace(after, before)
    with pytest.raises(BackendError, match="of which 0 reached the device"):
        disk.parse(mode, 1, text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("flags: directio", "flags: (none)", "direct reads and writes"),
        ("vcompare-device:", "device:", "did not say how much it moved"),
        ("total time:", "total:", "'total time'"),
    ],
)
def test_half_an_answer_is_none(old: str, new: str, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        disk.parse("seqrd", 1, printed("seqrd").replace(old, new))


def test_a_test_that_ended_early_is_refused() -> None:
    with pytest.raises(BackendError, match="instead of 2 s"):
        disk.parse("seqrd", 2, printed("seqrd"))


@pytest.mark.parametrize(
    ("mounts", "device"),
    [
        ("24 1 254:16 / /mnt rw - ext4 /dev/vdb rw\n", "254:16"),
        # A folder of the host's, and what was mounted over it.
        (
            "24 1 254:1 /var/lib/vcompare/instances/vc-a/data /mnt rw - ext4 /dev/vda1 rw\n"
            "25 1 0:44 / /mnt rw - tmpfs scratch rw\n",
            "0:44",
        ),
    ],
)
def test_the_device_of_a_mount(mounts: str, device: str) -> None:
    assert disk.device_of("20 1 0:5 / / rw - overlay root rw\n" + mounts) == device


def test_no_file_system_of_its_own_is_said() -> None:
    mounts = "20 1 0:5 / / rw - overlay root rw\n21 1 8:1 / /mnt2 rw - ext4 /dev/sda1 rw\n"
    with pytest.raises(BackendError, match="no file system of its own at /mnt"):
        disk.device_of(mounts)


@pytest.mark.parametrize("mode", KNOWN)
def test_the_tool_itself(
    mode: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine's own disk: what sysbench counts is what the device moved."""
    if shutil.which("sysbench") is None:
        pytest.skip("sysbench is not installed")
    number = os.stat(tmp_path).st_dev
    counts = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat"
    if not os.path.exists(counts):
        pytest.skip("the folder of this test is on no block device")
    subprocess.run([*disk._SYSBENCH, "prepare"], cwd=tmp_path, check=True, capture_output=True)
    script = (
        f'echo "vcompare-device:" $(cat {counts}); "$@"; echo "vcompare-device:" $(cat {counts})'
    )
    argv = ["/bin/sh", "-c", script, "disk", *disk.argv_of(mode, 1)]
    done = subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert disk.parse(mode, 1, done.stdout).rate > 0


def test_every_arm_has_a_disk() -> None:
    assert disk.EXPERIMENT.without == ()
    assert disk.EXPERIMENT.data_mib > disk.FILE_MIB
    assert {step.moment for step in disk.EXPERIMENT.steps} == {base.LATER}
