# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that is booted into Xen for one boot at a time, and into plain Linux by default (``xen_shares_host``)."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    carried,
    grub,
    grub_default,
    xen_console,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.xen_boot import (
    SETTINGS,
    XenBoot,
    _read,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.xen_running import running

LINUX, XEN = "linux", "xen"


class SharedBoot(XenBoot):
    """The boot settings of a host that takes turns; its `Wanted` has ``shares``."""

    def preflight(self) -> dict[str, t.Any]:
        """As `XenBoot.preflight`: the reboots to come must be allowed and safe, and the default plain Linux."""
        self._may_reboot()
        # Xen's own package makes it the default until our settings are read.
        if os.path.exists(SETTINGS):
            grub_default.require_plain(_read(grub.CFG), grub.environment())
        return {**self._result(running(), False, ""), "changed": False}

    def prepare(self) -> dict[str, t.Any]:
        """Write the boot entry, and leave the default as it is.

        :returns: as `XenBoot.converge`; no reboot is required.
        :raises VcompareError: the reboots to come are not allowed or not safe, or the default is Xen.
        """
        now = running()
        if _read(SETTINGS) != self.wanted.text.strip():
            self._may_reboot()
        self._settings(True)
        xen_console.ensure(self.steps, self.journal, self.check_mode)
        self._boot_services()
        return self._result(now, False, self._entry())

    def turn(self, system: str) -> dict[str, t.Any]:
        """Choose what the host boots next; say whether it must reboot for it.

        :param system: ``linux`` or ``xen``.
        :returns: as `XenBoot.converge`.
        :raises VcompareError: with ``verify``, the host does not run it; else, it can't be rebooted.
        """
        self._services()
        now = running()
        there = self.wanted.in_force(now) if system == XEN else not now["dom0"]
        if there:
            return self._result(now, False, "")
        if self.verify:
            raise self._elsewhere(system, now)
        self._may_reboot()
        entry = self._entry()
        if system == XEN:
            self._read_back()
            self._once(entry)
        else:
            self._never()
        return self._result(now, True, entry)

    def _carried(self) -> list[str]:
        found = super()._carried()
        if not running()["dom0"]:
            return found
        # Guests without a device model have no process.
        rows = command.run(["xl", "list"], "asking for Xen's guests", timeout_s=120).splitlines()
        names = {row.split()[0] for row in rows[1:] if row.split()} - {"Domain-0"}
        return sorted({*found, *(f"{carried.MACHINE} {name}" for name in names)})

    def _entry(self) -> str:
        # In check mode the menu may be yet to be written.
        if not (self.check_mode and self.steps.changed):
            grub_default.require_plain(_read(grub.CFG), grub.environment())
        return super()._entry()

    def _never(self) -> None:
        """Ensure that no one-time entry is left, of whatever was interrupted."""
        if grub.environment().get("next_entry"):
            self.steps.add("file", "change", grub.ENV, "without a one-time boot entry")
            if not self.check_mode:
                command.run(
                    ["grub-editenv", grub.ENV, "unset", "next_entry"],
                    "taking back GRUB's one-time entry",
                )

    def _elsewhere(self, system: str, now: t.Mapping[str, t.Any]) -> VcompareError:
        if system == LINUX:
            return VcompareError(
                "After the reboot the host is still dom0 of a Xen.",
                "See which entry its console shows, and what grub-editenv list says.",
            )
        return VcompareError(
            f"After the reboot the host is not dom0 of a Xen with {' '.join(self.wanted.xen)}; Xen's command line: "
            f"{now['commandline'] or 'there is no Xen'}; dom0's memory: {now['dom0_memory_mib']} MiB.",
            "See what its console said of Xen: it booted plain Linux again, since Xen was chosen for one boot only.",
        )
