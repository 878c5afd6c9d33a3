# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One network for the instances of two hosts, for as long as a pool is measured.

The bridges of a technology on both hosts are joined by a tunnel (VXLAN) between the hosts' own addresses, so that an
instance keeps its hardware and IP address wherever it goes, and the hosts' own cards stay as they are. Both bridges
have the same address while they stand alone; the peer's becomes another one meanwhile.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.network import Subnet
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

TUNNEL = "vcpool0"
_ALIAS = "vcompare"
_KIND = "tunnel"
# Any number that the two agree on; the port is VXLAN's (RFC 7348).
_NETWORK, _PORT = "213", "4789"
_TIMEOUT_S = 60.0


def _ip(*words: str, check: bool = True) -> str:
    return host_run(["ip", *words], _TIMEOUT_S, "joining the hosts' networks", check=check).stdout


def join(subnet: Subnet, local: str, remote: str, journal: Journal, owner: str) -> None:
    """Make the tunnel to the other host a port of the instances' bridge; one that an interrupted run left goes first.

    :param local: this host's address towards the other one, whose address is ``remote``.
    """
    part(journal, owner)
    journal.create(_KIND, TUNNEL, owner)
    _ip(
        *("link", "add", TUNNEL, "type", "vxlan", "id", _NETWORK),
        *("local", local, "remote", remote, "dstport", _PORT),
    )
    _ip("link", "set", TUNNEL, "alias", _ALIAS)
    # As large as the bridge's own: the hosts take frames apart that are too long with the tunnel's head.
    _ip("link", "set", TUNNEL, "mtu", "1500", "master", subnet.bridge, "up")


def part(journal: Journal, owner: str) -> None:
    """Take the tunnel away, where there is one of ours."""
    folder = Path("/sys/class/net", TUNNEL)
    if folder.exists():
        if (folder / "ifalias").read_text(encoding="utf-8").strip() not in (_ALIAS, ""):
            raise BackendError(
                f"there is an interface {TUNNEL} that is not ours", remedy="Rename that interface."
            )
        _ip("link", "delete", TUNNEL)
    if any(record["id"] == TUNNEL for record in journal.pending(_KIND)):
        journal.gone(_KIND, TUNNEL, owner)


def second_address(subnet: Subnet) -> str:
    """Return the address that the peer's bridge has meanwhile; no instance has it (they begin at 16)."""
    return str(ipaddress.IPv4Network(subnet.network)[2])


def step_aside(subnet: Subnet) -> None:
    """Have the second address in place of the first, on the peer's bridge; done again, it changes nothing."""
    _readdress(subnet, subnet.gateway, second_address(subnet))


def step_back(subnet: Subnet) -> None:
    """Have the first address again."""
    _readdress(subnet, second_address(subnet), subnet.gateway)


def _readdress(subnet: Subnet, old: str, new: str) -> None:
    if not Path("/sys/class/net", subnet.bridge).exists():
        return
    shown = _ip("-o", "-4", "address", "show", "dev", subnet.bridge)
    # In this order: with the first address of a network its others would go, too.
    if f" {old}/" in shown:
        _ip("address", "delete", f"{old}/{subnet.prefix_length}", "dev", subnet.bridge)
    if f" {new}/" not in shown or f" {old}/" in shown:
        _ip(
            *("address", "replace", f"{new}/{subnet.prefix_length}", "dev", subnet.bridge),
        )
