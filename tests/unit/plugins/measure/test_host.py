# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One measurement at a time on a host, and none that nobody waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import abandoned, hostlock

COLLECTIONS = str(Path(abandoned.__file__).parents[6])

PROGRAM = """
import subprocess, sys, time
from ansible_collections.vcompare.lab.plugins.module_utils._host import abandoned
try:
    with abandoned.ends_when_abandoned(interval_s=0.05):
        try:
            # in here: the signal may come as soon as this is read
            print("begun", flush=True)
            subprocess.run(["sleep", "60"])
        except Exception:
            open(sys.argv[1], "w").write("caught by work")
        finally:
            time.sleep(0.3)
            open(sys.argv[1], "a").write("cleaned up")
except abandoned.Abandoned:
    sys.exit(7)
"""


def begin(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": COLLECTIONS},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def test_work_ends_and_cleans_up_when_its_reader_is_gone(tmp_path: Path) -> None:
    process = begin(tmp_path / "out")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(10) == 7
    assert (tmp_path / "out").read_text() == "cleaned up"


def test_the_same_on_sigterm(tmp_path: Path) -> None:
    process = begin(tmp_path / "out")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 7
    assert (tmp_path / "out").read_text() == "cleaned up"


def test_work_goes_on_while_somebody_reads(tmp_path: Path) -> None:
    process = begin(tmp_path / "out")
    time.sleep(0.5)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_everything_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    reading, writing = os.pipe()
    with abandoned.ends_when_abandoned(writing, 0.01):
        time.sleep(0.05)
    os.close(reading)
    time.sleep(0.05)
    os.close(writing)
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_measurements_at_once_are_refused(tmp_path: Path) -> None:
    with (
        hostlock.measuring(str(tmp_path)),
        pytest.raises(BackendError, match="another measurement"),
        hostlock.measuring(str(tmp_path)),
    ):
        pass
    with hostlock.measuring(str(tmp_path)):
        pass


def test_an_interrupted_one_is_waited_for(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with hostlock.measuring(str(tmp_path)):
            entered.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    threading.Timer(0.5, leave.set).start()
    began = time.monotonic()
    with hostlock.measuring(str(tmp_path), timeout_s=10):
        assert 0.3 < time.monotonic() - began < 5
    holder.join()
