# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that takes turns: booted into plain Linux for some arms and into Xen for others, and two hosts in a bundle."""

from __future__ import annotations

from . import arms

BOOTS = (arms.LINUX, arms.XEN)
XEN_SUFFIX = f"+{arms.XEN}"
# Blocks that are measured before it is booted into the other system: a reboot of a server takes minutes, and so it is
# a small part of the time.
GROUP_BLOCKS = 5


def part_name(host: str, boot: str) -> str:
    """Return the name in a bundle of what is measured on a host in one of its systems."""
    return host + XEN_SUFFIX if boot == arms.XEN else host
