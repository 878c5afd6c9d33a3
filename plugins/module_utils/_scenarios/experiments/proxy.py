# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HAProxy before replicas of redis: a process of the host's own, told of each replica through its own socket.

The commands are those of https://docs.haproxy.org/2.6/management.html#9.3 ("Unix Socket commands").
"""

from __future__ import annotations

import csv
import socket
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import readiness
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.stage import Stage
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup

PORT = 16379
_POOL = "replicas"
# Inside of its own root file system.
_CONFIG, _SOCKET = "/tmp/haproxy.cfg", "/tmp/haproxy.sock"  # noqa: S108
_WAIT_S = 20.0
_LOOK_S = 0.05
_CHECK_S = 0.5


def config(address: str, places: int, check_s: float) -> str:
    """Return HAProxy's configuration: places for replicas, none of which is there yet.

    :param check_s: seconds between two looks at a replica, and how long one may take.
    """
    servers = "".join(
        f"  server place{number} 127.0.0.1:9 check inter {check_s * 1000:.0f}ms fall 2 rise 1 disabled\n"
        for number in range(places)
    )
    return (
        "global\n"
        "  maxconn 512\n"
        f"  stats socket {_SOCKET} mode 600 level admin\n"
        "defaults\n"
        "  mode tcp\n"
        f"  timeout connect {check_s * 1000:.0f}ms\n"
        f"  timeout check {check_s * 1000:.0f}ms\n"
        "  timeout client 60s\n"
        "  timeout server 60s\n"
        "  retries 3\n"
        "  option redispatch\n"
        "frontend service\n"
        f"  bind {address}:{PORT}\n"
        f"  default_backend {_POOL}\n"
        f"backend {_POOL}\n"
        "  balance roundrobin\n"
        "  option tcp-check\n"
        "  tcp-check send PING\\r\\n\n"
        "  tcp-check expect string +PONG\n"
        f"{servers}"
    )


def command(address: str, places: int, check_s: float) -> tuple[str, ...]:
    """Return the command line of a process that writes its configuration and becomes HAProxy."""
    script = f'printf %s "$1" > {_CONFIG}; exec haproxy -db -f {_CONFIG}'
    return ("/bin/sh", "-c", script, "sh", config(address, places, check_s))


def row(statistics: str, place: int) -> t.Mapping[str, str]:
    """Return a server's line of ``show stat``.

    :raises BackendError: it is not there.
    """
    lines = csv.DictReader(statistics.removeprefix("# ").splitlines())
    for line in lines:
        if line.get("pxname") == _POOL and line.get("svname") == f"place{place}":
            return line
    raise BackendError(f"HAProxy says nothing of place {place}: {statistics[:200]!r}")


class Proxy:
    """One that runs for the rest of the turn."""

    def __init__(self, stage: Stage, places: int) -> None:
        self._wait_s = _WAIT_S * stage.factor
        check_s = _CHECK_S * stage.factor
        self._spec = stage.outside("proxy", lambda address: command(address, places, check_s))
        backend = stage.backend_outside(self._spec)
        info = backend.info(self._spec.name)
        self.address, self._pid = info.address, info.details.get("pid")
        if not wait_until(lambda: readiness.answers(self.address, PORT, 1.0), self._wait_s, 0.1):
            raise BackendError(
                f"HAProxy did not listen on {self.address}:{PORT} within {self._wait_s:g} s",
                evidence=backend.console(self._spec.name),
            )

    def tell(self, command: str) -> str:
        """Give it a command on its socket; return what it says.

        :raises BackendError: it could not be reached.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._wait_s)
                connection.connect(f"/proc/{self._pid}/root{_SOCKET}")
                connection.sendall(command.encode() + b"\n")
                with connection.makefile("rb") as answer:
                    return answer.read().decode(errors="replace").strip()
        except OSError as error:
            raise BackendError(f"HAProxy could not be told to {command!r}: {error}") from None

    def _set(self, place: int, what: str) -> None:
        said = self.tell(f"set server {_POOL}/place{place} {what}")
        # It says what it changed when that is an address, and nothing when it is a state.
        if said and "changed from" not in said and "no need to change" not in said:
            raise BackendError(f"HAProxy did not set {what} of place {place}: {said}")

    def put(self, place: int, address: str) -> None:
        """Have a replica in a place, and wait until it is used."""
        self._set(place, f"addr {address} port {startup.PORT}")
        self._set(place, "state ready")
        self._until(place, "in use", lambda line: line["status"].startswith("UP"))

    def drain(self, place: int) -> None:
        """Give a place no new connections, and wait until it has none."""
        self._set(place, "state drain")
        self._until(place, "without connections", lambda line: line["scur"] == "0")
        self._set(place, "state maint")

    def _until(self, place: int, what: str, holds: t.Callable[[t.Mapping[str, str]], bool]) -> None:
        seen: list[t.Mapping[str, str]] = []

        def look() -> bool:
            seen[:] = [row(self.tell("show stat"), place)]
            return holds(seen[0])

        if not wait_until(look, self._wait_s, _LOOK_S):
            raise BackendError(
                f"HAProxy: place {place} was not {what} within {self._wait_s:g} s: it is"
                f" {seen[0].get('status')} with {seen[0].get('scur')} connections"
                f" ({seen[0].get('last_chk')})"
            )
