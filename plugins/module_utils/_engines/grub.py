# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GRUB of a host: whether it can forget a one-time entry, and what its menu boots Xen with."""

from __future__ import annotations

import dataclasses
import glob
import re
import shlex
import typing as t
from collections.abc import Callable

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

DIR = "/boot/grub"
CFG = f"{DIR}/grub.cfg"
ENV = f"{DIR}/grubenv"
DEFAULTS = "/etc/default/grub"
# GRUB's names; ext2 is ext3 and ext4 as well. GRUB overwrites the blocks of grubenv in place, which it can't on a file
# system that copies on write or has checksums of data.
WRITABLE = ("ext2", "xfs", "fat", "exfat")
# Linux takes each of these and not the last one alone.
REPEATED = ("console", "earlycon", "earlyprintk")
_ENTRY = re.compile(r"^\s*(?:menuentry|submenu)\s+(.*)\{\s*$")
_HYPERVISOR = re.compile(r"/xen-[^/]*(?<!\.efi)$")
_SIZE = re.compile(r"([0-9]+)([BKMGT]?)", re.IGNORECASE)
_MIB = {"B": 2**-20, "": 2**-10, "K": 2**-10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}

Probe = Callable[[str, str], str]


def probe(target: str, path: str) -> str:
    """Ask grub-probe.

    :param target: ``fs`` or ``abstraction``.
    :raises VcompareError: it can't tell.
    """
    return command.run(
        ["grub-probe", f"--target={target}", path],
        f"asking GRUB what {path} is on",
        remedy="A one-time boot is safe only where GRUB can write its environment. "
        "Boot into Xen yourself, then run this again.",
    ).strip()


def require_one_time_entry(ask: Probe = probe, folder: str = DIR) -> None:
    """Refuse a host on which ``grub-reboot`` would be no promise of a single boot.

    GRUB clears ``next_entry`` before it boots. It can't on LVM or RAID ("diskfilter writes are not supported"), or on
    file systems such as btrfs and ZFS: there, a Xen that does not come up would be booted at each power cycle.

    :param ask: what answers in place of grub-probe.
    :raises VcompareError: GRUB can't write there, or that can't be told.
    """
    above = ask("abstraction", folder).split()
    kind = ask("fs", folder)
    remedy = (
        "Put /boot on a plain partition with ext4, xfs or FAT, or choose Xen's entry yourself at the console "
        "once: a host that is dom0 already is used as it is."
    )
    if above or kind not in WRITABLE:
        what = f"{' on '.join([kind, *above]) if kind else ' on '.join(above)}"
        raise VcompareError(
            f"{folder} is on {what}, where GRUB can't clear a one-time boot entry: a Xen that does not come up "
            "would be booted at each power cycle. Nothing was changed.",
            remedy,
        )


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry of the menu.

    :param path: in the form that grub-reboot takes (``submenu>entry``).
    :param hypervisor: words of Xen's command line.
    :param kernel: words of dom0's.
    """

    path: str
    hypervisor: tuple[str, ...]
    kernel: tuple[str, ...]


def xen_entry(menu: str) -> Entry:
    """Return the first entry for Xen.

    Entries are found by what they boot, not by their translated titles. The one with ``.efi`` is for
    firmware that boots Xen itself.

    :param menu: text of grub.cfg.
    :raises VcompareError: there is none.
    """
    blocks: list[str] = []
    found: tuple[str, tuple[str, ...]] | None = None
    for line in menu.splitlines():
        words = line.split()
        if found and words and (words[0] in ("module", "module2") or words == ["}"]):
            kernel = _words(line)[2:] if words[0] != "}" else []
            return Entry(*found, tuple(kernel))
        if words[-1:] == ["{"]:
            match = _ENTRY.match(line)
            # A function has a block as well, and is not part of a path.
            blocks.append(_entry_id(match[1]) if match else "")
        elif words == ["}"]:
            blocks = blocks[:-1]
        elif (
            len(words) > 1
            and words[0] in ("multiboot", "multiboot2")
            and _HYPERVISOR.search(words[1])
        ):
            found = ">".join(block for block in blocks if block), tuple(_words(line)[2:])
    raise VcompareError(
        "The boot menu has no entry for Xen.",
        "See that xen-hypervisor is installed and that /etc/grub.d/20_linux_xen is executable, then run update-grub.",
    )


def _entry_id(rest: str) -> str:
    words = shlex.split(rest)
    for place, word in enumerate(words):
        if word in ("$menuentry_id_option", "--id") and place + 1 < len(words):
            return words[place + 1]
    return words[0]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def memory(words: t.Sequence[str]) -> dict[str, float | None]:
    """Return dom0's memory as Xen understands its command line: each ``dom0_mem`` adds to those before it.

    :returns: ``size``, ``min``, ``max`` in MiB, those that are set; None for one that is not a plain size.
    """
    found: dict[str, float | None] = {}
    for word in words:
        name, _sign, value = word.partition("=")
        for part in value.split(",") if name == "dom0_mem" else ():
            key, colon, size = part.partition(":")
            match = _SIZE.fullmatch(size if colon else part)
            found[key if colon else "size"] = (
                int(match[1]) * _MIB[match[2].upper()] if match else None
            )
    return found


def overridden(
    words: t.Sequence[str], wanted: t.Sequence[str], repeated: t.Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return which options have another value than the wanted one in a command line, where the last one wins.

    :param repeated: options of which each counts, not the last one alone.
    :returns: pairs of the option's name and the word that is in force; an empty word where there is none.
    """
    last = {word.partition("=")[0]: word for word in words}
    missed = []
    for name, word in {word.partition("=")[0]: word for word in wanted}.items():
        if name == "dom0_mem":
            ours = memory(wanted)
            holds = memory(words) == ours and None not in ours.values()
        elif name in repeated:
            holds = word in words
        else:
            holds = last.get(name) == word
        if not holds:
            given = [each for each in words if each.partition("=")[0] == name]
            missed.append((name, " ".join(given) if name == "dom0_mem" else last.get(name, "")))
    return missed


def sources(word: str, ours: str, defaults: str = DEFAULTS) -> list[str]:
    """Return update-grub's files of settings, other than ours, that have a word; the last read last."""
    found = []
    for path in [defaults, *sorted(glob.glob(f"{defaults}.d/*.cfg"))]:
        lines = [line.strip() for line in _read(path).splitlines()]
        if path != ours and any(word in line for line in lines if not line.startswith("#")):
            found.append(path)
    return found


def environment(path: str = ENV) -> dict[str, str]:
    """Return the variables of GRUB's environment block."""
    pairs = (line.partition("=") for line in _read(path).splitlines() if not line.startswith("#"))
    return {name: value for name, sign, value in pairs if sign}


def refuse_overridden(
    menu: str,
    entry: Entry,
    xen: t.Sequence[str],
    kernel: t.Sequence[str],
    ours: str,
    saved: bool = True,
) -> None:
    """Refuse a menu in which not our values are in force, and name the files that set others.

    :param menu: text of grub.cfg as update-grub wrote it.
    :param xen: options that must be in force on Xen's command line; ``kernel`` those of dom0's.
    :param ours: our file of settings.
    :param saved: the menu's default must be the one that was saved.
    :raises VcompareError: another value wins, or the menu has no saved default or one-time entry.
    """
    missed = [
        *(("Xen", *each) for each in overridden(entry.hypervisor, xen)),
        *(("dom0", *each) for each in overridden(entry.kernel, kernel, REPEATED)),
    ]
    for whose, name, word in missed:
        found = sources(name, ours)
        where = found[-1] if found else "a script in /etc/grub.d"
        raise VcompareError(
            f"In {CFG} the options of {whose} have {word or 'no ' + name}, which {where} sets; it wins over "
            f"ours ({' '.join(each for each in (*xen, *kernel) if each.partition('=')[0] == name)}).",
            f"Take {name} out of {where}, or ask for that value: xen_host_dom0_memory_mib, xen_host_xen_options, "
            "xen_host_dom0_options.",
        )
    if "save_env next_entry" not in menu or (saved and 'set default="${saved_entry}"' not in menu):
        found = sources("GRUB_DEFAULT=", ours)
        raise VcompareError(
            f"{CFG} has no saved default or does not clear a one-time entry; GRUB_DEFAULT is set in "
            f"{', '.join(found) or 'no file but ours'}.",
            "Take GRUB_DEFAULT out of files that are read after ours, and leave /etc/grub.d/00_header as it is.",
        )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as text:
            return text.read()
    except OSError:
        return ""
