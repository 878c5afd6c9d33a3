# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Observations of where work runs, from inside an instance and of the host."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Proof, Result

# One command for all observations: each command costs a slow host a good part of a second.
_OBSERVE = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
first() { read -r line <"$1" && printf %s "$line"; }
exec 2>/dev/null
say boot_id "$(first /proc/sys/kernel/random/boot_id)"
say release "$(uname -r)"
say pid_namespace "$(readlink /proc/self/ns/pid)"
say hypervisor "$(first /sys/hypervisor/type)"
say guest_type "$(first /sys/hypervisor/guest_type)"
say xen_uuid "$(first /sys/hypervisor/uuid)"
say xen_capabilities "$(tr '\n' ' ' </proc/xen/capabilities)"
say smbios_uuid "$(first /sys/class/dmi/id/product_uuid)"
say cpus "$(nproc)"
say cmdline "$(first /proc/cmdline)"
say cgroup "$(sed -n 's/^0:://p' /proc/self/cgroup)"
say dockerenv "$(test -e /.dockerenv && echo present)"
lscpu | sed -n 's/^ *Hypervisor vendor: */lscpu_vendor=/p'
lscpu | sed -n 's/^ *Virtualization type: */lscpu_type=/p'
say leaf1 "$(cpuid -1 -r -l 1 | tr '\n' ' ')"
say leaf40000000 "$(cpuid -1 -r -l 0x40000000 | tr '\n' ' ')"
:
"""

OBSERVE_ARGV = ("/bin/sh", "-c", _OBSERVE)

Facts = t.Mapping[str, str]


def parse(result: Result) -> Facts:
    """Return the observations of :data:`OBSERVE_ARGV` by name; empty: could not be observed."""
    facts: dict[str, str] = {}
    for line in result.stdout.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            facts[key] = value.strip()
    facts["signature"] = signature(facts.get("leaf1", ""), facts.get("leaf40000000", ""))
    return facts


def _registers(raw: str) -> dict[str, int]:
    return {
        name: int(value, 16) for name, value in re.findall(r"\b(e[abcd]x)=0x([0-9a-fA-F]+)", raw)
    }


def signature(leaf1: str, leaf40000000: str) -> str:
    """Return a hypervisor's CPUID signature from two answers of ``cpuid -1 -r``; empty: none.

    Without the hypervisor bit (leaf 1, ECX bit 31) Intel's CPUs answer leaf 0x40000000 with
    another leaf's data.
    """
    one, other = _registers(leaf1), _registers(leaf40000000)
    if not one.get("ecx", 0) >> 31 or not {"ebx", "ecx", "edx"} <= other.keys():
        return ""
    raw = struct.pack("<3I", other["ebx"], other["ecx"], other["edx"]).rstrip(b"\0")
    return raw.decode("ascii", errors="backslashreplace")


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read().strip()
    return ""


def host_facts() -> Facts:
    """Observe the host itself, by the names of :func:`parse`, as far as comparing needs it."""
    return {
        "boot_id": _read("/proc/sys/kernel/random/boot_id"),
        "release": os.uname().release,
        "pid_namespace": str(Path("/proc/1/ns/pid").readlink()),
        "hypervisor": _read("/sys/hypervisor/type"),
        "xen_uuid": _read("/sys/hypervisor/uuid"),
        "guest_type": _read("/sys/hypervisor/guest_type"),
        "xen_capabilities": _read("/proc/xen/capabilities"),
    }


def is_dom0() -> bool:
    """Whether this host is the control domain of a Xen."""
    # Not by all facts of the host: process 1's can't be read without root, and this is asked without.
    if _read("/sys/hypervisor/type") != "xen":
        return False
    capabilities, uuid = _read("/proc/xen/capabilities"), _read("/sys/hypervisor/uuid")
    return "control_d" in capabilities or uuid == DOM0_UUID


DOM0_UUID = "00000000-0000-0000-0000-000000000000"


def inside(name: str, expected: str, observed: str) -> Proof:
    """A proof read in the instance: it holds when just what was expected was observed."""
    return Proof(name, "inside", expected, observed, bool(observed) and observed == expected)


def outside(name: str, expected: str, observed: str) -> Proof:
    """A proof asked of the host."""
    return Proof(name, "outside", expected, observed, bool(observed) and observed == expected)


def own_kernel(facts: Facts, host: Facts) -> Proof:
    """The instance has booted a kernel of its own: another boot than the host's."""
    boot, host_boot = facts.get("boot_id", ""), host["boot_id"]
    return Proof(
        "boot-id",
        "inside",
        f"another than {host_boot}",
        boot,
        bool(boot) and bool(host_boot) and boot != host_boot,
    )


def shared_kernel(facts: Facts, host: Facts) -> list[Proof]:
    """The instance runs on the host's kernel."""
    return [
        inside("boot-id", host["boot_id"], facts.get("boot_id", "")),
        inside("kernel-release", host["release"], facts.get("release", "")),
    ]


def not_xen(facts: Facts) -> Proof:
    """The instance sees no Xen below it."""
    observed = facts.get("hypervisor", "")
    return Proof(
        "no-xen", "inside", "none", observed or "none", bool(facts.get("boot_id")) and not observed
    )


def arm_argument(facts: Facts, arm: str) -> Proof:
    """The instance's kernel was given the arm's name by us."""
    words = [word for word in facts.get("cmdline", "").split() if word.startswith("vcompare.arm=")]
    return inside("kernel-argument", f"vcompare.arm={arm}", words[-1] if words else "")


def cpu_count(facts: Facts, vcpus: int) -> Proof:
    """The instance has as many CPUs as it shall have."""
    return inside("cpus", str(vcpus), facts.get("cpus", ""))
