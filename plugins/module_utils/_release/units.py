# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of systemd back to what they were, unless they serve others by now; a kernel module as well."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._engines import carried
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    KERNEL_MODULE,
    UNIT,
    Entry,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import STOPPED, Account

# What stops with a unit. Xen's daemons belong to the running hypervisor: they end with it.
_CARRIES = {"docker": carried.CONTAINER, "libvirt": carried.MACHINE, "virt": carried.MACHINE}
_OF_THE_BOOT = ("xen.service",)
_RUNNING = ("active", "activating", "reloading")
_SYS_MODULE = "/sys/module"


def foreign(account: Account, kinds: t.Collection[str]) -> list[str]:
    """Return containers and machines that run and are not ours, one line each."""
    # In check mode ours still run.
    ours = {one["name"] for one in account.removed} if account.check_mode else set()
    return [one for one in carried.running(kinds=kinds) if one.rpartition(" ")[2] not in ours]


def release(entry: Entry, journal: HostJournal, account: Account) -> bool:
    """Disable and stop one unit that we enabled or started; return whether it is as it was."""
    disable, stop = _steps(entry)
    if disable or stop:
        kinds = [kind for word, kind in _CARRIES.items() if entry.name.startswith(word)][:1]
        if others := foreign(account, kinds) if kinds else []:
            account.leave(
                UNIT,
                entry.name,
                f"it carries {', '.join(others)}",
                f"Once they are gone: systemctl disable --now {entry.name}.",
            )
            return False
        if not account.remove(
            UNIT,
            entry.name,
            lambda: _act(entry.name, disable, stop),
            STOPPED if stop else "disabled",
        ):
            return False
    if not account.check_mode:
        journal.undone(entry)
    return True


def _steps(entry: Entry) -> tuple[bool, bool]:
    """Return whether a unit is to be disabled, and to be stopped."""
    before = entry.before
    disable = before["enabled"] == "disabled" and (_word("is-enabled", entry.name) == "enabled")
    stop = (
        before["active"] not in _RUNNING
        and entry.name not in _OF_THE_BOOT
        and _word("is-active", entry.name) in _RUNNING
    )
    return disable, stop


def _word(*words: str) -> str:
    try:
        return command.state("systemctl", *words)
    except FileNotFoundError:
        return ""


def _act(unit: str, disable: bool, stop: bool) -> None:
    if disable:
        command.run(
            ["systemctl", "disable", unit],
            f"disabling {unit}",
            remedy=f"See: systemctl status {unit}.",
        )
    if stop:
        # A service that its socket started goes with that.
        units = (
            [unit, f"{unit.removesuffix('.socket')}.service"]
            if unit.endswith(".socket")
            else [unit]
        )
        command.run(
            ["systemctl", "stop", *units],
            f"stopping {unit}",
            remedy=f"See: systemctl status {unit}.",
        )


def release_module(entry: Entry, journal: HostJournal, account: Account) -> bool:
    """Unload a kernel module that we loaded, unless it is in use; return whether it is gone."""
    folder = os.path.join(_SYS_MODULE, entry.name)
    if os.path.isdir(folder):
        if users := _users(folder):
            account.leave(
                KERNEL_MODULE,
                entry.name,
                f"it is in use ({users})",
                f"Once it is not: modprobe -r {entry.name}.",
            )
            return False
        unload = ["modprobe", "-r", entry.name]
        if not account.remove(
            KERNEL_MODULE,
            entry.name,
            lambda: command.run(unload, f"unloading {entry.name}"),
            "unloaded",
        ):
            return False
    if not account.check_mode:
        journal.undone(entry)
    return True


def _users(folder: str) -> int:
    """Return how many use a module."""
    try:
        with open(f"{folder}/refcnt", encoding="ascii") as text:
            return int(text.read())
    except (OSError, ValueError):
        return 0
