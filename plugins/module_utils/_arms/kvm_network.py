# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The libvirt network that KVM guests are on."""

from __future__ import annotations

import ipaddress
import shutil
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import host_networks
from ansible_collections.vcompare.lab.plugins.module_utils._arms.kvm_xml import DEFAULT_NETWORK
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import XML_NAMESPACE
from ansible_collections.vcompare.lab.plugins.module_utils._arms.network import Subnet
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

_DNSMASQ_STATE = Path("/var/lib/libvirt/dnsmasq")


def network_xml(subnet: Subnet, owner: str) -> str:
    """Return libvirt's XML for the guests' network: a bridge to the host and nothing else.

    No forwarding (a guest has no business outside), no DHCP and no DNS (addresses are in the
    seed), so no dnsmasq.
    """
    root = ET.Element("network")
    ET.SubElement(root, "name").text = DEFAULT_NETWORK
    ET.SubElement(ET.SubElement(root, "metadata"), f"{{{XML_NAMESPACE}}}owner").text = owner
    # delay 0: a port that joins must not wait for 15 s before it forwards
    ET.SubElement(root, "bridge", {"name": subnet.bridge, "stp": "off", "delay": "0"})
    ET.SubElement(root, "dns", {"enable": "no"})
    netmask = str(ipaddress.IPv4Network(subnet.network).netmask)
    ET.SubElement(root, "ip", {"address": subnet.gateway, "netmask": netmask})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def bridge_of(xml: str) -> str:
    """Return the bridge that a network's XML names."""
    bridge = ET.fromstring(xml).find("bridge")  # noqa: S314
    return bridge.get("name", "") if bridge is not None else ""


def _avoid_libvirts_traps() -> None:
    """See to what libvirt takes for granted of a network without DHCP and DNS.

    Seen with libvirt 9.0: when it starts while such a network is active and finds no dnsmasq, it ends
    with SIGSEGV, again and again; and a guest's card can't be plugged while the folder is missing
    that only a start of dnsmasq would make.
    """
    if shutil.which("dnsmasq", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin") is None:
        raise BackendError(
            "kvm: dnsmasq is not installed, and libvirt crashes without it when it is restarted",
            remedy="Install it (Debian: dnsmasq-base), then: systemctl reset-failed 'libvirtd*'; "
            "systemctl restart libvirtd.socket",
        )
    _DNSMASQ_STATE.mkdir(parents=True, exist_ok=True)


def ensure(connection: t.Any, subnet: Subnet, owner: str) -> bool:
    """Make and start the guests' network where it isn't; return whether something changed.

    :param connection: a ``libvirt.virConnect``.
    """
    _avoid_libvirts_traps()
    found = [
        network for network in connection.listAllNetworks(0) if network.name() == DEFAULT_NETWORK
    ]
    if found:
        network = found[0]
        bridge = bridge_of(network.XMLDesc(0))
        if bridge != subnet.bridge:
            raise BackendError(
                f"kvm: the libvirt network {DEFAULT_NETWORK} has the bridge "
                f"{bridge or 'none'} and not {subnet.bridge}",
                remedy=f"Remove it (virsh net-undefine {DEFAULT_NETWORK}), or rename it.",
            )
        if f"address='{subnet.gateway}'" not in network.XMLDesc(0):
            raise BackendError(
                f"kvm: the libvirt network {DEFAULT_NETWORK} has another address than {subnet.gateway}",
                remedy="Set vcompare_network to what it was, or remove what was made with that: vcompare release.",
            )
        if network.isActive():
            return False
    else:
        host_networks.require(subnet)
        network = connection.networkDefineXML(network_xml(subnet, owner))
        network.setAutostart(1)
    network.create()
    return True
