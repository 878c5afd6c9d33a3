# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Snapshots of a domain with its memory, inside its qcow2 disk."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

try:
    import libvirt
except ImportError:
    libvirt = None  # the backend says how to install it before anything here is reached

NAME = "vc-provisioned"


def take(domain: t.Any, owner: str) -> None:
    """Take the snapshot of a running domain; one that is there is replaced."""
    root = ET.Element("domainsnapshot")
    ET.SubElement(root, "name").text = NAME
    ET.SubElement(root, "description").text = f"vcompare lab {owner}: provisioned"
    try:
        if has(domain):
            domain.snapshotLookupByName(NAME).delete()
        domain.snapshotCreateXML(ET.tostring(root, encoding="unicode"), 0)
    except libvirt.libvirtError as error:
        raise VcompareError(f"Taking the snapshot of {domain.name()}: {error}") from None


def has(domain: t.Any) -> bool:
    """Whether the domain has the snapshot."""
    try:
        return NAME in domain.snapshotListNames()
    except libvirt.libvirtError:
        return False


def restore(domain: t.Any) -> None:
    """Start the domain from the snapshot, whatever it does now."""
    try:
        snapshot = domain.snapshotLookupByName(NAME)
        domain.revertToSnapshot(
            snapshot,
            libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE,
        )
    except libvirt.libvirtError as error:
        raise VcompareError(
            f"Starting {domain.name()} from its snapshot: {error}",
            "Make the lab again: vcompare lab down, then up.",
        ) from None


def cannot_write(domain: t.Any) -> bool:
    """Whether the emulator stopped the domain since a disk of it could not be written: as a rule there is no room."""
    try:
        state, reason = domain.state()
    except libvirt.libvirtError:
        return False
    return bool(state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR)


def power_on(domain: t.Any) -> None:
    """Start a domain that is off, from its disk."""
    try:
        domain.create()
    except libvirt.libvirtError as error:
        raise VcompareError(
            f"Starting {domain.name()}: {error}", "Make the lab again: vcompare lab down, then up."
        ) from None


def power_off(domain: t.Any) -> None:
    """Switch a domain off at once."""
    try:
        if domain.isActive():
            domain.destroy()
    except libvirt.libvirtError as error:
        raise VcompareError(f"Switching {domain.name()} off: {error}") from None
