# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What arms need of a host that is used as it is, and what of it is missing. Nothing is changed.

A daemon that systemd starts when its socket is asked counts as running: that is how its administrator set it up.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import sys
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import BY_NAME
from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    kvm_engine,
    packages,
    xen_running,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import SOCKET, Api
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import Service
from ansible_collections.vcompare.lab.plugins.module_utils._engines.systems import Need, System
from ansible_collections.vcompare.lab.plugins.module_utils._host import hardware

_CGROUPS_REMEDY = (
    "boot the host with the kernel option systemd.unified_cgroup_hierarchy=1 (without systemd: cgroup_no_v1=all, and "
    "mount cgroup2 on /sys/fs/cgroup)"
)
_PODMAN_SOCKET = "/run/podman/podman.sock"
# One daemon, or those that do its work since libvirt 7: machines, and networks.
_LIBVIRT_SOCKETS = (
    ("/run/libvirt/libvirt-sock",),
    ("/run/libvirt/virtqemud-sock", "/run/libvirt/virtnetworkd-sock"),
)
_DEVICE = "/dev/kvm"
_PYTHON = (3, 11)
# A dom0 loses some of its memory to its own tables.
_TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True)
class Lack:
    """One thing that is missing.

    :param code: ``python``, ``package``, ``service``, ``socket``, ``kernel-module``, ``device``, ``directory``,
        ``processor``, ``xen``, ``dom0-memory`` or ``cgroups``.
    :param what: what is missing, as a sentence without its full stop.
    :param command: what an administrator runs to change that.
    """

    code: str
    what: str
    command: str


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of a host.

    :param technologies: ``image``, ``docker``, ``podman``, ``kvm``, ``xen``: of which the needs count.
    :param kvm_required: whether a processor that can't run KVM is an error; otherwise KVM is left out later.
    :param cgroups: whether control groups of version 2 are needed.
    :param dom0_memory_mib: the least memory of a dom0.
    """

    technologies: t.Collection[str]
    kvm_required: bool = True
    cgroups: bool = True
    dom0_memory_mib: int = 1024


def technologies(arms: t.Iterable[str]) -> list[str]:
    """Return what the arms need: the image, and each technology that carries one."""
    found = {"image"} if arms else set()
    return sorted(found | {BY_NAME[arm].technology for arm in arms} - {"bare"})


def lacks(
    asked: Asked, needs: t.Mapping[str, t.Sequence[Need]], system: System, provision: bool
) -> list[Lack]:
    """Return everything that is missing.

    :param needs: of each technology.
    :param provision: whether the host may be changed: then what is installed and started later is not missing.
    """
    found = _python() + (_cgroups() if asked.cgroups else [])
    if provision and system.installed_by_us:
        return found
    names = [name for name in asked.technologies if name != "kvm" or _kvm_counts(asked)]
    looked = {name: _SERVICES[name](asked) for name in names if name in _SERVICES}
    missing = [
        need
        for need in packages.missing([need for name in names for need in needs[name]])
        # What answers is installed, wherever it came from.
        if need.id not in looked or {lack.code for lack in looked[need.id]} & _SILENT
    ]
    if missing:
        what = ", ".join(dict.fromkeys(need.name for need in missing))
        verb = "are" if len(missing) > 1 else "is"
        found.append(Lack("package", f"{what} {verb} not installed", system.install(missing)))
    return found + [lack for part in looked.values() for lack in part]


def _python(version: tuple[int, ...] = sys.version_info[:2]) -> list[Lack]:
    if version >= _PYTHON:
        return []
    wanted, there = (".".join(map(str, one)) for one in (_PYTHON, version))
    what = f"{sys.executable} is Python {there}, and {wanted} or later is needed"
    return [
        Lack(
            "python", what, "install it beside the system's own, and set ansible_python_interpreter"
        )
    ]


def _cgroups() -> list[Lack]:
    if hardware.cgroup_version() == 2:
        return []
    what = "there are no control groups of version 2 on /sys/fs/cgroup, with which instances are limited"
    return [Lack("cgroups", what, _CGROUPS_REMEDY)]


def _kvm_counts(asked: Asked) -> bool:
    """Say whether KVM can be had at all; where it can't and was not asked for by name, it is left out later."""
    return asked.kvm_required or bool(kvm_engine.wanted_module())


def answers(path: str) -> bool:
    """Say whether something listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(60)
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def _docker(_asked: Asked) -> list[Lack]:
    if Api(SOCKET).answers():
        return []
    state = Service(60).state()
    if state.masked:
        return [
            Lack(
                "service",
                "docker.service is masked",
                "systemctl unmask docker.service && systemctl enable --now docker.service",
            )
        ]
    if state.active:
        what = f"Docker's daemon runs, and does not answer on {SOCKET}"
        return [Lack("socket", what, "journalctl --unit docker.service")]
    what = f"Docker's daemon does not run (nothing answers on {SOCKET})"
    return [Lack("service", what, "systemctl enable --now docker.service")]


def _podman(_asked: Asked) -> list[Lack]:
    if answers(_PODMAN_SOCKET):
        return []
    what = f"Podman's service does not listen on {_PODMAN_SOCKET}"
    return [Lack("service", what, "systemctl enable --now podman.socket")]


def _libvirt() -> list[Lack]:
    if any(all(answers(path) for path in paths) for paths in _LIBVIRT_SOCKETS):
        return []
    modular = shutil.which("virtqemud", path=command.search_path()) is not None
    units = "virtqemud.socket virtnetworkd.socket" if modular else "libvirtd.socket"
    paths = ", ".join(_LIBVIRT_SOCKETS[modular])
    what = f"libvirt's daemon does not run (nothing answers on {paths})"
    return [Lack("service", what, f"systemctl enable --now {units}")]


def _kvm(asked: Asked) -> list[Lack]:
    module = kvm_engine.wanted_module()
    found = _libvirt()
    if not module:
        what = "the processor shows neither svm nor vmx, so that KVM can't run"
        remedy = "switch on hardware virtualisation in the firmware, or nested virtualisation in the hypervisor below"
        found.append(Lack("processor", what, remedy))
    elif not kvm_engine.loaded(module):
        found.append(Lack("kernel-module", f"{module} is not loaded", f"modprobe {module}"))
    elif not os.path.exists(_DEVICE):
        found.append(Lack("device", f"{module} is loaded, and there is no {_DEVICE}", "dmesg"))
    if not os.path.isdir(kvm_engine.LEASES):
        what = f"the folder {kvm_engine.LEASES} is missing, in which libvirt notes the addresses of guests"
        found.append(Lack("directory", what, f"install --directory {kvm_engine.LEASES}"))
    return found


def _xen(asked: Asked) -> list[Lack]:
    try:
        now = xen_running.running()
    except VcompareError as error:
        return [Lack("service", error.message.rstrip("."), "systemctl start xen.service")]
    if not now["dom0"]:
        what = "the host is not the dom0 of a Xen"
        return [Lack("xen", what, "choose Xen in the boot menu (grub-reboot), and reboot")]
    memory, least = now["dom0_memory_mib"], asked.dom0_memory_mib
    if memory >= least * (1 - _TOLERANCE):
        return []
    what = f"dom0 has {memory} MiB of memory, and needs {least} MiB (xen_host_dom0_memory_mib)"
    remedy = (
        f"set dom0_mem={least}M,max:{least}M in Xen's options (GRUB_CMDLINE_XEN in "
        "/etc/default/grub), then update-grub and reboot"
    )
    return [Lack("dom0-memory", what, remedy)]


_SERVICES: t.Mapping[str, t.Callable[[Asked], list[Lack]]] = {
    "docker": _docker,
    "podman": _podman,
    "kvm": _kvm,
    "xen": _xen,
}
# Codes of what does not answer; a capability of a technology's own name is there where that does.
_SILENT = {"service", "xen"}


def refuse(asked: Asked, missing: t.Sequence[Lack], system: System, provision: bool) -> None:
    """Refuse a host on which something is missing, or would be changed although nothing is installed on its system.

    :raises VcompareError: with all that is missing, each with the command that changes it.
    """
    foreign = provision and not system.installed_by_us and set(asked.technologies) - {"image"}
    if not missing and not foreign:
        return
    lines = [f"- {lack.what}: {lack.command}" for lack in missing]
    again = "start again."
    if foreign:
        headline = f"This host runs {system.name}, and only Debian and Ubuntu are provisioned. Nothing was changed."
        headline += " Missing:" if missing else ""
        again = "set vcompare_provision to false for this host, and start again."
    elif provision:
        headline = "This host lacks what its arms need. Nothing was changed."
    else:
        headline = "This host lacks what its arms need, and is used as it is (vcompare_provision is false)."
        again = "start again, or set vcompare_provision to true for this host."
    remedy = f"Do this on the host, then {again}" if missing else again.capitalize()
    raise VcompareError("\n".join([headline, *lines]), remedy)
