# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A few words with redis from outside of its instance, each over a connection of its own.

A library would have to be on every host under test; inline commands are a line each
(https://redis.io/docs/latest/develop/reference/protocol-spec/#inline-commands).
"""

from __future__ import annotations

import socket
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import startup

_TRY_S = 1.0
_PAUSE_S = 0.02


def ask(address: str, words: str, timeout_s: float) -> str:
    """Send an inline command until there is a reply; return it without its type's sign and line ends.

    The items of a list are lines.

    :raises BackendError: there was none in time, or redis says that it is an error.
    """
    deadline = time.monotonic() + timeout_s
    trouble = "nothing was tried"
    while time.monotonic() < deadline:
        try:
            reply = once(address, words, min(_TRY_S, timeout_s))
        except OSError as error:
            trouble = str(error)
            time.sleep(_PAUSE_S)
            continue
        if reply.startswith("-"):
            raise BackendError(f"redis at {address} answered {words.split()[0]} with {reply}")
        return reply[1:]
    raise BackendError(
        f"redis at {address} did not answer {words.split()[0]} within {timeout_s:g} s: {trouble}"
    )


def once(address: str, words: str, timeout_s: float, port: int = startup.PORT) -> str:
    """Send an inline command once; return the reply with its type's sign.

    :raises OSError: there was none.
    """
    with (
        socket.create_connection((address, port), timeout=timeout_s) as connection,
        connection.makefile("rb") as lines,
    ):
        connection.sendall(words.encode() + b"\r\n")
        return _reply(lines)


def _reply(lines: t.BinaryIO) -> str:
    first = lines.readline()
    if not first.endswith(b"\r\n"):
        raise ConnectionResetError("the connection ended before the reply did")
    text = first.decode(errors="replace").rstrip("\r\n")
    if text.startswith("*"):
        return "*" + "\n".join(_reply(lines)[1:] for _item in range(int(text[1:])))
    if not text.startswith("$") or text == "$-1":
        return text
    body = lines.read(int(text[1:]) + 2)
    if not body.endswith(b"\r\n"):
        raise ConnectionResetError("the connection ended before the reply did")
    return "$" + body[:-2].decode(errors="replace")


def ping(address: str, timeout_s: float) -> bool:
    """Say whether redis replies."""
    try:
        return ask(address, "PING", timeout_s) == "PONG"
    except BackendError:
        return False
