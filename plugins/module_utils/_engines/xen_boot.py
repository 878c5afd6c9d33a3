# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Booting a host into Xen, and proving that it did.

The way in is a one-time entry (``grub-reboot``): a Xen that doesn't come up costs one power cycle, and the host is
back in its old system. Where GRUB can't do that, the host is refused. Once it is seen as dom0, Xen becomes its default.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    carried,
    grub,
    xen_console,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.xen_running import running
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    GRUB_MENU,
    GRUB_VARIABLE,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

# Read before Debian's own xen.cfg, which would choose the default by translated text.
SETTINGS = "/etc/default/grub.d/vcompare.cfg"
# Of the wanted memory: Xen and the kernel round it.
_TOLERANCE = 0.1


def hypervisor_options(dom0_memory_mib: int, xen_options: str) -> list[str]:
    """The words of Xen's command line that are ours."""
    return [f"dom0_mem={dom0_memory_mib}M,max:{dom0_memory_mib}M", *xen_options.split()]


def settings_text(
    dom0_memory_mib: int, xen_options: str, dom0_options: str, shares: bool = False
) -> str:
    """Content of our file for update-grub."""
    xen = " ".join(hypervisor_options(dom0_memory_mib, xen_options))
    lines = [
        "# Managed by vcompare.lab (role xen_host).",
        # The entry that is booted by default is chosen by its id, after it was proven; see grub-set-default(8).
        # A host that takes turns keeps its own default.
        *([] if shares else ["GRUB_DEFAULT=saved"]),
        "XEN_OVERRIDE_GRUB_DEFAULT=0",
        f"GRUB_CMDLINE_XEN={shlex.quote(xen)}",
    ]
    if dom0_options:
        lines.append(f"GRUB_CMDLINE_LINUX_XEN_REPLACE={shlex.quote(dom0_options)}")
    return "\n".join(lines) + "\n"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as text:
            return text.read().strip()
    except OSError:
        return ""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a host shall boot.

    :param dom0_memory_mib: memory of dom0; of a dom0 that somebody else set up, the least.
    :param xen_options: further options of Xen; ``dom0_options`` dom0's kernel command line, empty for the host's own.
    :param shares: the host takes turns: plain Linux stays its default.
    """

    dom0_memory_mib: int
    xen_options: str = ""
    dom0_options: str = ""
    shares: bool = False

    @property
    def xen(self) -> list[str]:
        """The words that must be in force on Xen's command line."""
        return hypervisor_options(self.dom0_memory_mib, self.xen_options)

    @property
    def text(self) -> str:
        """Content of our file."""
        return settings_text(self.dom0_memory_mib, self.xen_options, self.dom0_options, self.shares)

    def in_force(self, now: t.Mapping[str, t.Any]) -> bool:
        """Whether Xen was booted with it, and dom0 has that memory."""
        if not now["dom0"] or grub.overridden(now["commandline"].split(), self.xen):
            return False
        memory, wanted = now["dom0_memory_mib"], self.dom0_memory_mib
        return bool(abs(memory - wanted) <= wanted * _TOLERANCE)

    def suffices(self, now: t.Mapping[str, t.Any]) -> bool:
        """Whether a dom0 that is not ours is good enough as it is."""
        return bool(
            now["dom0"]
            and not self.shares
            and not os.path.exists(SETTINGS)
            and not grub.overridden(now["commandline"].split(), self.xen_options.split())
            and now["dom0_memory_mib"] >= self.dom0_memory_mib * (1 - _TOLERANCE)
        )


class XenBoot:
    """The boot settings of one host.

    :param allow: ``reboot`` where the host may be rebooted, ``restart`` where instances may be interrupted.
    :param verify: the host was booted into Xen already: if it isn't dom0 now, trying again would not help.
    :param ask: what answers in place of grub-probe.
    """

    def __init__(
        self,
        wanted: Wanted,
        check_mode: bool,
        verify: bool = False,
        allow: t.Collection[str] = (),
        ask: grub.Probe = grub.probe,
    ) -> None:
        self.verify = verify
        self.wanted = wanted
        self.check_mode = check_mode
        self.allow = allow
        self.ask = ask
        self.journal = HostJournal()
        self.steps = HostPlan()

    def preflight(self) -> dict[str, t.Any]:
        """Refuse what can't be done, before anything is changed.

        :returns: as `converge`; the plan has the reboot alone.
        :raises VcompareError: a reboot is needed and not allowed or not safe.
        """
        now = running()
        ready = self.wanted.in_force(now) or self.wanted.suffices(now)
        # Until Xen's daemons run, a dom0 looks like a guest.
        if not ready and not _daemons_missing():
            self._may_reboot()
        return {**self._result(now, not ready, ""), "changed": False}

    def converge(self) -> dict[str, t.Any]:
        """Set what is not set; say whether the host must reboot for it.

        :returns: changed, plan and diff (`HostPlan`), reboot_required, and what `running` says.
        """
        self._services()
        now = running()
        if self.check_mode and self.verify and not now["dom0"]:
            # Of the run after a reboot that was only planned.
            self._default("")
            return self._result(now, True, "")
        if self.wanted.suffices(now):
            # Somebody else's dom0: its boot menu stays theirs.
            xen_console.ensure(self.steps, self.journal, self.check_mode)
            return self._result(now, False, "")
        reboot = not self.wanted.in_force(now)
        if reboot and not self.verify:
            self._may_reboot()
        self._settings(reboot)
        xen_console.ensure(self.steps, self.journal, self.check_mode)
        self._boot_services()
        entry = self._entry()
        if reboot and not self.verify:
            self._once(entry)
        elif not reboot:
            self._default(entry)
        return self._result(now, reboot, entry)

    def _result(self, now: dict[str, t.Any], reboot: bool, entry: str) -> dict[str, t.Any]:
        return {
            "changed": self.steps.changed,
            **self.steps.result(),
            "reboot_required": reboot,
            "as_found": self.wanted.suffices(now),
            "entry": entry,
            **now,
        }

    def _entry(self) -> str:
        """Path of Xen's entry; empty in check mode where the boot menu is yet to be written."""
        try:
            return grub.xen_entry(_read(grub.CFG)).path
        except VcompareError:
            if self.check_mode:
                return ""
            raise

    def _carried(self) -> list[str]:
        """What a reboot would interrupt."""
        return carried.running()

    def _may_reboot(self) -> None:
        instances = self._carried()
        missing = [] if "reboot" in self.allow else ["reboot"]
        if instances and "restart" not in self.allow:
            missing.append("restart")
        interrupted = f"; interrupts {', '.join(instances)}" if instances else ""
        self.steps.add(
            "reboot", "reboot", "the host", f"into Xen, once{interrupted}", needs=",".join(missing)
        )
        if missing:
            ends = f" It would interrupt: {', '.join(instances)}." if instances else ""
            raise VcompareError(
                f"This host must be rebooted into Xen, and vcompare_allow does not have {' and '.join(missing)}.{ends} "
                "Nothing was changed.",
                f"Allow it with vcompare_allow: [{', '.join(sorted({*self.allow, *missing}))}] for this host (or "
                "--allow), or take the host out of the group xen_hosts.",
            )
        grub.require_one_time_entry(self.ask)

    def _settings(self, reboot: bool) -> None:
        there = _read(SETTINGS)
        wanted = self.wanted.text
        if there == wanted.strip():
            if reboot and not self.verify and os.path.exists(grub.CFG):
                self._read_back()
            return
        self.steps.file(SETTINGS, f"{there}\n" if os.path.exists(SETTINGS) else None, wanted)
        self.steps.add("file", "change", grub.CFG, "by update-grub")
        if self.check_mode:
            return
        self.journal.directory(os.path.dirname(SETTINGS))
        self.journal.file(SETTINGS, wanted.encode())
        # The menu is written by update-grub: taking our file away and running that again undoes it.
        self.journal.note(GRUB_MENU, grub.CFG, {})
        os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
        replace(SETTINGS, wanted)
        try:
            command.run(["update-grub"], "writing the boot menu", timeout_s=900)
            self._read_back()
        except VcompareError:
            # A half-made change must not look like a finished one to the next run.
            if there:
                replace(SETTINGS, there + "\n")
            else:
                os.unlink(SETTINGS)
            command.run(["update-grub"], "writing the old boot menu again", timeout_s=900)
            raise

    def _read_back(self) -> None:
        menu = _read(grub.CFG)
        kernel = self.wanted.dom0_options.split()
        entry, saved = grub.xen_entry(menu), not self.wanted.shares
        grub.refuse_overridden(menu, entry, self.wanted.xen, kernel, SETTINGS, saved)

    def _boot_services(self) -> None:
        enabled = command.state("systemctl", "is-enabled", "xen.service")
        if self.check_mode and enabled in ("", "not-found"):
            # Xen's package is yet to be installed, and enables it.
            return
        if enabled != "enabled":
            self.steps.add("service", "enable", "xen.service", "at boot")
            if not self.check_mode:
                active = command.state("systemctl", "is-active", "xen.service")
                self.journal.unit("xen.service", enabled, active)
                command.run(["systemctl", "enable", "xen.service"], "enabling Xen's daemons")

    def _services(self) -> None:
        """Start Xen's daemons in a dom0: they mount xenfs, and without it not even `xl info` works."""
        if _daemons_missing():
            self.steps.add("service", "restart", "xen.service", "Xen's daemons do not run")
            if not self.check_mode:
                command.run(
                    ["systemctl", "restart", "xen.service"],
                    "starting Xen's daemons",
                    remedy="See: journalctl -u xen.",
                    timeout_s=900,
                )

    def _once(self, entry: str) -> None:
        self._choose("next_entry", entry, "grub-reboot", "boot into Xen once")

    def _default(self, entry: str) -> None:
        self._choose("saved_entry", entry, "grub-set-default", "make Xen the default")

    def _choose(self, variable: str, entry: str, program: str, what: str) -> None:
        before = grub.environment()
        if entry and before.get(variable) == entry:
            return
        self.steps.add("file", "change", grub.ENV, what)
        if not self.check_mode:
            self.journal.note(GRUB_VARIABLE, variable, {"value": before.get(variable)}, entry)
            command.run([program, entry], f"setting GRUB's {variable}")


def _daemons_missing() -> bool:
    return _read("/sys/hypervisor/type") == "xen" and not os.path.exists("/proc/xen/capabilities")


def replace(path: str, text: str) -> None:
    """Write a file whole or not at all."""
    with open(path + ".partial", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".partial", path)
