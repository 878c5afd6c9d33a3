# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""KVM and libvirt of a host: the kernel module, the daemon, nested paging."""

from __future__ import annotations

import os
import shutil
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    KERNEL_MODULE,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

_MODULES_LOAD = "/etc/modules-load.d/vcompare-kvm.conf"
_SOCKETS = ("virtlogd.socket", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
# libvirt notes the cards of a network's guests here, and only the package of its default network makes it.
LEASES = "/var/lib/libvirt/dnsmasq"
# Debian's libvirtd ends after two idle minutes. Whoever asks next waits for its start, and for what it finds out about
# QEMU; a host that is there for virtual machines keeps it.
_DROP_IN = "/etc/systemd/system/libvirtd.service.d/vcompare.conf"
_KEEP = "# vcompare.lab.kvm_host\n[Service]\nEnvironment=LIBVIRTD_ARGS=\n"
_PARAMETERS = {"kvm_amd": "npt", "kvm_intel": "ept"}


def wanted_module(cpuinfo: str = "/proc/cpuinfo") -> str:
    """The KVM module for this processor; empty when it has no hardware virtualisation."""
    with open(cpuinfo, encoding="utf-8", errors="replace") as text:
        for line in text:
            if line.startswith("flags"):
                flags = set(line.split())
                return "kvm_amd" if "svm" in flags else "kvm_intel" if "vmx" in flags else ""
    return ""


def loaded(module: str) -> bool:
    """Whether a kernel module is loaded or built in."""
    return os.path.isdir(f"/sys/module/{module}")


def nested_paging(
    module: str, parameters: str = "/sys/module/{module}/parameters/{name}"
) -> bool | None:
    """Whether the second level of address translation is done by the hardware; None when it can't be told."""
    try:
        with open(
            parameters.format(module=module, name=_PARAMETERS[module]), encoding="ascii"
        ) as text:
            return text.read().strip() in ("Y", "1")
    except (OSError, KeyError):
        return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str, steps: HostPlan, check_mode: bool) -> None:
    """Add the step, and write the file unless it is only checked."""
    steps.file(path, _read(path) if os.path.exists(path) else None, text)
    if not check_mode:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def _installed() -> bool:
    """Whether a daemon of libvirt is there; in check mode its package may only have been planned."""
    return any(
        shutil.which(program, path=command.search_path()) for program in ("libvirtd", "virtqemud")
    )


def _server_daemon(check_mode: bool, journal: HostJournal, steps: HostPlan) -> None:
    """Start libvirtd on a server where nothing of it answers; what runs there already is left as it is."""
    units = ("libvirtd.socket", "libvirtd.service", "virtqemud.socket", "virtqemud.service")
    if check_mode and not _installed():
        # Its package starts it; the step is that of the package.
        return
    if any(command.state("systemctl", "is-active", unit) == "active" for unit in units):
        return
    for unit in _SOCKETS:
        steps.add("service", "start", unit, "now and at boot")
    if check_mode:
        return
    for unit in _SOCKETS:
        enabled = command.state("systemctl", "is-enabled", unit)
        journal.unit(unit, enabled, command.state("systemctl", "is-active", unit))
    command.run(
        ["systemctl", "enable", "--now", *_SOCKETS],
        "starting libvirtd's sockets",
        remedy="See: journalctl -u libvirtd.",
    )


def _node_daemon(check_mode: bool, steps: HostPlan) -> None:
    """Ensure that libvirtd runs now and at boot, and stays: on a node of a nested lab, which carries nothing of others.

    With its sockets, which can't be started while it runs without them.
    """
    stays = _read(_DROP_IN) == _KEEP
    enabled = all(command.state("systemctl", "is-enabled", unit) == "enabled" for unit in _SOCKETS)
    if not stays:
        _write(_DROP_IN, _KEEP, steps, check_mode)
        if enabled and not check_mode:
            command.run(["systemctl", "daemon-reload"], "having systemd read its units")
    if not enabled:
        steps.add("service", "enable", "libvirtd.service", "at boot")
        if not check_mode:
            # This has systemd read its units, too, which takes a second on an emulated host.
            command.run(["systemctl", "enable", "libvirtd.service", *_SOCKETS], "enabling libvirtd")
    running = ("libvirtd.service", *_SOCKETS)
    if not stays or any(
        command.state("systemctl", "is-active", unit) != "active" for unit in running
    ):
        steps.add("service", "restart", "libvirtd.service", "with its sockets")
        if not check_mode:
            remedy = "See: journalctl -u libvirtd."
            command.run(
                ["systemctl", "stop", "libvirtd.service"], "stopping libvirtd", remedy=remedy
            )
            command.run(
                ["systemctl", "start", *_SOCKETS], "starting libvirtd's sockets", remedy=remedy
            )
            command.run(
                ["systemctl", "start", "libvirtd.service"], "starting libvirtd", remedy=remedy
            )


def converge(
    check_mode: bool, dedicated: bool = False, journal: HostJournal | None = None
) -> dict[str, t.Any]:
    """Load the KVM module now and at boot, ensure that libvirtd runs now and at boot, and say what is in force.

    :param dedicated: the host carries nothing of others, so that libvirtd may be configured and restarted.
    :param journal: where the host's state before a change is recorded.
    :returns: changed, plan and diff (`HostPlan`), module, nested_paging, device.
    :raises VcompareError: the processor has no hardware virtualisation, or something could not be done.
    """
    module = wanted_module()
    if not module:
        raise VcompareError(
            "This host's processor shows neither svm nor vmx: KVM can't run here.",
            "Switch on hardware virtualisation in the firmware, or nested virtualisation in the hypervisor below, or "
            "take the host out of the group kvm_hosts.",
        )
    journal = journal or HostJournal()
    steps = HostPlan()
    text = f"# vcompare.lab.kvm_host\n{module}\n"
    if _read(_MODULES_LOAD) != text:
        if not check_mode:
            journal.file(_MODULES_LOAD, text.encode())
        _write(_MODULES_LOAD, text, steps, check_mode)
    if not os.path.isdir(LEASES):
        steps.add("file", "add", f"{LEASES}/", "a folder")
        if not check_mode:
            journal.directory(LEASES)
            os.makedirs(LEASES, mode=0o755)
    if not loaded(module):
        steps.add("module", "load", module)
        if not check_mode:
            journal.note(KERNEL_MODULE, module, {"loaded": False})
            command.run(
                ["modprobe", module],
                f"loading {module}",
                remedy="See dmesg: the firmware may forbid it.",
            )
    if dedicated:
        _node_daemon(check_mode, steps)
    else:
        _server_daemon(check_mode, journal, steps)
    device = os.path.exists("/dev/kvm")
    if not device and not check_mode:
        raise VcompareError(
            f"{module} is loaded, and there is no /dev/kvm.",
            "See dmesg: the firmware may forbid it.",
        )
    return {
        "changed": steps.changed,
        **steps.result(),
        "module": module,
        "nested_paging": nested_paging(module),
        "device": device,
    }
