# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long an application was away, seen from outside: redis is asked again and again, each time over a connection of
its own, and the longest time between two correct replies counts.

Questions overlap: one that got lost must not keep the next from being asked, and TCP would repeat it after a second.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
import types
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._host import neighbour
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import readiness
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup

INTERVAL_S = 0.1
# A question that is not answered by then counts as lost; so many are on their way at most.
_LOST_S = 2.0
_AT_ONCE = 24


def longest_gap(replies: t.Sequence[float], began: float, ended: float) -> float:
    """Return the longest time without a reply between two moments, both of which lie between replies.

    :param replies: when a correct reply came, in any order.
    """
    inside = sorted(replies)
    # From the last reply before it began to the first after it ended.
    start = max((at for at in inside if at <= began), default=began)
    stop = min((at for at in inside if at >= ended), default=ended)
    seen = [start, *(at for at in inside if start < at < stop), stop]
    return max((after - before for before, after in itertools.pairwise(seen)), default=0.0)


class Probe:
    """Asks one address in the background, from :meth:`__enter__` to :meth:`__exit__`."""

    def __init__(self, address: str, interval_s: float = INTERVAL_S) -> None:
        self._address, self._interval_s = address, interval_s
        self.replies: list[float] = []
        self.asked = 0
        self._over = threading.Event()
        self._room = threading.Semaphore(_AT_ONCE)
        self._thread = threading.Thread(target=self._go, name="probe", daemon=True)
        self._quickly = neighbour.noticed_quickly(address)

    def __enter__(self) -> Probe:
        self._quickly.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._quickly.__exit__(None, None, None)

    def wait_for_reply(self, after: float, timeout_s: float) -> bool:
        """Wait for a correct reply that comes after a moment; return whether there was one in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.replies and max(self.replies) > after:
                return True
            time.sleep(self._interval_s)
        return False

    def usual_gap(self, before: float) -> float:
        """Return the longest gap before a moment: what the probe itself makes of an application that is there."""
        seen = sorted(at for at in list(self.replies) if at <= before)
        return max((b - a for a, b in itertools.pairwise(seen)), default=0.0)

    def longest(self, began: float, ended: float) -> float:
        """Return the longest time without a correct reply around two moments."""
        return longest_gap(list(self.replies), began, ended)

    def _go(self) -> None:
        while not self._over.wait(self._interval_s):
            if self._room.acquire(blocking=False):
                self.asked += 1
                threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            with socket.create_connection(
                (self._address, startup.PORT), timeout=_LOST_S
            ) as connection:
                connection.sendall(readiness.PING.request)
                if connection.recv(64) == readiness.PING.reply:
                    self.replies.append(time.monotonic())
        except OSError:
            pass  # a question that got lost is what is looked for
        finally:
            self._room.release()
