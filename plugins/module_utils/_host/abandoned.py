# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends a long task on a host when nobody waits for its result any more.

A module goes on when its controller is interrupted or loses the connection, and would keep the host
busy, and its lock, for as long as its work takes. Nothing tells it, but its standard output is then
a pipe without a reader.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import types
import typing as t

_INTERVAL_S = 1.0


class Abandoned(BaseException):
    """Nobody waits for the result. No ``Exception``, so that only clean-up sees it."""


@contextlib.contextmanager
def ends_when_abandoned(fd: int = 1, interval_s: float = _INTERVAL_S) -> t.Iterator[None]:
    """While this lasts, the main thread gets :class:`Abandoned` when the reader of a pipe is gone.

    SIGTERM does the same, so that clean-up happens then, too. To be used in the main thread.
    """

    def give_up(number: int, frame: types.FrameType | None) -> None:
        # Once: clean-up must not be interrupted by the same news.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Abandoned

    before = signal.signal(signal.SIGTERM, give_up)
    over = threading.Event()

    def watch() -> None:
        poll = select.poll()
        # Errors and hang-ups are always reported; nothing else is of interest.
        poll.register(fd, 0)
        while not over.wait(interval_s):
            if any(events & (select.POLLERR | select.POLLHUP) for _fd, events in poll.poll(0)):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, name="abandoned", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGTERM, before)
