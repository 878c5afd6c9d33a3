# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A few words with memcached from outside of its instance, each over a connection of its own.

A library would have to be on every host under test; the text protocol is a line each
(https://github.com/memcached/memcached/blob/master/doc/protocol.txt).
"""

from __future__ import annotations

import socket

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import applications


def put(address: str, key: str, value: str, timeout_s: float) -> None:
    """Keep a value under a key.

    :raises BackendError: it did not say that it did.
    """
    data = value.encode()
    reply = _once(address, f"set {key} 0 0 {len(data)}\r\n".encode() + data, timeout_s)
    if reply != "STORED":
        raise BackendError(f"memcached at {address} answered set with {reply}")


def alive(address: str, timeout_s: float) -> bool:
    """Say whether memcached replies."""
    try:
        return _once(address, b"version", timeout_s).startswith("VERSION ")
    except BackendError:
        return False


def _once(address: str, words: bytes, timeout_s: float) -> str:
    """Send a command; return the first line of its reply."""
    try:
        with (
            socket.create_connection(
                (address, applications.MEMCACHED.port), timeout=timeout_s
            ) as connection,
            connection.makefile("rb") as lines,
        ):
            connection.sendall(words + b"\r\n")
            first = lines.readline()
    except OSError as error:
        raise BackendError(f"memcached at {address} did not answer: {error}") from None
    if not first.endswith(b"\r\n"):
        raise BackendError(f"memcached at {address} ended the connection before its reply")
    return first.decode(errors="replace").rstrip("\r\n")
