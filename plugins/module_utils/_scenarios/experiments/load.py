# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests at a constant rate for as long as something else is done, each with a deadline; none is tried again.

A request is due at its time, whether those before it were answered or not, and its deadline counts from there: a
service that stalls is asked on, as its users would.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
import typing as t

_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Request:
    """One that is over.

    :param due_s: by the monotonic clock.
    :param took_s: from then to its end.
    :param trouble: why it failed; empty when it did not.
    """

    due_s: float
    took_s: float
    trouble: str


class Load:
    """Asks from its beginning to its end (a context manager).

    :param ask: (seconds that are left) → nothing; raises OSError or ValueError for a reply that is none.
    :param rate: requests a second.
    :param deadline_s: of each.
    """

    def __init__(self, ask: t.Callable[[float], object], rate: float, deadline_s: float) -> None:
        self._ask, self.rate, self.deadline_s = ask, rate, deadline_s
        self._stop = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=_AT_ONCE)
        self._pending: list[concurrent.futures.Future[Request]] = []
        self._thread = threading.Thread(target=self._schedule, name="load")
        self._began = self._ended = 0.0

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._stop.set()
        self._thread.join()
        self._ended = time.monotonic()
        self._pool.shutdown(wait=True)

    def _schedule(self) -> None:
        number = 0
        while True:
            due = self._began + number / self.rate
            if self._stop.wait(max(due - time.monotonic(), 0.0)):
                return
            self._pending.append(self._pool.submit(self._once, due))
            number += 1

    def _once(self, due: float) -> Request:
        trouble = ""
        left = self.deadline_s - (time.monotonic() - due)
        if left <= 0:
            trouble = "it could not be sent before its deadline"
        else:
            try:
                self._ask(left)
            except (OSError, ValueError) as error:
                trouble = str(error) or type(error).__name__
        took = time.monotonic() - due
        if not trouble and took > self.deadline_s:
            trouble = f"the reply came after {took:.3f} s"
        return Request(due, took, trouble)

    def requests(self) -> list[Request]:
        """Return all of them, once the load has ended."""
        return [each.result() for each in self._pending]

    @property
    def steady(self) -> bool:
        """Whether it really was that rate: a client that hardly ran can't have seen a failure."""
        return len(self._pending) >= 0.8 * (self._ended - self._began) * self.rate
