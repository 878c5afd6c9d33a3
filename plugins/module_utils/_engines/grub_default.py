# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which entry of GRUB's menu a host boots by default, and whether that is Xen."""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import grub

_BLOCK = re.compile(r"^\s*(menuentry|submenu)\s+(.*)\{\s*$")
_DEFAULT = re.compile(r'^\s*set default="(.*)"\s*$', re.MULTILINE)
_SAVED = "${saved_entry}"
_ONCE = "${next_entry}"


@dataclasses.dataclass
class Leaf:
    """An entry that boots something.

    :param path: for each level of the menu the words that choose it there: number, title, id.
    """

    path: tuple[frozenset[str], ...]
    title: str
    xen: bool = False


def leaves(menu: str) -> list[Leaf]:
    """Return the entries of a menu, in its order.

    :param menu: text of grub.cfg.
    """
    found: list[Leaf] = []
    # A function or a condition has a block as well, and no names.
    blocks: list[frozenset[str] | None] = []
    counts = [0]
    for line in menu.splitlines():
        words = line.split()
        if match := _BLOCK.match(line):
            title, names = _names(match[2])
            blocks.append(names | {str(counts[-1])})
            counts[-1] += 1
            counts.append(0)
            if match[1] == "menuentry":
                found.append(Leaf(tuple(each for each in blocks if each), title))
        elif words[-1:] == ["{"]:
            blocks.append(None)
        elif words == ["}"] and blocks and blocks.pop():
            counts.pop()
        elif words and words[0].startswith("multiboot") and "/xen" in line and found:
            found[-1].xen = True
    return found


def _names(rest: str) -> tuple[str, frozenset[str]]:
    words = shlex.split(rest)
    ids = [
        words[place + 1]
        for place, word in enumerate(words[:-1])
        if word in ("$menuentry_id_option", "--id")
    ]
    return words[0], frozenset([words[0], *ids])


def default_leaf(menu: str, environment: t.Mapping[str, str]) -> Leaf:
    """Return what a menu boots where no one-time entry is set.

    :param environment: variables of GRUB's environment block.
    :raises VcompareError: the menu has no entries.
    """
    found = leaves(menu)
    if not found:
        raise VcompareError(f"{grub.CFG} has no entries.", "Run update-grub, then this again.")
    set_to = [value for value in _DEFAULT.findall(menu) if value != _ONCE]
    value = set_to[-1] if set_to else "0"
    wanted = (environment.get("saved_entry") or "0" if value == _SAVED else value).split(">")
    for leaf in found:
        # A submenu that is the default boots its first entry.
        if all(word in names for word, names in zip(wanted, leaf.path, strict=False)):
            return leaf
    # As GRUB does with a default that is not there.
    return found[0]


def require_plain(menu: str, environment: t.Mapping[str, str]) -> None:
    """Refuse a host whose default is Xen.

    :raises VcompareError: it is; the message names the entry.
    """
    leaf = default_leaf(menu, environment)
    if leaf.xen:
        raise VcompareError(
            f"This host boots Xen by default ({leaf.title}), and with xen_shares_host its default must be plain Linux, "
            "to which each reboot and power cycle brings it back.",
            "Choose an entry without Xen: GRUB_DEFAULT in /etc/default/grub (then update-grub), or grub-set-default. "
            "Or remove xen_shares_host, and the host is measured in Xen only.",
        )
