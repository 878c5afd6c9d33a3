# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The frame around a command, run by a real shell."""

from __future__ import annotations

import os
import signal
import time

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.ssh import quote
from ansible_collections.vcompare.lab.plugins.module_utils._arms.stamps import Frame, follow
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from hypothesis import given, settings
from hypothesis import strategies as st


def shell(script: str, timeout_s: float = 20.0) -> Frame:
    frame = Frame(["/bin/sh", "-c", script])
    assert follow(frame, frame.argv, timeout_s) is not None
    return frame


def test_output_exit_code_and_both_clocks() -> None:
    begin = time.monotonic()
    result = shell("echo out; echo err >&2; sleep 0.3; exit 7").result("vc-a")
    took = time.monotonic() - begin
    assert (result.rc, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert 0.3 <= result.host_elapsed_s <= took
    assert result.guest_elapsed_s is not None
    # Its clock has steps of 10 ms.
    assert 0.28 <= result.guest_elapsed_s <= took + 0.02


def test_the_way_in_is_not_counted() -> None:
    frame = Frame(["true"])
    begin = time.monotonic()
    follow(frame, ["/bin/sh", "-c", f"sleep 0.5; {quote(frame.argv)}; sleep 0.5"], 20)
    # Neither half second, however slow this machine is.
    assert time.monotonic() - begin - frame.result("vc-a").host_elapsed_s >= 1.0


def test_what_the_command_says_stays_whole() -> None:
    result = shell("printf 'no end of line' >&2").result("vc-a")
    assert result.stderr == "no end of line"


def test_root_folder_and_equal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRANGE", "1")
    shown = shell("pwd; env").result("vc-a").stdout.splitlines()
    assert shown[0] == "/"
    names = {line.partition("=")[0] for line in shown[1:]}
    assert names - {"OLDPWD"} == {"PATH", "HOME", "LANG", "PWD"}


def test_a_missing_program_is_a_result() -> None:
    frame = Frame(["/no/such/program"])
    follow(frame, frame.argv, 20)
    assert frame.result("vc-a").rc == 127


def test_too_late() -> None:
    frame = Frame(["sleep", "60"])
    begin = time.monotonic()
    assert follow(frame, frame.argv, 0.5) is None
    assert time.monotonic() - begin < 30
    assert frame.began and not frame.ended
    with pytest.raises(BackendError, match="cut off"):
        frame.result("vc-a")


def test_a_daemon_that_keeps_the_pipe_is_not_waited_for() -> None:
    begin = time.monotonic()
    result = shell("sleep 60 & echo $! started").result("vc-a")
    took = time.monotonic() - begin
    pid, said = result.stdout.split()
    os.kill(int(pid), signal.SIGKILL)
    assert said == "started"
    assert took < 30


def test_a_command_that_never_began() -> None:
    frame = Frame(["true"])
    frame.feed(b"", b"ssh: connect to host: No route to host\n", 1.0)
    with pytest.raises(BackendError, match="never began") as caught:
        frame.result("vc-a")
    assert "No route" in caught.value.evidence


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.binary(max_size=30), st.binary(max_size=30))
def test_stamps_in_any_pieces(size: int, before: bytes, after: bytes) -> None:
    frame = Frame(["true"])
    token = frame.argv[frame.argv.index("-c") + 2].encode()
    stream = (
        b"\x1evc:"
        + token
        + b":begin:10.50:42\x1e"
        + before
        + after
        + b"\x1evc:"
        + token
        + b":end:12.25:3\x1e"
    )
    for start in range(0, len(stream), size):
        frame.feed(b"", stream[start : start + size], float(start))
    result = frame.result("vc-a")
    assert (result.rc, result.guest_elapsed_s) == (3, 1.75)
    assert result.stderr == (before + after).decode(errors="replace")
    assert frame.pid == 42


def test_nothing_and_nul_are_refused() -> None:
    for argv in ([], ["a\0b"]):
        with pytest.raises(BackendError):
            Frame(argv)
