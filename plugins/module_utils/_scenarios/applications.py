# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The applications that instances carry: how each is started, and how it is asked whether it is there."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import readiness
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup


@dataclasses.dataclass(frozen=True)
class Application:
    """A program that answers on a port of its instance's own address.

    :param command: (address) → the command line, the same in every arm.
    :param question: what is asked to see that it is there, and how a correct reply begins.
    """

    name: str
    port: int
    command: t.Callable[[str], tuple[str, ...]]
    question: readiness.Question


_MEMCACHED_PORT = 11211


def _memcached(address: str) -> tuple[str, ...]:
    """Without UDP, on one thread, with a bound that the smallest instance has room for; root is the only user of it."""
    return (
        "memcached",
        "--user=root",
        f"--listen={address}",
        f"--port={_MEMCACHED_PORT}",
        "--udp-port=0",
        "--threads=1",
        "--memory-limit=16",
    )


REDIS = Application("redis", startup.PORT, startup.command, readiness.PING)
MEMCACHED = Application(
    "memcached", _MEMCACHED_PORT, _memcached, readiness.Question(b"version\r\n", b"VERSION ")
)
