# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a network of ours would take addresses away from the host that it uses already."""

from __future__ import annotations

import ipaddress
import json
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.network import (
    BRIDGES,
    DEFAULT_NETWORK,
    Subnet,
    carved,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

Network = ipaddress.IPv4Network
# A route to everything (or, as VPNs have it, to each half of everything) claims no network.
_EVERYTHING = 1
# Kinds of routes that lead nowhere.
_NOWHERE = ("blackhole", "unreachable", "prohibit", "throw", "broadcast", "multicast")
_ESTABLISHED = "01"
_CANDIDATES = (DEFAULT_NETWORK, "172.29.0.0/16", "192.168.208.0/20", "198.18.0.0/16")


def in_use() -> list[tuple[Network, str]]:
    """Return the networks that this host uses, each with how: addresses, routes, and who it talks to just now.

    What lies behind the default route is known by its connections only, Ansible's own among them. Bridges of ours are
    left out.
    """
    return [*_addresses(), *_routes(), *_resolvers(), *_connections()]


def _ip(*words: str) -> t.Any:
    said = host_run(["ip", "-json", "-4", *words], 60, "reading this host's networks").stdout
    return json.loads(said or "[]")


def _addresses() -> t.Iterator[tuple[Network, str]]:
    for link in _ip("address", "show"):
        name = link.get("ifname", "")
        for address in link.get("addr_info", ()) if name not in BRIDGES else ():
            network = Network(f"{address['local']}/{address['prefixlen']}", strict=False)
            yield network, f"an address of {name}: {address['local']}/{address['prefixlen']}"


def _routes() -> t.Iterator[tuple[Network, str]]:
    for route in _ip("route", "show", "table", "all"):
        device = route.get("dev", "")
        if route.get("dst") == "default" or route.get("type") in _NOWHERE or device in BRIDGES:
            continue
        network = Network(route["dst"])
        if network.prefixlen > _EVERYTHING:
            via = f" via {route['gateway']}" if "gateway" in route else ""
            yield network, f"a route: {route['dst']}{via} dev {device}"


def _resolvers(path: Path = Path("/etc/resolv.conf")) -> t.Iterator[tuple[Network, str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for words in map(str.split, lines):
        if len(words) > 1 and words[0] == "nameserver" and ":" not in words[1]:
            try:
                yield Network(words[1]), f"a name server: {words[1]}"
            except ValueError:
                continue


def _connections() -> t.Iterator[tuple[Network, str]]:
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/self/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            digits = words[2].partition(":")[0]
            # An IPv4 address that a socket of IPv6 talks to has this prefix, in the words of a little-endian machine.
            mapped = len(digits) == 32 and digits.startswith("0000000000000000FFFF0000")
            if words[3] == _ESTABLISHED and (len(digits) == 8 or mapped):
                address = ipaddress.IPv4Address(bytes.fromhex(digits[-8:])[::-1])
                if not address.is_loopback:
                    yield Network(str(address)), f"a connection with {address}"


def collision(subnet: Subnet, used: t.Sequence[tuple[Network, str]]) -> str:
    """Return what of the host's a network of ours overlaps; empty when nothing."""
    ours = Network(subnet.network)
    return next((how for network, how in used if network.overlaps(ours)), "")


def has_bridge(subnet: Subnet) -> bool:
    """Say whether the bridge of a network is there, with its address.

    :raises BackendError: it is there with another network's.
    """
    others = [
        address["local"]
        for link in _ip("address", "show")
        for address in link.get("addr_info", ())
        if link.get("ifname") == subnet.bridge
    ]
    ours = Network(subnet.network)
    if others and not any(ipaddress.IPv4Address(other) in ours for other in others):
        raise BackendError(
            f"the bridge {subnet.bridge} has the address {', '.join(others)}, which is not in {subnet.network}",
            remedy="Set vcompare_network to what it was, or remove what was made with that: vcompare release.",
        )
    return bool(others)


def require(*subnets: Subnet) -> None:
    """Refuse networks that are not there yet and would take addresses away from the host.

    :raises BackendError: naming what they overlap, and another network that is free here.
    """
    missing = [subnet for subnet in subnets if subnet.bridge and not has_bridge(subnet)]
    if not missing:
        return
    used = in_use()
    for subnet in missing:
        if how := collision(subnet, used):
            raise BackendError(
                f"{subnet.network}, the network of {subnet.bridge}, overlaps {how}; "
                "the bridge would take those addresses away from this host",
                remedy=f"Give instances another private network in the inventory{_suggestion(missing, used)}.",
            )


def _suggestion(missing: t.Sequence[Subnet], used: t.Sequence[tuple[Network, str]]) -> str:
    for candidate in _CANDIDATES:
        if not any(collision(carved(subnet, candidate), used) for subnet in missing):
            return f", for example vcompare_network: {candidate}"
    return " (vcompare_network)"
