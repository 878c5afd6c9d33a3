# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host under test is: read from files, with a single program started: hosts may be slow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._host import (
    hardware,
    os_release,
    substrate,
)

NODE_ROOTFS = substrate.NODE_DISK
NODE_KIT = "/run/vcompare/kit"

# Our name of a component → packages that bring it, the preferred one first.
_PACKAGES: t.Mapping[str, tuple[str, ...]] = {
    "docker": ("docker-ce", "docker.io", "moby-engine"),
    "containerd": ("containerd.io", "containerd"),
    "runc": ("runc",),
    "libvirt": ("libvirt-daemon-system", "libvirt-daemon"),
    "qemu": ("qemu-system-x86", "qemu-kvm"),
    "qemu_xen": ("qemu-system-xen",),
    "xen_utils": ("xen-utils-common",),
}

Facts = dict[str, t.Any]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def cpu(cpuinfo: str) -> tuple[str, int]:
    """Return model and number of processors out of the text of ``/proc/cpuinfo``."""
    models = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    count = len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE))
    return (models[0] if models else ""), count


def memory_mib(meminfo: str) -> int | None:
    """Return the memory in MiB out of the text of ``/proc/meminfo``."""
    found = re.search(r"^MemTotal:\s+([0-9]+) kB$", meminfo, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else None


def mitigations(folder: str = "/sys/devices/system/cpu/vulnerabilities") -> str:
    """Return the kernel's word on each weakness of the processor, in one line."""
    try:
        names = sorted(path.name for path in Path(folder).iterdir())
    except OSError:
        return ""
    return "; ".join(f"{name}: {_read(f'{folder}/{name}')}" for name in names)


def package_versions(listing: str) -> dict[str, str]:
    """Return the versions of the components that are installed.

    :param listing: a line each: status, package, version, separated by blanks.
    """
    installed: dict[str, str] = {}
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "ii":
            installed[words[1]] = words[2]
    found = {}
    for component, packages in _PACKAGES.items():
        for package in packages:
            if package in installed:
                found[component] = installed[package]
                break
    xen = sorted(name for name in installed if name.startswith("xen-hypervisor-"))
    if xen:
        found["xen"] = installed[xen[-1]]
    return found


def _listing() -> str:
    """Ask the package manager once; nothing on systems of another kind than Debian's."""
    program = shutil.which("dpkg-query")
    if program is None:
        return ""
    names = [name for packages in _PACKAGES.values() for name in packages]
    form = "${db:Status-Abbrev} ${Package} ${Version}\n"
    done = subprocess.run(
        [program, "--show", f"--showformat={form}", *names, "xen-hypervisor-*"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        # A package that is not there makes it end with 1, and the others are listed all the same.
        check=False,
    )
    return done.stdout


def running_xen(folder: str = "/sys/hypervisor") -> str:
    """Return the version of the Xen that this host runs under, or nothing."""
    if _read(f"{folder}/type") != "xen":
        return ""
    major, minor = _read(f"{folder}/version/major"), _read(f"{folder}/version/minor")
    return f"{major}.{minor}{_read(f'{folder}/version/extra')}"


def image(digest: str = "") -> Facts | None:
    """Find the image that this host has.

    :param digest: of the wanted one; the newest one when empty.
    :return: ``image.json`` and ``paths``, or None when there is no (such) image here.
    """
    folders = [Path(NODE_KIT)]
    try:
        kept = sorted(
            Path(STATE_DIR, "images").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True
        )
    except OSError:
        kept = []
    for folder in folders + kept:
        try:
            found = json.loads((folder / "image.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(found, dict) or (digest and found.get("digest") != digest):
            continue
        rootfs = NODE_ROOTFS if str(folder) == NODE_KIT else str(folder / "rootfs.ext4")
        paths = {"rootfs": rootfs}
        for what, name in (
            ("kernel", "vmlinux"),
            ("initrd", "initrd.img"),
            ("container", "container.tar"),
        ):
            paths[what] = str(folder / name)
        missing = sorted(what for what, path in paths.items() if not Path(path).exists())
        return {**found, "paths": paths, "missing": missing}
    return None


def others(folder: str = f"{STATE_DIR}/others") -> dict[str, Facts]:
    """Return what was brought of each further image, by its role: ``image.json``, which is written last."""
    found: dict[str, Facts] = {}
    try:
        paths = sorted(Path(folder).iterdir())
    except OSError:
        return found
    for path in paths:
        try:
            described = json.loads((path / "image.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(described, dict):
            files = described.get("files") or {}
            found[path.name] = {
                "files": {name: files[name] for name in files if (path / name).exists()}
            }
    return found


def collect(image_digest: str = "") -> Facts:
    """Return all of it (docs/contracts.md, ``facts/<host>.json``), and the image."""
    model, count = cpu(_read("/proc/cpuinfo"))
    found = substrate.read()
    versions = package_versions(_listing())
    xen = running_xen()
    if xen:
        versions["xen_running"] = xen
    return {
        "kernel": os.uname().release,
        "cpu_model": model,
        "cpu_count": count,
        "memory_mib": memory_mib(_read("/proc/meminfo")),
        "substrate": substrate.classify(found),
        "hypervisor_signature": found.signature,
        "dmi": dict(found.dmi),
        "xen_role": found.xen_role,
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "mitigations": mitigations(),
        "hardware": hardware.read(),
        "os": os_release.read().get("PRETTY_NAME", ""),
        "versions": versions,
        "boot_id": _read("/proc/sys/kernel/random/boot_id"),
        "cmdline": _read("/proc/cmdline"),
        "image": image(image_digest),
        "others": others(),
    }
