# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Ctrl-C and SIGTERM, with a real playbook whose task does not want to end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from checkout import Checkout

from vcompare_runner.run.interrupt import Interrupt, children, descendants


def wait_for(path: Path, seconds: float = 40) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def end(process: subprocess.Popen[str]) -> None:
    """End a command line and all that it started, also where the test failed."""
    for pid in (process.pid, *descendants(process.pid)):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_everything_ends_and_says_what_next(checkout: Checkout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = checkout.popen(home, "lab", "up")
    try:
        sleeper = wait_for(home / "sleeper")
        family = descendants(process.pid)
        assert sleeper in family
        assert len(family) >= 3, "ansible-playbook, its worker and the task"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        end(process)
    took = time.monotonic() - begun
    left = [pid for pid in family if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
    assert took < 30
    assert process.returncode == 130, err
    assert "interrupted in stage lab" in err
    assert "vcompare lab status --lab default" in err
    assert "Traceback" not in out + err


def test_interrupted_comparison_says_how_to_go_on(checkout: Checkout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    slow = tmp_path / "checkout"
    # The same checkout, with a comparison that hangs.
    subprocess.run(["cp", "-a", str(checkout.root), str(slow)], check=True)
    hanging = (
        (slow / "playbooks" / "lab_ready.yml").read_text().replace("lab: wait", "measure: wait")
    )
    (slow / "playbooks" / "compare.yml").write_text(hanging)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = Checkout(slow).popen(
        home, "compare", TMPDIR=str(temporary), SOME_CANARY="s3cr3t-canary"
    )
    try:
        wait_for(home / "sleeper")
        # Neither while it runs does the environment, or what we pass on, lie in a file.
        (private,) = temporary.glob("vcompare-*")
        files = [path for path in private.rglob("*") if path.is_file()]
        assert [path.name for path in files if path.parent.name == "env"] == ["settings"]
        assert [path for path in files if path.parent.name == "job_events"] == []
        assert not any(b"s3cr3t-canary" in path.read_bytes() for path in files)
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=60)
    finally:
        end(process)
    assert process.returncode == 130, err
    assert list(temporary.glob("vcompare-*")) == []
    (folder,) = (home / "runs").iterdir()
    assert "interrupted in stage measure" in err
    assert "0 of 10 blocks are finished and kept" in err
    assert f"vcompare compare --resume {folder.name}" in err
    assert "vcompare lab status" in err
    assert str(folder / "events" / "compare-001.log") in err


def test_signals_are_requests_only_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not interrupt.requested and time.monotonic() < deadline:
            time.sleep(0.01)
        assert interrupt.requested
    assert signal.getsignal(signal.SIGTERM) == before


def test_descendants_are_found_and_daemons_are_not() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    daemon = subprocess.run(
        ["sh", "-c", "setsid sleep 61 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        text=True,
        check=True,
    )
    daemon_pid = int(daemon.stdout)
    try:
        deadline = time.monotonic() + 5
        while not children(child.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        family = descendants(os.getpid())
        assert child.pid in family
        assert set(children(child.pid)) <= set(family)
        assert daemon_pid not in family
    finally:
        for pid in (*children(child.pid), child.pid, daemon_pid):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        child.wait()
