# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host is: real hardware, a virtual machine, or a node of a nested lab.

Real hardware is said only where something establishes it. The table of virtual machines is systemd's (``virt.c``), with
clouds that name only themselves; systemd's own tool can't answer here, since it says "none" in every dom0.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._contract.substrates import (
    METAL,
    NESTED_KVM,
    NESTED_TCG,
    UNKNOWN,
    VM,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.cpuid import hypervisor_signature

# The disk that only nodes of a nested lab have.
NODE_DISK = "/dev/disk/by-id/virtio-vc-rootfs"

DMI_FIELDS = ("product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version")
# Beginnings of any of those fields.
_VIRTUAL = (
    "KVM", "OpenStack", "KubeVirt", "Amazon EC2", "QEMU", "VMware", "VMW", "innotek GmbH", "VirtualBox", "Xen", "Bochs",
    "Parallels", "BHYVE", "Hyper-V", "Apple Virtualization", "Google Compute Engine",
    # Not in systemd's table: firmware and products of virtual machines alone.
    "SeaBIOS", "EFI Development Kit II", "Virtual Machine", "vServer", "Droplet", "Alibaba Cloud ECS", "AHV",
    "RHEV Hypervisor", "oVirt", "SmartDC HVM", "OpenBSD Foundation", "Cloud Hypervisor",
    "IBM:VPC",
)  # fmt: skip
# Clouds that rent out real machines under the same name; the firmware says which it is.
_EITHER = ("Amazon EC2", "Google Compute Engine")
# Beginnings of the makers of real machines, as sys_vendor or board_vendor has them.
_REAL = (
    "Dell", "HP", "LENOVO", "IBM", "Supermicro", "Super Micro", "FUJITSU", "Intel", "ASUS", "Gigabyte",
    "ASRock", "Micro-Star", "MSI", "Quanta", "Wiwynn", "Inspur", "Cisco Systems", "Sun Microsystems",
    "Oracle Corporation", "Huawei Technologies", "H3C", "TYAN", "MiTAC", "Acer", "Apple Inc.", "Framework", "AZW",
    "Protectli", "PC Engines", "NEC Corp", "Hitachi", "Bull", "xFusion", "Foxconn", "GIGA-BYTE", "Advantech",
    "AAEON", "Kontron", "Samsung", "TOSHIBA", "Hewlett", "Panasonic", "Dynabook",
    "System76", "TUXEDO", "Shuttle", "BIOSTAR", "ZOTAC", "Thomas-Krenn",
)  # fmt: skip
# Of the CPUID's leaf 0x40000000.
_SIGNATURES = (
    "KVMKVMKVM", "Linux KVM Hv", "VMwareVMware", "Microsoft Hv", "bhyve bhyve", "QNXQVMBSQG", "ACRNACRNACRN",
    "SRESRESRESRE", "Apple VZ", "VBoxVBoxVBox", "prl hyperv", "lrpepyh vr",
)  # fmt: skip
_XEN = "XenVMMXenVMM"
_EMULATED_CPU = "QEMU TCG"
# Byte 19 of SMBIOS's table 0, "BIOS characteristics extension 2": this is a virtual machine.
_SMBIOS_BYTE, _SMBIOS_VM = 19, 1 << 4
# Sensors and error reporting of the machine itself, which no common hypervisor passes on.
_SENSORS = (
    "sys/devices/system/edac/mc/mc0",
    "sys/class/powercap/intel-rapl:0",
    "sys/class/ipmi/ipmi0",
)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was read from a host.

    :param signature: the hypervisor's CPUID signature; in a dom0 it is Xen's own.
    :param flag: whether the processors have the flag ``hypervisor``.
    :param dmi: fields of the firmware's table by name, those that are there.
    :param smbios_vm: the firmware's own word on being virtual; None where it can't be read.
    :param xen_role: ``control_d`` in a dom0; a kind of guest otherwise; empty without Xen.
    :param node: whether it is a node of a nested lab.
    :param sensors: whether there are sensors of a real machine.
    """

    signature: str = ""
    cpu_model: str = ""
    flag: bool = False
    dmi: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    smbios_vm: bool | None = None
    xen_role: str = ""
    node: bool = False
    sensors: bool = False

    @property
    def dom0(self) -> bool:
        """Whether what the processor says is said by the host's own Xen."""
        return "control_d" in self.xen_role


def read(root: Path = Path("/"), signature: str | None = None) -> Evidence:
    """Read what there is.

    :param root: where ``/proc`` and ``/sys`` are; tests give others.
    :param signature: instead of the one of this machine's processor.
    """
    cpuinfo = _text(root / "proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    dmi = {name: _text(root / "sys/class/dmi/id" / name) for name in DMI_FIELDS}
    try:
        table = (root / "sys/firmware/dmi/entries/0-0/raw").read_bytes()
    except OSError:
        table = b""
    return Evidence(
        signature=hypervisor_signature() if signature is None else signature,
        cpu_model=model[1] if model else "",
        flag="hypervisor" in flags[1].split() if flags else False,
        dmi={name: text for name, text in dmi.items() if text},
        smbios_vm=bool(table[_SMBIOS_BYTE] & _SMBIOS_VM) if len(table) > _SMBIOS_BYTE else None,
        xen_role=_text(root / "proc/xen/capabilities") or _text(root / "sys/hypervisor/guest_type"),
        node=(root / NODE_DISK.lstrip("/")).exists(),
        sensors=any((root / path).exists() for path in _SENSORS),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def classify(found: Evidence) -> str:
    """Return one of SUBSTRATES."""
    if found.signature.startswith("TCG") or _EMULATED_CPU in found.cpu_model:
        return NESTED_TCG
    if _virtual(found):
        return NESTED_KVM if found.node else VM
    if (found.flag or found.signature) and not found.dom0:
        # Something is below, under a name that is not known.
        return UNKNOWN
    makers = ("sys_vendor", "board_vendor")
    real = found.sensors or _rented(found) or _begins(found, _REAL, makers)
    return METAL if real else UNKNOWN


def _virtual(found: Evidence) -> bool:
    below = not found.dom0 and (found.signature or found.xen_role)
    if below and (found.xen_role or found.signature.startswith((*_SIGNATURES, _XEN))):
        return True
    if _rented(found):
        return False
    return bool(found.smbios_vm) or _begins(found, _VIRTUAL)


def _rented(found: Evidence) -> bool:
    """A real machine of a cloud that also has virtual ones."""
    return found.smbios_vm is False and _begins(found, _EITHER) and (found.dom0 or not found.flag)


def _begins(found: Evidence, table: tuple[str, ...], fields: tuple[str, ...] = DMI_FIELDS) -> bool:
    lower = tuple(name.lower() for name in table)
    return any(found.dmi.get(field, "").lower().startswith(lower) for field in fields)


def detect() -> str:
    """Say what this host is."""
    return classify(read())
