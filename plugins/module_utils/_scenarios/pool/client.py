# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The source's side of a conversation with the agent on its peer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import selectors
import subprocess
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import access

_CONNECT_S = 60.0
_END_S = 20.0


@dataclasses.dataclass(frozen=True)
class Peer:
    """The second host of a technology.

    :param name: in the inventory.
    :param address: where the source reaches it; ``local`` is the source's own address on that way.
    :param port: of its sshd.
    :param host_key: its public host key, read over Ansible's connection to it.
    :param nested: whether it is a node of a lab, whose power may be cut.
    """

    name: str
    address: str
    local: str
    host_key: str
    nested: bool = False
    port: int = 22


class Conversation:
    """Questions to one agent; each has a deadline.

    :param factor: how much slower than an ordinary machine the hosts may be.
    """

    def __init__(self, peer: Peer, factor: float) -> None:
        self.peer, self.factor = peer, factor
        self.program = access.write_client(peer.address, peer.host_key, port=peer.port)
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def ask(self, verb: str, timeout_s: float, **given: t.Any) -> t.Any:
        """Ask, and return the answer.

        :param timeout_s: on an ordinary machine.
        :raises NotPossible: the peer refuses.
        :raises BackendError: it failed, or there was no answer in time.
        """
        if self._process is None:
            self._process = access.popen(self.program, self.peer.address)
            self._rest = b""
        reply = self._exchange({"verb": verb, **given}, verb, timeout_s * self.factor + _CONNECT_S)
        if "answer" in reply:
            return reply["answer"]
        if "refused" in reply:
            raise NotPossible(str(reply["refused"]))
        raise BackendError(
            f"{self.peer.name}: {reply.get('failed')}",
            remedy=str(reply.get("remedy") or ""),
            evidence=str(reply.get("evidence") or ""),
        )

    def _exchange(self, question: t.Mapping[str, t.Any], verb: str, limit_s: float) -> t.Any:
        process = t.cast("subprocess.Popen[bytes]", self._process)
        if process.stdin is None or process.stdout is None:
            raise BackendError("the connection to the peer has no pipes")
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise self._lost(verb) from None
        deadline = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise BackendError(
                        f"{self.peer.name} did not answer {verb} within {limit_s:g} s",
                        remedy="See whether it is up, and what it does.",
                    )
                # The pipe itself: a buffer would hide from the selector what it has read ahead.
                data = process.stdout.raw.read(65536)  # type: ignore[attr-defined]
                if not data:
                    raise self._lost(verb)
                self._rest += data
        line, _end, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def _lost(self, verb: str) -> BackendError:
        """Make the error of a connection that ended, with what ssh said."""
        said = ""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired, ValueError):
                _out, err = process.communicate(timeout=_END_S)
                said = err.decode(errors="replace").strip()
            if process.poll() is None:
                process.kill()
                process.wait()
        last = said.splitlines()[-1] if said else "nothing"
        return BackendError(
            f"the connection to {self.peer.name} ({self.peer.address} port {self.peer.port}) ended at {verb}; "
            f"ssh said: {last}",
            remedy="See that the host is up, and that its sshd takes root with a key.",
            evidence=said,
        )

    def forget(self) -> None:
        """Let go of a connection whose other end is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def end(self) -> None:
        """End the conversation; the agent takes away what it made."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=_END_S * self.factor)
        except (subprocess.TimeoutExpired, OSError, ValueError):
            process.kill()
            process.communicate()
