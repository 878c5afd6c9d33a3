# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command inside an instance: the same frame around it in every arm, and both clocks of it.

The frame is a shell that says ``begin`` on standard error, runs the command, and says ``end``. The
host notes when it heard each, so that the way into the instance (ssh's handshake, ``docker exec``)
is not counted to the command.
"""

from __future__ import annotations

import os
import re
import secrets
import selectors
import signal
import subprocess
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

# The same few variables in every arm: ssh, docker and a plain fork would each give others.
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)
# Built-in commands only: a fork of its own would be counted to the command.
_FRAME = (
    "cd / || exit; read u _ </proc/uptime; "
    'printf "\\036vc:%s:begin:%s:%s\\036" "$0" "$u" "$$" >&2; '
    '"$@"; r=$?; read u _ </proc/uptime; '
    'printf "\\036vc:%s:end:%s:%s\\036" "$0" "$u" "$r" >&2; exit "$r"'
)


class Frame:
    """One framed command: what to run, and what was heard of it.

    :param argv: the command and its arguments.
    """

    def __init__(self, argv: t.Sequence[str]) -> None:
        if not argv:
            raise BackendError(
                "there is no command to run", remedy="Give at least the program's name."
            )
        if any("\0" in argument for argument in argv):
            raise BackendError(
                "a command can't hold the character NUL", remedy="Pass such data in a file."
            )
        # in the command line of the frame and in what it says, and nowhere else
        self.token = secrets.token_hex(8)
        self._sent = time.monotonic()
        self.argv = ["/usr/bin/env", "-i", *ENVIRONMENT]
        self.argv += ["/bin/sh", "-c", _FRAME, self.token, *argv]
        self._stamp = re.compile(
            rb"\036vc:" + self.token.encode() + rb":(begin|end):([0-9.]*):([0-9]+)\036"
        )
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._heard: dict[str, tuple[float, float | None, int]] = {}

    def feed(self, stdout: bytes, stderr: bytes, now: float) -> None:
        """Take in what arrived.

        :param now: the host's monotonic clock at its arrival.
        """
        self._stdout += stdout
        if not stderr:
            return
        # a stamp may arrive in two pieces: look again at the end of what was there before
        start = max(len(self._stderr) - 80, 0)
        self._stderr += stderr
        found = True
        while found:
            match = self._stamp.search(self._stderr, start)
            found = match is not None
            if match:
                self._heard[match[1].decode()] = (
                    now,
                    float(match[2]) if match[2] else None,
                    int(match[3]),
                )
                del self._stderr[match.start() : match.end()]

    @property
    def began(self) -> bool:
        """Whether the instance has begun the command."""
        return "begin" in self._heard

    @property
    def ended(self) -> bool:
        """Whether the instance has ended the command."""
        return "end" in self._heard

    @property
    def pid(self) -> int:
        """The frame's process id as the instance sees it; 0 before it began."""
        return self._heard["begin"][2] if self.began else 0

    @property
    def stderr(self) -> str:
        """What was said on standard error, without the stamps."""
        return self._stderr.decode(errors="replace")

    def result(self, name: str) -> Result:
        """Return the command's result.

        :raises BackendError: when its end was not heard.
        """
        if not self.began or not self.ended:
            raise BackendError(
                f"{name}: the command "
                f"{'was cut off before its end' if self.began else 'never began'}",
                remedy="See whether the instance is still running.",
                evidence="\n".join(self.stderr.splitlines()[-20:]),
            )
        begin, end = self._heard["begin"], self._heard["end"]
        if begin[1] is None or end[1] is None:
            raise BackendError(
                f"{name}: its clock can't be read (/proc/uptime)",
                remedy="See that /proc is mounted in the instance.",
            )
        return Result(
            rc=end[2],
            stdout=self._stdout.decode(errors="replace"),
            stderr=self.stderr,
            host_elapsed_s=end[0] - begin[0],
            guest_elapsed_s=round(end[1] - begin[1], 2),
            clock=(self._sent, begin[0], begin[1]),
        )


def timed_out(
    name: str, argv: t.Sequence[str], timeout_s: float, evidence: str = ""
) -> BackendError:
    """The error for a command that did not end in time."""
    return BackendError(
        f"{name}: {argv[0]} did not end within {timeout_s:g} s",
        remedy="Give it more time; a timeout must fit the speed that the host has proven.",
        evidence="\n".join(evidence.splitlines()[-20:]),
    )


def follow(frame: Frame, argv: t.Sequence[str], timeout_s: float, **popen: t.Any) -> int | None:
    """Run a local process that carries a frame, and feed the frame from its pipes.

    :param argv: the process, e.g. ``ssh … <frame>``.
    :param popen: further arguments of :class:`subprocess.Popen`.
    :return: its exit code, or None when the time was up and it was killed.
    """
    deadline = time.monotonic() + timeout_s
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **popen,
    )
    with process, selectors.DefaultSelector() as selector:
        selector.register(t.cast("t.IO[bytes]", process.stdout), selectors.EVENT_READ, "stdout")
        selector.register(t.cast("t.IO[bytes]", process.stderr), selectors.EVENT_READ, "stderr")
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None
            # Once the command has ended, whoever else holds the pipes (a daemon it started) is not
            # waited for.
            events = selector.select(min(left, 0.2) if frame.ended else left)
            now = time.monotonic()
            for key, _mask in events:
                data = os.read(key.fd, 65536)
                if data:
                    frame.feed(
                        data if key.data == "stdout" else b"",
                        data if key.data == "stderr" else b"",
                        now,
                    )
                else:
                    selector.unregister(key.fileobj)
            if not events and frame.ended and process.poll() is not None:
                break
        return process.wait(timeout=max(deadline - time.monotonic(), 1.0))
