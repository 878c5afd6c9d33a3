# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host runs under now, as Xen says."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command

# What the balloon driver of dom0 has now, in KiB.
_MEMORY = "/sys/devices/system/xen_memory/xen_memory0/info/current_kb"
_TOOLS = "This host is dom0, and xl does not answer: install xen-utils, and start its daemons (systemctl start xen)."


def running() -> dict[str, t.Any]:
    """What the host runs under now.

    :returns: dom0, version, commandline, capabilities, dom0_memory_mib; empty values where there is no Xen.
    :raises VcompareError: a dom0 without Xen's tools, or whose daemons do not run.
    """
    found: dict[str, t.Any] = {"dom0": False, "version": "", "commandline": "", "capabilities": []}
    found["dom0_memory_mib"] = None
    if _read("/sys/hypervisor/type") != "xen":
        return found
    found["dom0"] = "control_d" in _read("/proc/xen/capabilities")
    if not found["dom0"]:
        return found
    info = {}
    for line in command.run(
        ["xl", "info"], "asking Xen what it is", timeout_s=120, remedy=_TOOLS
    ).splitlines():
        key, _sep, value = line.partition(":")
        info[key.strip()] = value.strip()
    found["version"] = info.get("xen_version", "")
    found["commandline"] = info.get("xen_commandline", "")
    found["capabilities"] = info.get("virt_caps", "").split()
    found["total_memory_mib"] = int(info.get("total_memory", "0"))
    found["free_memory_mib"] = int(info.get("free_memory", "0"))
    found["dom0_memory_mib"] = dom0_memory_mib()
    return found


def dom0_memory_mib() -> int:
    """Memory that dom0 really has, in MiB."""
    if current := _read(_MEMORY):
        return int(current) // 1024
    rows = command.run(["xl", "list", "0"], "asking for dom0's memory", timeout_s=120).splitlines()
    return int(rows[-1].split()[2])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as text:
            return text.read().strip()
    except OSError:
        return ""
