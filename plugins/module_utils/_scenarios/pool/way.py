# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two addresses by which the hosts of a pool reach each other: numbers, of one family, found once.

An inventory has names; a tunnel, a migration's address and a permission of ssh take addresses only.
"""

from __future__ import annotations

import ipaddress
import socket

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

_OPTION = "vcompare_pool_address"


def literal(text: str) -> str:
    """Return an address as ``ip`` takes it, without the brackets of a URL; empty when it is a name."""
    try:
        return str(ipaddress.ip_address(text.strip().removeprefix("[").removesuffix("]")))
    except ValueError:
        return ""


def addresses(host: str, text: str) -> list[str]:
    """Return the addresses of a host that others can use, the best first as this machine sees it.

    :param host: its name in the inventory, for the message.
    :raises BackendError: it has none.
    """
    try:
        found = [
            str(each[4][0])
            for each in socket.getaddrinfo(literal(text) or text, 22, type=socket.SOCK_STREAM)
        ]
    except (OSError, UnicodeError) as error:
        raise BackendError(
            f"the host {host} of the pool can't be found by the name {text!r}: {error}",
            remedy=f"Give {host} an address in the inventory: {_OPTION}.",
        ) from None
    usable = [address for address in dict.fromkeys(found) if _is_usable(address)]
    # A machine's own name is often one of its loopback addresses (Debian's /etc/hosts), which no other host reaches.
    if not usable:
        raise BackendError(
            f"the host {host} of the pool has only addresses that another host can't use: {', '.join(found)}",
            remedy=f"Give {host} an address in the inventory: {_OPTION}.",
        )
    return usable


def _is_usable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)


def _source(remote: str) -> str:
    """Return this machine's address on the way to another; empty where no route leads there."""
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the kernel only chooses the route.
            probe.connect((remote, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def between(host: str, remote: str, local: str) -> tuple[str, str]:
    """Return this host's own address and the other one's, of one family.

    :param host: the other one, by its name in the inventory; ``remote`` is its address or name, and ``local`` that of
        this host, whose name is not looked up here: the kernel knows better where it comes from.
    :raises BackendError: the other one can't be found, or there is no way to it; with its name.
    """
    given = literal(local)
    found = [literal(remote)] if literal(remote) else addresses(host, remote)
    for address in found:
        if given and (":" in given) == (":" in address):
            return given, address
    for address in found:
        source = "" if given else _source(address)
        if source:
            return source, address
    raise BackendError(
        f"this host ({local}) has no way to {host} of the pool ({', '.join(found)})",
        remedy=f"Give both hosts an address of one family, IPv4 or IPv6, in the inventory: {_OPTION}.",
    )


def permitted(host: str, text: str) -> list[str]:
    """Return the addresses that a host may come from, for ssh to compare with."""
    return [literal(text)] if literal(text) else addresses(host, text)
