# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Booting a host into Xen, and proving that it did.

The way in is a one-time entry (``grub-reboot``): a Xen that doesn't come up costs one power cycle, and the host
is back in its old system. Only once the host is seen to be dom0 does Xen become the default.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils.lab import command

# Read before Debian's own xen.cfg, which would choose the default by translated text.
SETTINGS = "/etc/default/grub.d/vcompare.cfg"
CONSOLED = "/etc/default/xen"
# xenconsoled keeps no console where this folder is missing, and Debian's packages don't make it.
CONSOLE_LOGS = "/var/log/xen/console"
GRUB_CFG = "/boot/grub/grub.cfg"
_ENTRY = re.compile(r"^\s*(?:menuentry|submenu)\s+(.*)\{\s*$")
_HYPERVISOR = re.compile(r"/xen-[^/]*(?<!\.efi)$")


def hypervisor_options(dom0_memory_mib: int, xen_options: str) -> list[str]:
    """The words of Xen's command line that are ours."""
    return [f"dom0_mem={dom0_memory_mib}M,max:{dom0_memory_mib}M", *xen_options.split()]


def settings_text(dom0_memory_mib: int, xen_options: str, dom0_options: str) -> str:
    """Content of our file for update-grub."""
    xen = " ".join(hypervisor_options(dom0_memory_mib, xen_options))
    lines = [
        "# Managed by vcompare.lab (role xen_host).",
        # The entry that is booted by default is chosen by its id, after it was proven; see grub-set-default(8).
        "GRUB_DEFAULT=saved",
        "XEN_OVERRIDE_GRUB_DEFAULT=0",
        f"GRUB_CMDLINE_XEN={shlex.quote(xen)}",
    ]
    if dom0_options:
        lines.append(f"GRUB_CMDLINE_LINUX_XEN_REPLACE={shlex.quote(dom0_options)}")
    return "\n".join(lines) + "\n"


def xen_entry(grub_cfg: str) -> str:
    """Path of the first Xen entry of a menu in the form that grub-reboot takes (``submenu>entry``).

    Entries are found by what they boot, not by their translated titles. The one with ``.efi`` is for
    firmware that boots Xen itself.

    :param grub_cfg: text of grub.cfg.
    :raises VcompareError: there is none.
    """
    blocks: list[str] = []
    for line in grub_cfg.splitlines():
        words = line.split()
        if words[-1:] == ["{"]:
            match = _ENTRY.match(line)
            # A function has a block as well, and is no part of a path.
            blocks.append(_entry_id(match[1]) if match else "")
        elif words == ["}"]:
            blocks = blocks[:-1]
        elif (
            len(words) > 1
            and words[0] in ("multiboot", "multiboot2")
            and _HYPERVISOR.search(words[1])
        ):
            return ">".join(block for block in blocks if block)
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


def running() -> dict[str, t.Any]:
    """What the host runs under now.

    :returns: dom0, version, commandline, capabilities; empty values where there is no Xen.
    """
    found: dict[str, t.Any] = {"dom0": False, "version": "", "commandline": "", "capabilities": []}
    if _read("/sys/hypervisor/type") != "xen":
        return found
    found["dom0"] = "control_d" in _read("/proc/xen/capabilities")
    if not found["dom0"]:
        return found
    info = {}
    for line in command.run(["xl", "info"], "asking Xen what it is", timeout_s=120).splitlines():
        key, _sep, value = line.partition(":")
        info[key.strip()] = value.strip()
    found["version"] = info.get("xen_version", "")
    found["commandline"] = info.get("xen_commandline", "")
    found["capabilities"] = info.get("virt_caps", "").split()
    found["total_memory_mib"] = int(info.get("total_memory", "0"))
    found["free_memory_mib"] = int(info.get("free_memory", "0"))
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as text:
            return text.read().strip()
    except OSError:
        return ""


class XenBoot:
    """The boot settings of one host.

    :param wanted: text that our file shall have.
    :param verify: the host was booted into Xen already: if it isn't dom0 now, trying again would not help.
    """

    def __init__(self, wanted: str, check_mode: bool, verify: bool = False) -> None:
        self.verify = verify
        self.wanted = wanted
        self.check_mode = check_mode
        self.changes: list[str] = []
        self.diff = ""

    def converge(self, options: t.Sequence[str]) -> dict[str, t.Any]:
        """Set what is not set; say whether the host must reboot for it.

        :param options: words that must be on the running Xen's command line.
        :returns: changed, changes, reboot_required, and what `running` says.
        """
        self._settings()
        self._console_logs()
        self._services()
        now = running()
        reboot = not now["dom0"] or not set(options) <= set(now["commandline"].split())
        entry = "" if self.check_mode and self.changes else xen_entry(_read(GRUB_CFG))
        if reboot and not self.verify:
            self._once(entry)
        elif not reboot:
            self._default(entry)
        return {
            "changed": bool(self.changes),
            "changes": self.changes,
            "reboot_required": reboot,
            "entry": entry,
            **now,
        }

    def _settings(self) -> None:
        there = _read(SETTINGS)
        if there == self.wanted.strip():
            return
        self.changes.append(f"write {SETTINGS} and the boot menu")
        self.diff = "".join(
            difflib.unified_diff(
                there.splitlines(True), self.wanted.splitlines(True), SETTINGS, SETTINGS
            )
        )
        if self.check_mode:
            return
        os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
        partial = SETTINGS + ".partial"
        with open(partial, "w", encoding="utf-8") as file:
            file.write(self.wanted)
        try:
            os.replace(partial, SETTINGS)
            command.run(["update-grub"], "writing the boot menu", timeout_s=900)
        except VcompareError:
            # A half-made change must not look like a finished one to the next run.
            os.unlink(SETTINGS)
            raise

    def _console_logs(self) -> None:
        """Have guests' consoles logged: the last lines of one that failed are its only witness."""
        if not os.path.isdir(CONSOLE_LOGS):
            self.changes.append(f"make {CONSOLE_LOGS}")
            if not self.check_mode:
                os.makedirs(CONSOLE_LOGS)
        text = _read(CONSOLED)
        # Debian's init script passes these on; it does not read XENCONSOLED_TRACE.
        line = 'XENCONSOLED_ARGS="--log=guest"'
        if line in text.splitlines():
            return
        self.changes.append("have guests' consoles logged")
        if self.check_mode:
            return
        with open(CONSOLED, "a", encoding="utf-8") as file:
            file.write(f"\n# vcompare.lab.xen_host\n{line}\n")

    def _services(self) -> None:
        """Have Xen's daemons: now in a dom0, and at boot."""
        if command.state("systemctl", "is-enabled", "xen.service") != "enabled":
            self.changes.append("start Xen's daemons at boot")
            if not self.check_mode:
                command.run(["systemctl", "enable", "xen.service"], "enabling Xen's daemons")
        # They mount xenfs, and without it not even `xl info` works.
        if _read("/sys/hypervisor/type") == "xen" and not os.path.exists("/proc/xen/capabilities"):
            self.changes.append("start Xen's daemons")
            if not self.check_mode:
                command.run(
                    ["systemctl", "restart", "xen.service"],
                    "starting Xen's daemons",
                    remedy="See: journalctl -u xen.",
                    timeout_s=900,
                )

    def _once(self, entry: str) -> None:
        if f"next_entry={entry}" in _grubenv():
            return
        self.changes.append("boot into Xen once")
        if not self.check_mode:
            command.run(["grub-reboot", entry], "choosing Xen for the next boot")

    def _default(self, entry: str) -> None:
        if f"saved_entry={entry}" in _grubenv():
            return
        self.changes.append("make Xen the default")
        if not self.check_mode:
            command.run(["grub-set-default", entry], "making Xen the default")


def _grubenv() -> list[str]:
    return _read("/boot/grub/grubenv").splitlines()
