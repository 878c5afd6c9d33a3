# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of instances, and the neighbour entries that lead to them."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import BY_NAME, PROCESS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

# Below are the host, and what somebody may want to put beside it.
FIRST = 16


class NoAddress(BackendError):
    """All addresses are taken: a limit of ours, and not of the technology."""


@dataclasses.dataclass(frozen=True)
class Subnet:
    """Where the instances of a technology live.

    :param network: the host is its first address, on a bridge. A /22 holds about as many as Linux lets into a bridge
        (1,023 ports).
    :param bridge: empty when instances use the host's own stack.
    :param mac_prefix: first three bytes of hardware addresses; empty when someone else chooses
        them.
    """

    network: str
    bridge: str = ""
    mac_prefix: str = ""

    @property
    def gateway(self) -> str:
        """The host's own address there."""
        return str(ipaddress.IPv4Network(self.network)[1])

    @property
    def prefix_length(self) -> int:
        """Number of the network's bits."""
        return ipaddress.IPv4Network(self.network).prefixlen

    def address(self, name: str, taken: t.Collection[str] = ()) -> str:
        """Return a free address; always the same for a name, unless another instance has it."""
        network = ipaddress.IPv4Network(self.network)
        count = network.num_addresses - 1 - FIRST
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count
        for step in range(count):
            address = str(network[FIRST + (start + step) % count])
            if address not in taken:
                return address
        raise NoAddress(
            f"{name}: all {count} addresses of {self.network} are taken",
            remedy="Remove instances that are not needed any more (state: absent).",
        )

    def mac(self, address: str) -> str:
        """Return the hardware address that belongs to an address, unique as long as that is."""
        if not self.mac_prefix:
            return ""
        low = ipaddress.IPv4Address(address).packed[1:]
        return self.mac_prefix + "".join(f":{byte:02x}" for byte in low)


# What all networks of instances are carved from, unless the inventory's vcompare_network says otherwise.
DEFAULT_NETWORK = "10.213.0.0/16"
# A host remembers another one there, in its state folder, since bridges outlive what made them.
NETWORK_FILE = "network"
# The parts that instances use; below are those that a nested lab has between its nodes.
_PARTS, _LARGEST, _SMALLEST = 8, 8, 22

LOOPBACK = Subnet("127.0.76.0/22")
DOCKER = Subnet("10.213.16.0/22", "vcdocker0")
KVM = Subnet("10.213.20.0/22", "vckvm0", "52:54:00")
XEN = Subnet("10.213.24.0/22", "vcxen0", "00:16:3e")
PODMAN = Subnet("10.213.28.0/22", "vcpodman0")
_OF_TECHNOLOGY = {"docker": DOCKER, "kvm": KVM, "xen": XEN, "podman": PODMAN}
_ALL = tuple(_OF_TECHNOLOGY.values())
BRIDGES = tuple(subnet.bridge for subnet in _ALL)


def of_arm(arm: str) -> Subnet:
    """Return the network of an arm's instances, before it is carved for a host."""
    row = BY_NAME[arm]
    return LOOPBACK if row.instance == PROCESS else _OF_TECHNOLOGY[row.technology]


def check_network(text: str) -> str:
    """Return a network that others can be carved from, as it is usually written.

    :raises BackendError: it is not one.
    """
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise BackendError(
            f"vcompare_network: {text!r} is not an IPv4 network: {error}",
            remedy=f"Write it like {DEFAULT_NETWORK}.",
        ) from None
    if (
        not _LARGEST <= network.prefixlen <= _SMALLEST
        or network.is_loopback
        or network.is_multicast
    ):
        raise BackendError(
            f"vcompare_network: {text} can't be divided among the technologies",
            remedy=f"Give a private network of /{_LARGEST} to /{_SMALLEST}, like {DEFAULT_NETWORK}.",
        )
    return str(network)


def carved(subnet: Subnet, text: str) -> Subnet:
    """Return the part of another network that a technology's instances use.

    :param text: at most a /22; every technology has a /22 of it, or an eighth where that is smaller.
    """
    if subnet not in _ALL:
        return subnet
    network = ipaddress.IPv4Network(check_network(text))
    prefix = max(ipaddress.IPv4Network(subnet.network).prefixlen, network.prefixlen + 3)
    number = _PARTS - len(_ALL) + _ALL.index(subnet)
    first = int(network[0]) + number * 2 ** (32 - prefix)
    return dataclasses.replace(subnet, network=f"{ipaddress.IPv4Address(first)}/{prefix}")


def of_host(subnet: Subnet, state_dir: str) -> Subnet:
    """Return a technology's network on the host whose state folder that is."""
    try:
        text = Path(state_dir, NETWORK_FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return subnet
    return carved(subnet, text)


def set_neighbour(subnet: Subnet, address: str, mac: str) -> None:
    """Tell the host where an address is, before anyone is there.

    Otherwise the first packet to a machine that is starting waits for ARP, whose repetitions are
    one second apart, and start-up times come in steps of a second.
    """
    host_run(
        [
            "ip",
            "neigh",
            "replace",
            address,
            "lladdr",
            mac,
            "dev",
            subnet.bridge,
            "nud",
            "permanent",
        ],
        30,
        f"setting the neighbour entry of {address} on {subnet.bridge}",
        remedy=(
            f"See that the bridge {subnet.bridge} exists and is up (ip link show {subnet.bridge})."
        ),
    )


def drop_neighbour(subnet: Subnet, address: str) -> None:
    """Take away a neighbour entry; it need not be there."""
    host_run(
        ["ip", "neigh", "del", address, "dev", subnet.bridge],
        30,
        "dropping a neighbour entry",
        check=False,
    )
