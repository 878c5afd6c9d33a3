# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both hosts of a pool, while a step of the experiment works with them: opened, joined, and closed again."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import network
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils._arms.machine import Machine
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    InstanceSpec,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import starting
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import resp
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import agent, link, way
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.client import (
    Conversation,
    Peer,
)

if t.TYPE_CHECKING:
    from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.stage import (
        Stage,
    )

NEEDS = "needs a second host of this technology: --nodes 3 or 4, or a host in {group}"

# Deadlines in seconds on an ordinary machine.
QUICK_S = 60.0
# A container image is loaded, where it isn't there yet.
PREPARE_S = 240.0
DESTROY_S = 60.0


class Session:
    """The source (where this runs) and its peer.

    :param opened: what the agent said when it was opened.
    """

    def __init__(
        self, stage: Stage, backend: Base, peer: Peer, talk: Conversation, opened: t.Any
    ) -> None:
        self.stage, self.backend, self.peer, self.talk = stage, backend, peer, talk
        self.opened = opened
        self._given: list[str] = []

    @property
    def destination(self) -> Destination:
        """The peer, as a backend moves an instance there."""
        return Destination(self.peer.address, self.talk.program)

    def spec(self, tag: str, **changes: t.Any) -> InstanceSpec:
        """Return the specification of an instance that may be on either host: with an address that neither has given.

        It goes at the end of the turn where it is on the source, and with the session where it is on the peer.
        """
        taken = [str(record["address"]) for record in self.backend.store.records()]
        name = f"{self.stage.spec.name}-{tag}"
        address = self.backend.subnet.address(name, [*taken, *self._given])
        self._given.append(address)
        return self.stage.another(
            tag, options={**self.stage.spec.options, "address": address}, **changes
        )

    def on_peer(self, verb: str, spec: InstanceSpec, timeout_s: float, **given: t.Any) -> t.Any:
        """Ask the agent for something that is done with an instance."""
        return self.talk.ask(verb, timeout_s, spec=agent.spec_to_plain(spec), **given)

    def create_on_peer(self, spec: InstanceSpec) -> None:
        """Make an instance on the peer, and wait until its application replies to the source."""
        create_s = starting.CREATE_S
        self.on_peer("create", spec, PREPARE_S + create_s, limit_s=create_s * self.stage.factor)
        address = self.backend.address(spec)
        limit_s = starting.READY_S * self.stage.factor
        if not resp.ping(address, limit_s):
            state = self.talk.ask("state", QUICK_S, name=spec.name)
            raise BackendError(
                f"{spec.name} on {self.peer.name} did not reply at {address} within {limit_s:g} s; it is {state}"
            )

    def destroy_on_peer(self, name: str) -> None:
        """Take an instance away from the peer."""
        self.talk.ask("destroy", DESTROY_S, name=name, limit_s=DESTROY_S * self.stage.factor)


def _guest_keys(backend: Base) -> dict[str, str]:
    """Return the keys that the source's guests know, for an agent that shall get into them as well."""
    if not isinstance(backend, Machine):
        return {}
    folder = Path(backend.keys.folder)
    names = ("client_ed25519", "guest_host_ed25519")
    return {
        f"{name}{end}": (folder / f"{name}{end}").read_text(encoding="ascii")
        for name in names
        for end in ("", ".pub")
    }


def _greet(stage: Stage, backend: Base) -> None:
    """Have the turn's own guest hear of the host's hardware address: a bridge may get another one with a port.

    The host knows the guest's for good and never asks; without being asked, the guest would go on using the old one for
    half a minute.
    """
    record = backend.store.read(stage.spec.name)
    if not record or not record.get("mac"):
        return
    network.drop_neighbour(backend.subnet, record["address"])
    resp.ping(record["address"], QUICK_S * stage.factor)
    network.set_neighbour(backend.subnet, record["address"], record["mac"])


@contextlib.contextmanager
def opened(stage: Stage) -> t.Iterator[Session]:
    """Open the pool: the agent on the peer, and one network over both hosts; all of it ends with the block.

    :raises NotPossible: there is no second host.
    """
    arm = stage.backend.arm
    if stage.peer is None:
        group = f"{'xen' if arm.startswith('xen') else arm}_peers"
        raise NotPossible(NEEDS.format(group=group))
    backend = t.cast(Base, stage.backend)
    local, remote = way.between(stage.peer.name, stage.peer.address, stage.peer.local)
    # From here on, there are numbers only.
    peer = dataclasses.replace(stage.peer, address=remote, local=local)
    talk = Conversation(peer, stage.factor)
    owner = stage.spec.owner
    try:
        said = talk.ask(
            "open",
            QUICK_S + DESTROY_S,
            arm=arm,
            owner=owner,
            digest=stage.spec.image.digest if stage.spec.image else "",
            keys=_guest_keys(backend),
            sweep_timeout_s=DESTROY_S * stage.factor,
        )
        talk.ask(
            "join",
            PREPARE_S,
            spec=agent.spec_to_plain(stage.spec),
            local=remote,
            remote=local,
        )
        link.join(backend.subnet, local, remote, backend.journal, owner)
        _greet(stage, backend)
        yield Session(stage, backend, peer, talk, said)
    finally:
        trouble = []
        try:
            link.part(backend.journal, owner)
            _greet(stage, backend)
        except BackendError as error:
            trouble.append(error.message)
        try:
            talk.end()
        except BackendError as error:
            trouble.append(error.message)
        if trouble:
            stage.evidence.keep(f"{arm}: the pool was not closed: {'; '.join(trouble)}\n")
