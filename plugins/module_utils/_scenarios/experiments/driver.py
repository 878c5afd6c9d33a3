# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drives several servers at the same time from outside, and counts their correct replies.

One loop for all of them, so that each gets as much of the client as the others. Requests go in small batches: what a
client in Python does a request would otherwise be more than what the server does. A closed loop: the next batch follows
the last one's replies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

BATCH = 8
CONNECTIONS = 2


@dataclasses.dataclass(frozen=True)
class Target:
    """A server: what it is asked, and what it must reply to the byte."""

    name: str
    address: str
    port: int
    request: bytes
    reply: bytes


@dataclasses.dataclass(frozen=True)
class Driven:
    """Correct replies by the target's name.

    :param elapsed_s: from the first request to the end.
    :param own_share: part of that in which the client itself was at work on a CPU: near 1, it is what is measured.
    """

    replies: t.Mapping[str, int]
    elapsed_s: float
    own_share: float


class _Connection:
    """One connection with one batch under way."""

    def __init__(self, target: Target, timeout_s: float) -> None:
        self.target = target
        self._request, self._expected = target.request * BATCH, target.reply * BATCH
        self._received = bytearray()
        self.done = 0
        try:
            self.sock = socket.create_connection((target.address, target.port), timeout=timeout_s)
        except OSError as error:
            raise BackendError(f"{target.name} took no connection: {error}") from None
        # Batches fit into the socket's buffer: to send blocks for no longer than a moment.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        self.sock.sendall(self._request)

    def hear(self) -> bool:
        """Take what has come; return whether the batch is done.

        :raises BackendError: it is not what it must be.
        """
        data = self.sock.recv(65536)
        if not data:
            raise BackendError(f"{self.target.name} closed the connection")
        self._received += data
        if self._received != self._expected[: len(self._received)]:
            raise BackendError(f"{self.target.name} replied {bytes(self._received[-80:])!r}")
        if len(self._received) < len(self._expected):
            return False
        self.done += BATCH
        self._received.clear()
        return True

    @property
    def replies(self) -> int:
        """Correct replies so far, those of an unfinished batch included."""
        return self.done + len(self._received) // len(self.target.reply)


@contextlib.contextmanager
def held_to(cpus: t.Collection[int]) -> t.Iterator[None]:
    """Have the calling thread on some CPUs, where it may be there."""
    before = os.sched_getaffinity(0)
    wanted = before.intersection(cpus)
    if wanted:
        os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def drive(targets: t.Sequence[Target], seconds: float, timeout_s: float) -> Driven:
    """Ask all of them for so long.

    :param timeout_s: for a connection.
    :raises BackendError: one of them takes no connection, or replies something else.
    """
    with contextlib.ExitStack() as stack:
        epoll = stack.enter_context(select.epoll())
        connections: dict[int, _Connection] = {}
        for target in targets:
            for _number in range(CONNECTIONS):
                one = _Connection(target, timeout_s)
                stack.callback(one.sock.close)
                connections[one.sock.fileno()] = one
                epoll.register(one.sock.fileno(), select.EPOLLIN)
        began, own = time.monotonic(), time.thread_time()
        deadline = began + seconds
        try:
            for one in connections.values():
                one.ask()
            while (now := time.monotonic()) < deadline:
                for number, _events in epoll.poll(deadline - now):
                    if connections[number].hear():
                        connections[number].ask()
        except OSError as error:
            raise BackendError(f"one of {len(targets)} servers broke off: {error}") from None
        elapsed_s, own = time.monotonic() - began, time.thread_time() - own
        replies = dict.fromkeys((target.name for target in targets), 0)
        for one in connections.values():
            replies[one.target.name] += one.replies
    return Driven(replies, elapsed_s, own / elapsed_s)
