# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time to an application's first correct reply, seen from outside of its instance.

A figure of start-up is only as good as the poller. Three things would falsify it, and shape this
file:

* A SYN that nobody answers is sent again after a second. So every poll is a new connection; the old
  ones stay open for a while, bounded in number.
* An address that nobody has yet is asked for by ARP once a second. See ``neighbour.py``.
* A poller that did not run can't have seen anything. So the largest gap between polls is part of
  the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import select
import socket
import threading
import time
import typing as t

INTERVAL_S = 0.004
# A long start is looked at less often: what a look may be late by stays below this part of it, and on an emulated
# host, where a look costs milliseconds, the instance gets what 250 of them a second would take.
_PART = 0.005
STARVED_S = 0.05

# Unanswered attempts: the oldest is given up for a new one.
_MAX_CONNECTING = 16
# Connections that are up and have no reply yet. Some of them are kept for long, since a reply may
# take its time; the others make room for new ones, since a server whose queue was full has dropped
# what was sent, and only sees it again when TCP repeats it, later and later.
_MAX_WAITING = 32
_PATIENT = 16
_WAITING_S = 2.0

# The state of the moment, not an error: nobody is there yet.
_NOT_YET = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.ETIMEDOUT,
        errno.EPIPE,
        errno.ENOTCONN,
        errno.EADDRNOTAVAIL,
        errno.EAGAIN,
        errno.EINTR,
    }
)


@dataclasses.dataclass(frozen=True)
class Question:
    """What an application is asked, and how its correct reply begins, which is one line.

    :param reply: its beginning; all of it where it has the line's end.
    """

    request: bytes
    reply: bytes

    def answered(self, received: bytes) -> bool:
        """Say whether what came is the correct reply, whole."""
        return received.startswith(self.reply) and received.find(b"\n") == len(received) - 1

    def hopeful(self, received: bytes) -> bool:
        """Say whether what came may become the correct reply."""
        if len(received) < len(self.reply):
            return self.reply.startswith(received)
        return received.startswith(self.reply) and b"\n" not in received


PING = Question(b"PING\r\n", b"+PONG\r\n")


class NotReady(Exception):
    """No correct reply came before the deadline; the text says what came instead."""


class Cancelled(Exception):
    """The wait was ended from outside, since there is nothing to wait for any more."""


@dataclasses.dataclass(frozen=True)
class Readiness:
    """When the first correct reply came, and how well we looked.

    :param elapsed_s: seconds from the given start to the reply, by the monotonic clock.
    :param polls: connections that were tried.
    :param largest_gap_s: longest time between two polls.
    :param last_gap_s: time between the last two polls: what the figure may be late by.
    :param wrong_replies: answers that were not the correct one, e.g. ``-LOADING``.
    :param latest_s: how much later than it was due the latest poll came.
    """

    elapsed_s: float
    polls: int
    largest_gap_s: float
    last_gap_s: float
    wrong_replies: int
    latest_s: float = 0.0

    @property
    def starved(self) -> bool:
        """Whether the poller itself was kept from running for long."""
        return self.latest_s > STARVED_S

    def text(self) -> str:
        """The same as lines, to be kept as evidence."""
        lines = [
            f"{field.name}: {getattr(self, field.name)!r}" for field in dataclasses.fields(self)
        ]
        return "\n".join([*lines, f"starved: {self.starved} (a poll more than {STARVED_S} s late)"])


@dataclasses.dataclass(slots=True)
class _Attempt:
    """One connection: when it was begun, whether it is up, what came back so far."""

    sock: socket.socket
    since: float
    connected: bool = False
    received: bytes = b""


class Poller:
    """Asks one address again and again, from whichever thread calls :meth:`wait`.

    :param address: IPv4 address.
    :param interval_s: seconds between polls at first; later more (``_PART``).
    :param avoid_cpus: CPUs of the instance; the polling thread keeps off them if there are others.
    :param question: what is asked; redis' PING when nothing is said.
    """

    def __init__(
        self,
        address: str,
        port: int,
        interval_s: float = INTERVAL_S,
        avoid_cpus: t.Collection[int] = (),
        question: Question = PING,
    ) -> None:
        self.target = (address, port)
        self.question = question
        self.interval_s = interval_s
        self.avoid_cpus = frozenset(avoid_cpus)
        self._cancel = threading.Event()
        # epoll itself, and few steps a poll: on an emulated host a poll costs milliseconds, and what
        # the poller takes, the instance that it waits for does not get.
        self._epoll = select.epoll()
        self._connecting: dict[int, _Attempt] = {}
        self._waiting: dict[int, _Attempt] = {}
        self._polls = 0
        self._wrong = 0
        self._last = "nothing was tried"

    def cancel(self) -> None:
        """End the wait, from any thread."""
        self._cancel.set()

    def wait(self, started: float, timeout_s: float) -> Readiness:
        """Return when the first correct reply came.

        :param started: reading of ``time.monotonic()`` that the elapsed time counts from.
        :param timeout_s: seconds from ``started`` after which to give up.
        :raises NotReady: at the deadline.
        :raises Cancelled: after :meth:`cancel`.
        """
        with self._off_the_instances_cpus():
            try:
                return self._loop(started, timeout_s)
            finally:
                for attempt in [*self._connecting.values(), *self._waiting.values()]:
                    self._drop(attempt)
                self._epoll.close()

    def _loop(self, started: float, timeout_s: float) -> Readiness:
        previous = time.monotonic()
        due = previous
        largest = last_gap = latest = 0.0
        while True:
            now = time.monotonic()
            if now >= due:
                if self._polls:
                    last_gap = now - previous
                    largest = max(largest, last_gap)
                    latest = max(latest, now - due)
                previous = now
                due = now + max(self.interval_s, _PART * (now - started))
                if now - started > timeout_s:
                    raise NotReady(
                        f"no correct reply from {self.target[0]}:{self.target[1]}"
                        f" within {timeout_s:g} s ({self._polls} attempts,"
                        f" {self._wrong} wrong replies; the last: {self._last})"
                    )
                if self._cancel.is_set():
                    raise Cancelled
                self._poll(now)
            for number, _events in self._epoll.poll(max(0.0, due - time.monotonic())):
                # One that was heard of may have been given up while an earlier one was looked at.
                if (number in self._connecting or number in self._waiting) and self._advance(
                    number
                ):
                    return Readiness(
                        elapsed_s=time.monotonic() - started,
                        polls=self._polls,
                        # A select that came back late is a gap too.
                        largest_gap_s=max(largest, time.monotonic() - previous),
                        last_gap_s=last_gap,
                        wrong_replies=self._wrong,
                        latest_s=max(latest, time.monotonic() - due),
                    )

    def _poll(self, now: float) -> None:
        """Begin one more connection, and give up what is too old."""
        for attempt in list(self._waiting.values()):
            if now - attempt.since > _WAITING_S:
                self._last = "it accepts connections, but does not reply"
                self._drop(attempt)
        self._polls += 1
        if len(self._waiting) >= _MAX_WAITING:
            self._drop(list(self._waiting.values())[_PATIENT])
        if len(self._connecting) >= _MAX_CONNECTING:
            self._last = "connections are not answered"
            self._drop(next(iter(self._connecting.values())))
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = sock.connect_ex(self.target)
        if code not in (0, errno.EINPROGRESS):
            self._note(code)
            sock.close()
            return
        number = sock.fileno()
        self._connecting[number] = _Attempt(sock, now)
        self._epoll.register(number, select.EPOLLOUT)

    def _advance(self, number: int) -> bool:
        """Go on with a connection that has news; return whether it brought the correct reply."""
        attempt = self._connecting.get(number) or self._waiting[number]
        try:
            if not attempt.connected:
                code = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                attempt.connected = True
                attempt.sock.send(self.question.request)
                del self._connecting[number]
                self._waiting[number] = attempt
                self._epoll.modify(number, select.EPOLLIN)
                return False
            data = attempt.sock.recv(256)
        except OSError as error:
            self._note(error.errno or 0)
            self._drop(attempt)
            return False
        attempt.received += data
        if self.question.answered(attempt.received):
            return True
        if data and self.question.hopeful(attempt.received):
            return False
        if attempt.received:
            self._wrong += 1
            self._last = f"it replied {attempt.received[:80]!r}"
        else:
            self._last = "it closed the connection without a reply"
        self._drop(attempt)
        return False

    def _note(self, code: int) -> None:
        """Remember what a connection ended with.

        :raises OSError: when it is an error of our own (no more files, not permitted), which no
            waiting will cure.
        """
        if code not in _NOT_YET:
            raise OSError(code, f"polling {self.target[0]}:{self.target[1]}: {os.strerror(code)}")
        self._last = os.strerror(code)

    def _drop(self, attempt: _Attempt) -> None:
        number = attempt.sock.fileno()
        self._connecting.pop(number, None)
        self._waiting.pop(number, None)
        # Closing it would not take it out of the epoll set while a program that is being started (mount, xl)
        # still holds a copy, and what is heard of it then would be taken for the next socket of that number.
        with contextlib.suppress(FileNotFoundError):
            self._epoll.unregister(number)
        attempt.sock.close()

    def _off_the_instances_cpus(self) -> _Affinity:
        return _Affinity(self.avoid_cpus)


class _Affinity:
    """Keeps the calling thread off some CPUs, unless there are no others."""

    def __init__(self, avoid: frozenset[int]) -> None:
        self._avoid = avoid
        self._before: set[int] = set()

    def __enter__(self) -> None:
        before = os.sched_getaffinity(0)
        if self._avoid and before - self._avoid:
            self._before = before
            os.sched_setaffinity(0, before - self._avoid)

    def __exit__(self, *_unused: object) -> None:
        if self._before:
            os.sched_setaffinity(0, self._before)


def answers(address: str, port: int, timeout_s: float = 0.2) -> bool:
    """Return whether something listens there already, which would falsify any figure."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return True
    except OSError:
        return False
