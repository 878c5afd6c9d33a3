# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tools of the host: run one with a deadline; wait for something with a deadline."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

T = t.TypeVar("T")

_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Output:
    """What a tool of the host answered."""

    rc: int
    stdout: str
    stderr: str


def host_run(
    argv: t.Sequence[str], timeout_s: float, doing: str, *, check: bool = True, remedy: str = ""
) -> Output:
    """Run a tool of the host.

    :param doing: what for, as the beginning of an error message.
    :param check: whether an exit code other than 0 is an error.
    """
    environment = {"PATH": _SBIN, "LC_ALL": "C", "HOME": os.environ.get("HOME", "/root")}
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(timeout_s, 0.001),
            check=False,
            env=environment,
        )
    except FileNotFoundError:
        raise BackendError(
            f"{doing}: {argv[0]} is not installed",
            remedy=remedy or f"Install {argv[0]} on the host.",
        ) from None
    except subprocess.TimeoutExpired:
        raise BackendError(
            f"{doing}: {' '.join(argv[:3])} did not end within {timeout_s:g} s",
            remedy="Give it more time, or see what keeps the host busy.",
        ) from None
    output = Output(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    if check and output.rc != 0:
        said = (output.stderr.strip() or output.stdout.strip()).splitlines()
        raise BackendError(
            f"{doing}: {' '.join(argv[:3])} ended with {output.rc}: {_reason(said)}",
            remedy=remedy,
            evidence="\n".join(said[-20:]),
        )
    return output


def _reason(said: t.Sequence[str]) -> str:
    """Return the line that says what went wrong: the first that speaks of an error, since some tools chat before it."""
    telling = (line for line in said if "error" in line.lower() or "fail" in line.lower())
    return next(telling, said[0] if said else "it said nothing")


def with_deadline(call: t.Callable[[], T], timeout_s: float, doing: str) -> T:
    """Return what a call returns that has no deadline of its own, or fail when the time is up.

    The call goes on then, in a thread that does not keep the process alive.
    """
    outcome: list[tuple[bool, t.Any]] = []

    def work() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(timeout_s, 0.0))
    if not outcome:
        raise BackendError(
            f"{doing}: it was not done within {timeout_s:g} s",
            remedy="Give it more time, or see what keeps the host busy.",
        )
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    return t.cast(T, value)


def wait_until(
    predicate: t.Callable[[], object], timeout_s: float, interval_s: float = 0.05
) -> bool:
    """Wait until something holds; return whether it did before the time was up."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True


def remaining(deadline: float) -> float:
    """Return the seconds until a point of the monotonic clock; at least 1, for a last try."""
    return max(deadline - time.monotonic(), 1.0)


def last_lines(path: str, count: int = 20) -> str:
    """Return the last lines of a file, e.g. of a console; empty when there is none."""
    try:
        with open(path, "rb") as handle:
            handle.seek(0, os.SEEK_END)
            handle.seek(max(handle.tell() - 16384, 0))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.replace("\r", "").splitlines()[-count:])
