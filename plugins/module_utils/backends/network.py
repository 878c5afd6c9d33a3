# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of instances, and the neighbour entries that lead to them."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.backends.process import host_run
from ansible_collections.vcompare.lab.plugins.module_utils.backends.protocol import BackendError

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


LOOPBACK = Subnet("127.0.76.0/22")
DOCKER = Subnet("10.213.16.0/22", "vcdocker0")
KVM = Subnet("10.213.20.0/22", "vckvm0", "52:54:00")
XEN = Subnet("10.213.24.0/22", "vcxen0", "00:16:3e")


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
