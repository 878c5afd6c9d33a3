# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""libvirt's XML for an instance: options in, a small model of a domain, XML out."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import (
    XML_NAMESPACE,
    XML_PREFIX,
    check_name,
    check_owner,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

DEFAULT_URI = "qemu:///system"
DEFAULT_NETWORK = "vcompare"
# i440fx: a guest with one disk and one card needs no PCIe root ports for firmware and kernel to scan.
DEFAULT_MACHINE = "pc"
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
ROOTFS_SERIAL = "vc-rootfs"

DOMAIN_TYPES = ("kvm", "qemu")
CPU_MODES = ("host-passthrough", "maximum", "custom")
DISK_FORMATS = ("raw", "qcow2")
DISK_CACHES = ("none", "writeback", "writethrough", "directsync", "unsafe")

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\Z")
_WORD = re.compile(r"[A-Za-z0-9_.+-]+\Z")

ET.register_namespace(XML_PREFIX, XML_NAMESPACE)
ET.register_namespace("qemu", QEMU_NAMESPACE)


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtio disk.

    :param cache: ``none`` on real disks, so that no arm profits from the host's page cache;
        a file system without O_DIRECT (tmpfs) needs another one.
    """

    path: str
    format: str = "raw"
    serial: str = ""
    readonly: bool = False
    cache: str = "none"


@dataclasses.dataclass(frozen=True)
class UserNetwork:
    """QEMU's user networking: needs neither root nor a bridge.

    :param hostfwd: address on the host, port on the host, port in the machine.
    :param restrict: nothing but the forwarded ports.
    """

    hostfwd: tuple[tuple[str, int, int], ...] = ()
    restrict: bool = False
    mac: str = ""


@dataclasses.dataclass(frozen=True)
class Domain:
    """What a libvirt domain is made of, as far as we use it."""

    name: str
    owner: str
    vcpus: int
    memory_mib: int
    domain_type: str = "kvm"
    machine: str = DEFAULT_MACHINE
    cpuset: str = ""
    vcpu_pin: tuple[str, ...] = ()
    cpu_mode: str = "host-passthrough"
    cpu_model: str = ""
    cpu_disabled_features: tuple[str, ...] = ()
    tcg_tb_size_mib: int = 0
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    disks: tuple[Disk, ...] = ()
    network: str = ""
    mac: str = ""
    user_network: UserNetwork | None = None
    console_log: str = ""
    persistent: bool = False
    seclabels: tuple[t.Mapping[str, t.Any], ...] = ()
    metadata: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    oem_strings: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()


# What the ``kvm`` sub-dictionary may hold; ``uri`` and ``address`` are for the connection and the
# address only.
OPTIONS = frozenset(
    {
        "uri",
        "address",
        "domain_type",
        "cpu_mode",
        "cpu_model",
        "cpu_disabled_features",
        "machine",
        "persistent",
        "disks",
        "network",
        "mac",
        "user_network",
        "console_log",
        "metadata",
        "seclabel",
        "tcg_tb_size_mib",
        "vcpu_pin",
        "kernel",
        "initrd",
        "cmdline",
        "oem_strings",
        "qemu_args",
    }
)


def _refuse(spec: InstanceSpec, text: str, remedy: str = "") -> t.NoReturn:
    raise BackendError(f"{spec.name}: kvm: {text}", remedy=remedy)


def _choice(spec: InstanceSpec, option: str, value: str, choices: t.Sequence[str]) -> str:
    if value not in choices:
        _refuse(spec, f"{option} can't be {value!r}", f"Choose from {', '.join(choices)}.")
    return value


def _mac(spec: InstanceSpec, value: str) -> str:
    if value and not _MAC.match(value.lower()):
        _refuse(spec, f"{value!r} is not a MAC address", "Write it like 52:54:00:12:34:56.")
    return value.lower()


def _disk(spec: InstanceSpec, given: t.Mapping[str, t.Any]) -> Disk:
    values = {key: value for key, value in given.items() if value is not None}
    known = {field.name for field in dataclasses.fields(Disk)}
    if set(values) - known:
        _refuse(
            spec,
            f"a disk has no option {sorted(set(values) - known)[0]!r}",
            f"It has {', '.join(sorted(known))}.",
        )
    disk = Disk(**values)
    if not disk.path.startswith("/"):
        _refuse(spec, f"the disk {disk.path!r} is not an absolute path")
    _choice(spec, "a disk's format", disk.format, DISK_FORMATS)
    _choice(spec, "a disk's cache", disk.cache, DISK_CACHES)
    if disk.serial and (not _WORD.match(disk.serial) or len(disk.serial) > 20):
        # virtio-blk carries 20 bytes and cuts off the rest, and then /dev/disk/by-id has another
        # name
        _refuse(
            spec,
            f"{disk.serial!r} can't be a disk's serial",
            "Use up to 20 letters, digits, '_', '.', '+', '-'.",
        )
    return disk


def _user_network(spec: InstanceSpec, given: t.Mapping[str, t.Any] | None) -> UserNetwork | None:
    if given is None:
        return None
    forwards: list[tuple[str, int, int]] = []
    for entry in given.get("hostfwd") or ():
        try:
            address, host_port, port = entry
            forward = (str(ipaddress.IPv4Address(address)), int(host_port), int(port))
        except ValueError:
            _refuse(
                spec,
                f"{entry!r} is not a port forward",
                "Write it as [address, port of the host, port of the machine].",
            )
        if not all(0 < number < 65536 for number in forward[1:]):
            _refuse(spec, f"{entry!r} is not a port forward", "Ports are 1 to 65535.")
        forwards.append(forward)
    return UserNetwork(
        tuple(forwards), bool(given.get("restrict")), _mac(spec, given.get("mac") or "")
    )


def model(spec: InstanceSpec, options: t.Mapping[str, t.Any]) -> Domain:
    """Return the domain that an instance and its ``kvm`` options ask for.

    A guest has an image: it gets the root file system as its first disk, its kernel directly, and
    the network of the host. A machine without an image boots from its first disk.

    :param options: see :data:`OPTIONS`; a value of None counts as not given.
    """
    check_name(spec.name)
    check_owner(spec.owner)
    given = {key: value for key, value in options.items() if value is not None}
    unknown = sorted(set(given) - OPTIONS)
    if unknown:
        _refuse(
            spec, f"there is no option {unknown[0]!r}", f"There are {', '.join(sorted(OPTIONS))}."
        )

    disks = [_disk(spec, entry) for entry in given.get("disks", ())]
    kernel, initrd = given.get("kernel", ""), given.get("initrd", "")
    if spec.image is not None:
        disks.insert(0, Disk(spec.image.rootfs, serial=ROOTFS_SERIAL, readonly=True))
        kernel, initrd = kernel or spec.image.kernel, initrd or spec.image.initrd
        if not kernel or not initrd:
            _refuse(
                spec,
                "the image has no kernel or no initrd",
                "Build the image with its exports for virtual machines.",
            )
    elif not disks and not kernel:
        _refuse(spec, "there is neither an image nor a disk nor a kernel to boot from")

    cpu_mode = _choice(spec, "cpu_mode", given.get("cpu_mode", "host-passthrough"), CPU_MODES)
    if (cpu_mode == "custom") != bool(given.get("cpu_model")):
        _refuse(spec, "cpu_model belongs to cpu_mode=custom, and cpu_mode=custom needs it")
    domain_type = _choice(spec, "domain_type", given.get("domain_type", "kvm"), DOMAIN_TYPES)
    if domain_type == "qemu" and cpu_mode == "host-passthrough":
        _refuse(
            spec,
            "emulation (domain_type=qemu) can't pass the host's CPU through",
            "Use cpu_mode=maximum.",
        )
    if domain_type == "kvm" and given.get("tcg_tb_size_mib"):
        _refuse(spec, "tcg_tb_size_mib belongs to domain_type=qemu")
    for word in (
        given.get("machine", ""),
        given.get("cpu_model", ""),
        *given.get("cpu_disabled_features", ()),
    ):
        if word and not _WORD.match(word):
            _refuse(spec, f"{word!r} is not a name of a machine, a CPU model or a CPU feature")

    pins = tuple(given.get("vcpu_pin", ()))
    if pins and len(pins) != spec.vcpus:
        _refuse(
            spec,
            f"vcpu_pin has {len(pins)} entries for {spec.vcpus} vCPUs",
            "Give one list of CPUs a vCPU.",
        )
    seclabel = given.get("seclabel", ())
    metadata = {str(key): str(value) for key, value in given.get("metadata", {}).items()}
    for key in metadata:
        if not re.match(r"[a-z][a-z0-9_-]*\Z", key):
            _refuse(
                spec,
                f"{key!r} can't be a key of metadata",
                "Use lower-case letters, digits, '_' and '-'.",
            )

    user_network = _user_network(spec, given.get("user_network"))
    network = given.get("network", "")
    if spec.image is not None and not network and user_network is None:
        network = DEFAULT_NETWORK
    return Domain(
        name=spec.name,
        owner=spec.owner,
        vcpus=spec.vcpus,
        memory_mib=spec.memory_mib,
        domain_type=domain_type,
        machine=given.get("machine") or DEFAULT_MACHINE,
        cpuset=spec.cpuset,
        vcpu_pin=pins,
        cpu_mode=cpu_mode,
        cpu_model=given.get("cpu_model", ""),
        cpu_disabled_features=tuple(given.get("cpu_disabled_features", ())),
        tcg_tb_size_mib=int(given.get("tcg_tb_size_mib", 0)),
        kernel=kernel,
        initrd=initrd,
        cmdline=given.get("cmdline", ""),
        disks=tuple(disks),
        network=network,
        mac=_mac(spec, given.get("mac", "")),
        user_network=user_network,
        console_log=given.get("console_log", ""),
        persistent=bool(given.get("persistent")),
        seclabels=(seclabel,) if isinstance(seclabel, t.Mapping) else tuple(seclabel),
        metadata=metadata,
        oem_strings=tuple(given.get("oem_strings", ())),
        qemu_args=tuple(given.get("qemu_args", ())),
    )


def _sub(
    parent: ET.Element, tag: str, text: str | int | None = None, **attributes: t.Any
) -> ET.Element:
    """Add an element; attributes that are None or empty are left out."""
    child = ET.SubElement(
        parent,
        tag,
        {key: str(value) for key, value in attributes.items() if value not in (None, "")},
    )
    if text is not None:
        child.text = str(text)
    return child


def _boot(root: ET.Element, domain: Domain) -> None:
    if domain.oem_strings:
        oem = _sub(_sub(root, "sysinfo", type="smbios"), "oemStrings")
        for text in domain.oem_strings:
            _sub(oem, "entry", text)
    os_element = _sub(root, "os")
    _sub(os_element, "type", "hvm", arch="x86_64", machine=domain.machine)
    if domain.kernel:
        _sub(os_element, "kernel", domain.kernel)
        if domain.initrd:
            _sub(os_element, "initrd", domain.initrd)
        if domain.cmdline:
            _sub(os_element, "cmdline", domain.cmdline)
    else:
        _sub(os_element, "boot", dev="hd")
    if domain.oem_strings:
        _sub(os_element, "smbios", mode="sysinfo")


def _processor(root: ET.Element, domain: Domain) -> None:
    features = _sub(root, "features")
    _sub(features, "acpi")
    _sub(features, "apic")
    if domain.tcg_tb_size_mib:
        _sub(_sub(features, "tcg"), "tb-cache", domain.tcg_tb_size_mib, unit="MiB")
    # check=none: features that an emulated CPU lacks are QEMU's to leave out, not a reason to
    # refuse
    cpu = _sub(
        root, "cpu", mode=domain.cpu_mode, check="none", match="exact" if domain.cpu_model else None
    )
    if domain.cpu_model:
        _sub(cpu, "model", domain.cpu_model, fallback="forbid")
    for feature in domain.cpu_disabled_features:
        _sub(cpu, "feature", policy="disable", name=feature)


def _disks(devices: ET.Element, domain: Domain) -> None:
    for number, disk in enumerate(domain.disks):
        block = disk.path.startswith("/dev/")
        element = _sub(devices, "disk", type="block" if block else "file", device="disk")
        # Linux AIO works on what was opened with O_DIRECT only
        direct = disk.cache in ("none", "directsync")
        _sub(
            element,
            "driver",
            name="qemu",
            type=disk.format,
            cache=disk.cache,
            io="native" if direct else None,
        )
        _sub(element, "source", **{"dev" if block else "file": disk.path})
        _sub(element, "target", dev="vd" + chr(ord("a") + number), bus="virtio")
        if disk.readonly:
            _sub(element, "readonly")
        if disk.serial:
            _sub(element, "serial", disk.serial)


def _devices(root: ET.Element, domain: Domain) -> None:
    devices = _sub(root, "devices")
    _disks(devices, domain)
    _sub(devices, "controller", type="usb", model="none")
    if domain.network:
        interface = _sub(devices, "interface", type="network")
        if domain.mac:
            _sub(interface, "mac", address=domain.mac)
        _sub(interface, "source", network=domain.network)
        _sub(interface, "model", type="virtio")
        _sub(
            interface, "rom", enabled="no"
        )  # the firmware would offer to boot from the network, for seconds
    if domain.console_log:
        serial = _sub(devices, "serial", type="file")
        _sub(serial, "source", path=domain.console_log, append="on" if domain.persistent else "off")
        _sub(serial, "target", port="0")
    else:
        _sub(_sub(devices, "serial", type="pty"), "target", port="0")
    _sub(devices, "memballoon", model="none")


def _seclabels(root: ET.Element, domain: Domain) -> None:
    for given in domain.seclabels:
        label = given.get("label")
        attributes = {
            "type": given.get("type") or ("static" if label else "none"),
            "model": given.get("model"),
            "relabel": given.get("relabel", "yes" if label else "no"),
        }
        if isinstance(attributes["relabel"], bool):
            attributes["relabel"] = "yes" if attributes["relabel"] else "no"
        element = _sub(root, "seclabel", **attributes)
        if label:
            _sub(element, "label", label)


def _qemu(root: ET.Element, domain: Domain) -> None:
    arguments: list[str] = []
    if domain.user_network is not None:
        network = domain.user_network
        netdev = ["user", "id=vcuser0", f"restrict={'on' if network.restrict else 'off'}"]
        netdev += [
            f"hostfwd=tcp:{address}:{host_port}-:{port}"
            for address, host_port, port in network.hostfwd
        ]
        # QEMU places this card before libvirt's devices, so it needs a slot that libvirt does not give out
        # by itself: libvirt counts up from the lowest one
        device = ["virtio-net-pci", "netdev=vcuser0", "romfile=", "addr=0x1e"]
        if network.mac:
            device.append(f"mac={network.mac}")
        arguments += ["-netdev", ",".join(netdev), "-device", ",".join(device)]
    arguments += domain.qemu_args
    if arguments:
        commandline = ET.SubElement(root, f"{{{QEMU_NAMESPACE}}}commandline")
        for argument in arguments:
            ET.SubElement(commandline, f"{{{QEMU_NAMESPACE}}}arg", {"value": argument})


def to_xml(domain: Domain) -> str:
    """Return libvirt's XML for a domain."""
    root = ET.Element("domain", {"type": domain.domain_type})
    _sub(root, "name", domain.name)
    # libvirt keeps one element a namespace: whatever else there is to say are its attributes
    owner = ET.SubElement(
        _sub(root, "metadata"), f"{{{XML_NAMESPACE}}}owner", dict(domain.metadata)
    )
    owner.text = domain.owner
    _sub(root, "memory", domain.memory_mib, unit="MiB")
    _sub(root, "currentMemory", domain.memory_mib, unit="MiB")
    _sub(root, "vcpu", domain.vcpus, placement="static", cpuset=domain.cpuset)
    if domain.vcpu_pin:
        tune = _sub(root, "cputune")
        for number, cpus in enumerate(domain.vcpu_pin):
            _sub(tune, "vcpupin", vcpu=str(number), cpuset=cpus)
    _boot(root, domain)
    _processor(root, domain)
    _sub(root, "clock", offset="utc")
    _sub(root, "on_poweroff", "destroy")
    # a guest that panics reboots (panic=-1): it shall be gone then, and not start again unseen
    _sub(root, "on_reboot", "restart" if domain.persistent else "destroy")
    _sub(root, "on_crash", "destroy")
    _devices(root, domain)
    _seclabels(root, domain)
    _qemu(root, domain)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def domain_xml(spec: InstanceSpec, options: t.Mapping[str, t.Any]) -> str:
    """Return libvirt's XML for an instance and its ``kvm`` options.

    :raises BackendError: when an option is wrong; nothing was made then.
    """
    return to_xml(model(spec, options))
