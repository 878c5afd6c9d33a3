# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a lab keeps what, and which names and addresses follow from its name.

Nothing here touches a disk: the inventory plugin uses it before a lab exists.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import XEN_ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

# A default lab has the first two, one without Xen the first alone; each further one is the peer of the node whose name
# it begins with.
NODES = ("lab-linux", "lab-xen", "lab-linux-2", "lab-xen-2")
DEFAULT_NODES = 2
SSH_PORT = 2222
# Where QEMU takes the frames of the other node of a pair.
PAIR_PORT = 2223
# The second card of a node that has a peer: hardware address, and address in the pair's own /24. The node image
# has a file for each (roles/nested_lab/vars/main.yml).
_PAIR_CARDS: t.Mapping[str, tuple[str, str]] = {
    "lab-linux": ("52:54:00:d5:0a:01", "10.213.10.1"),
    "lab-linux-2": ("52:54:00:d5:0a:02", "10.213.10.2"),
    "lab-xen": ("52:54:00:d5:0b:01", "10.213.11.1"),
    "lab-xen-2": ("52:54:00:d5:0b:02", "10.213.11.2"),
}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
# A home becomes part of options of ssh and QEMU, which have blanks, commas, quotes and % for themselves.
_HOME = re.compile(r"/[\w./+@-]*")


def nodes_needed(arms: t.Collection[str], there: int = 0) -> int:
    """How many nodes a lab needs that is asked for these arms.

    :param arms: empty for all.
    :param there: how many nodes the lab has that is there; one that has more keeps them.
    """
    needed = DEFAULT_NODES if not arms or set(arms) & set(XEN_ARMS) else 1
    return max(needed, min(there, DEFAULT_NODES))


@dataclasses.dataclass(frozen=True)
class Node:
    """One machine of a nested lab, as it is reached from the lab server."""

    name: str
    address: str
    port: int
    domain: str


@dataclasses.dataclass(frozen=True)
class PairCard:
    """How a node is connected with its peer.

    :param peer: the peer's name; ``peer_loopback`` is the lab server's loopback address where its QEMU listens.
    :param mac: of the card; ``address`` is the node's on it, ``peer_address`` that of the peer on its own.
    """

    peer: str
    peer_loopback: str
    mac: str
    address: str
    peer_address: str


@dataclasses.dataclass(frozen=True)
class Lab:
    """The names and folders of one lab.

    :param home: absolute path of the home that it lies in.
    :param name: a letter, then letters, digits and dashes; 20 characters at most.
    :param count: how many nodes it has: 1 (without Xen), 2, or 3 or 4, whose further ones are peers of the others.
    """

    home: str
    name: str
    count: int = DEFAULT_NODES

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise VcompareError(
                f"The lab name {self.name!r} (vcompare_lab, --lab) can't be used.",
                "Take a small letter, then small letters, digits and dashes, 20 characters at most.",
            )
        if not os.path.isabs(self.home):
            raise VcompareError(
                f"The home {self.home!r} (vcompare_home) is not an absolute path.",
                "Give a full path.",
            )
        if not _HOME.fullmatch(self.home):
            raise VcompareError(
                f"The home {self.home!r} (vcompare_home, VCOMPARE_HOME) can't be used: ssh and QEMU would read it as "
                "something else.",
                "Take a path of letters, digits and / . _ + @ -.",
            )
        if not 1 <= self.count <= len(NODES):
            raise VcompareError(
                f"A lab of {self.count} nodes (vcompare_nodes, --nodes) can't be made.",
                "Take 1 (lab-linux), 2 (lab-linux and lab-xen), 3 (with lab-linux-2, a second host of Docker and KVM) "
                "or 4 (with lab-xen-2, a second host of Xen, too).",
            )

    @property
    def folder(self) -> str:
        return os.path.join(self.home, "labs", self.name)

    @property
    def images(self) -> str:
        return os.path.join(self.home, "images")

    @property
    def owner(self) -> str:
        """The marker's value. Two homes never meet, so the home is part of it."""
        return f"{self.name}-{self._hash().hex()[:8]}"

    @property
    def keys(self) -> str:
        return os.path.join(self.folder, "keys")

    @property
    def known_hosts(self) -> str:
        return os.path.join(self.folder, "known_hosts")

    @property
    def journal(self) -> str:
        return os.path.join(self.folder, "journal.jsonl")

    @property
    def state(self) -> str:
        return os.path.join(self.folder, "state.json")

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The lab's machines. Each has a loopback address of its own that follows from home and name.

        A lab takes a /30-like slice of 127.0.0.0/8: the second and third byte are hashed into
        64–127 and 0–255, so that labs meet seldom, and `nested_lab` checks before it makes anything.
        """
        digest = self._hash()
        prefix = f"127.{64 + digest[0] % 64}.{digest[1]}"
        return tuple(
            Node(
                name=name,
                address=f"{prefix}.{10 + place}",
                port=SSH_PORT,
                domain=f"vc-{self.owner}-{name}",
            )
            for place, name in enumerate(NODES[: self.count], start=1)
        )

    def pair_card(self, node: Node) -> PairCard | None:
        """The second card of a node that has a peer in this lab; None for one that stands alone."""
        name = node.name.removesuffix("-2") if node.name.endswith("-2") else f"{node.name}-2"
        other = next((each for each in self.nodes if each.name == name), None)
        if other is None:
            return None
        mac, address = _PAIR_CARDS[node.name]
        return PairCard(other.name, other.address, mac, address, _PAIR_CARDS[other.name][1])

    def _hash(self) -> bytes:
        return hashlib.sha256(f"{os.path.normpath(self.home)}\0{self.name}".encode()).digest()
