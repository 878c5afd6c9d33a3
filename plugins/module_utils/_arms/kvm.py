# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""KVM, through libvirt. The same class makes guests of a host and the nodes of a nested lab."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    data_disk,
    kvm_network,
    kvm_xml,
    network,
    proofs,
    threads,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Live
from ansible_collections.vcompare.lab.plugins.module_utils._arms.machine import Machine
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import (
    XML_NAMESPACE,
    check_name,
    check_owner,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    InstanceSpec,
    Proof,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import (
    last_lines,
    wait_until,
    with_deadline,
)

try:
    import libvirt
    import libvirt_qemu  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    HAS_LIBVIRT = False
else:
    HAS_LIBVIRT = True
    # Errors reach the caller as exceptions; libvirt would print each on standard error as well.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)

DATA_SERIAL = "vc-data"
LIBVIRT_MISSING = (
    "the Python library libvirt is not installed for this interpreter (Debian: python3-libvirt; "
    "Ansible must use the system's Python on this host)"
)
# Where libvirt's system daemon keeps what runs.
_RUN = Path("/run/libvirt/qemu")
LOG_DIR = Path("/var/log/libvirt/qemu")


@contextlib.contextmanager
def _errors(doing: str, remedy: str = "") -> t.Iterator[None]:
    """Turn libvirt's errors into ours."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise BackendError(f"{doing}: libvirt said: {error}", remedy=remedy) from None


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def peer_uri(address: str, program: str) -> str:
    """Return where the libvirt of another host is, over a program that is called like ssh.

    ``native``: without a shell's search for netcat, which pool/access.py would have to let through.
    """
    return f"qemu+ssh://{_in_url(address)}/system?command={program}&proxy=native&no_tty=1"


class Kvm(Machine):
    """Guests as transient domains: nothing of them is left behind in libvirt when they end."""

    arm = "kvm"
    subnet = network.KVM
    console_device = "ttyS0"
    data_device = "/dev/vdb"

    _connection: t.Any = None

    @property
    def uri(self) -> str:
        """The libvirt daemon that is spoken to, and no other."""
        return str(self.options.get("uri") or kvm_xml.DEFAULT_URI)

    @property
    def connection(self) -> t.Any:
        """The open ``libvirt.virConnect``."""
        if not HAS_LIBVIRT:
            raise BackendError(
                f"kvm: {LIBVIRT_MISSING}", remedy="Install python3-libvirt on the host."
            )
        if self._connection is None or not self._connection.isAlive():
            with _errors(
                f"kvm: connecting to {self.uri}",
                "See that libvirtd runs (systemctl status libvirtd).",
            ):
                self._connection = libvirt.open(self.uri)
        return self._connection

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        if not HAS_LIBVIRT:
            return LIBVIRT_MISSING
        try:
            connection = self.connection
            kind = connection.getType()
        except BackendError as error:
            return error.message
        if kind == "QEMU" and not Path("/dev/kvm").exists():
            return (
                "/dev/kvm is not there: no hardware virtualisation, or the module kvm_intel or "
                "kvm_amd is not loaded"
            )
        return ""

    def prepare(self, spec: InstanceSpec) -> None:
        """Do what a start-up time must not count; call it before any clock runs."""
        if spec.options.get("domain_type", "kvm") == "kvm":
            super().prepare(spec)
            return
        # emulation needs no /dev/kvm
        spec = self.resolve(spec)
        self._prepare_host(spec)
        self._lay_ready(spec)

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return the specification with this host's defaults; refuse what can't be."""
        kvm_xml.model(spec, spec.options)
        uri = spec.options.get("uri")
        if uri and uri != self.uri:
            raise BackendError(
                f"{spec.name}: kvm.uri is {uri}, and this backend was opened for {self.uri}"
            )
        if spec.image is not None:
            return super().resolve(spec)
        # A machine of its own, like a lab's node, is pinned only where that was asked for.
        check_name(spec.name)
        check_owner(spec.owner)
        return super().resolve(spec) if spec.cpuset else spec

    def _prepare_host(self, spec: InstanceSpec) -> None:
        super()._prepare_host(spec)
        connection = self.connection
        options = kvm_xml.model(spec, spec.options)
        if connection.getType() != "QEMU":
            return
        with _errors("kvm: preparing libvirt"):
            # libvirt asks QEMU what it can do once a boot of the host; on a slow host that takes
            # half a minute
            connection.getDomainCapabilities(
                None, "x86_64", options.machine, options.domain_type, 0
            )
            if options.network == kvm_xml.DEFAULT_NETWORK:
                self._ensure_network(spec.owner)

    def _ensure_network(self, owner: str) -> None:
        """Make the guests' network where it isn't."""
        names = [item.name() for item in self.connection.listAllNetworks(0)]
        if kvm_xml.DEFAULT_NETWORK not in names:
            self.journal.create("libvirt-network", kvm_xml.DEFAULT_NETWORK, owner)
        kvm_network.ensure(self.connection, self.subnet, owner)

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        """Return what ``create`` takes to start a system that is not ours in place of the image."""
        if system.firmware != "bios":
            raise NotPossible(
                f"{system.name} needs {system.firmware}, and machines are given a BIOS here"
            )
        options: dict[str, t.Any] = {
            key: value
            for key, value in spec.options.items()
            if key in ("uri", "domain_type", "cpu_mode")
        }
        # The firmware then writes what it shows on the serial console too, and so does what asks it to show something.
        options["qemu_args"] = ["-machine", "graphics=off"]
        if system.boot == "disk":
            options["disks"] = [{"path": system.path, "readonly": True}]
        else:
            options.update(kernel=system.path, cmdline=system.cmdline)
        return dataclasses.replace(spec, image=None, command=(), data_mib=0, options=options)

    def xml(self, spec: InstanceSpec, record: Record) -> str:
        """Return the XML of the domain that an instance becomes here."""
        options = dict(spec.options)
        if spec.image is not None:
            options["initrd"] = self.initrd(spec.name)
            options["cmdline"] = self.cmdline(spec)
            options["mac"] = record["mac"]
        if spec.data_mib:
            data = {"path": data_disk.path(self.store.folder(spec.name)), "serial": DATA_SERIAL}
            options["disks"] = [data, *(options.get("disks") or ())]
        options["console_log"] = options.get("console_log") or self.console_log(spec.name)
        return kvm_xml.domain_xml(spec, options)

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        connection = self.connection
        xml = self.xml(spec, record)
        persistent = bool(spec.options.get("persistent"))

        def start() -> t.Any:
            if not persistent:
                return connection.createXML(xml, 0)
            domain = self._domain(spec.name) or connection.defineXML(xml)
            domain.create()
            return domain

        with _errors(
            f"{spec.name}: starting the domain",
            "See /var/log/libvirt/qemu/ and the host's journal.",
        ):
            domain = with_deadline(start, timeout_s, f"{spec.name}: starting the domain")
            return {"uuid": domain.UUIDString(), "id": domain.ID()}

    def console(self, name: str) -> str:
        """Return the last lines that the instance said on its console."""
        record = self.store.read(name)
        path = (record or {}).get("spec", {}).get("options", {}).get("console_log")
        return last_lines(path) if path else super().console(name)

    def _log(self, name: str) -> str:
        # A guest that QEMU could not go on with said nothing itself; QEMU did, after its own command line.
        return "\n".join(last_lines(str(path), 5) for path in self._logs(name)[:1])

    def _logs(self, name: str) -> list[Path]:
        """Return the system's libvirtd's logs of a domain, the newest first; another libvirtd's are elsewhere."""
        if self.uri != kvm_xml.DEFAULT_URI:
            return []
        return sorted(LOG_DIR.glob(f"{name}.log*"))

    def _domain(self, name: str) -> t.Any:
        """Return the ``libvirt.virDomain`` of that name, or None."""
        connection = self.connection
        try:
            return connection.lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise BackendError(f"{name}: looking for the domain: libvirt said: {error}") from None

    @staticmethod
    def _owner(domain: t.Any) -> str:
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, XML_NAMESPACE, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (
                libvirt.VIR_ERR_NO_DOMAIN_METADATA,
                libvirt.VIR_ERR_NO_DOMAIN,
            ):
                return ""
            raise BackendError(f"reading a domain's marker: libvirt said: {error}") from None
        return (ET.fromstring(text).text or "").strip()  # noqa: S314

    def _look(self, name: str, record: Record | None) -> Live | None:
        domain = self._domain(name)
        if domain is None:
            return None
        try:
            state, _memory_max, memory, vcpus, _time = domain.info()
            uuid, number, persistent = domain.UUIDString(), domain.ID(), bool(domain.isPersistent())
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None  # a transient domain that ended between two questions
            raise BackendError(f"{name}: asking for its state: libvirt said: {error}") from None
        states = {
            libvirt.VIR_DOMAIN_RUNNING: "running",
            libvirt.VIR_DOMAIN_BLOCKED: "running",
            libvirt.VIR_DOMAIN_SHUTDOWN: "running",
            libvirt.VIR_DOMAIN_SHUTOFF: "stopped",
        }
        details = {"uuid": uuid, "id": number, "persistent": persistent, "libvirt_state": state}
        return Live(
            states.get(state, "broken"), self._owner(domain), vcpus, memory // 1024, details
        )

    def _live_names(self) -> t.Iterable[str]:
        if not HAS_LIBVIRT:
            return ()
        return [
            domain.name() for domain in self.connection.listAllDomains(0) if self._owner(domain)
        ]

    def _stop(self, name: str, record: Record | None, timeout_s: float) -> None:
        domain = self._domain(name)
        if domain is None:
            return
        if record is not None and record["spec"]["image"] is not None:
            if self._power_off_from_inside(name, timeout_s):
                return
        else:
            with contextlib.suppress(libvirt.libvirtError):
                domain.shutdown()

            def off() -> bool:
                live = self._look(name, record)
                return live is None or live.state == "stopped"

            if wait_until(off, timeout_s, 0.2):
                return
        self._power_off(name)

    def _power_off(self, name: str) -> None:
        domain = self._domain(name)
        if domain is None:
            return
        try:
            if domain.isActive():
                domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (
                libvirt.VIR_ERR_NO_DOMAIN,
                libvirt.VIR_ERR_OPERATION_INVALID,
            ):
                raise BackendError(f"{name}: ending the domain: libvirt said: {error}") from None

    def _save(self, name: str, path: str, timeout_s: float) -> None:
        domain = self._domain(name)
        if domain is None:
            raise BackendError(f"kvm: there is no {name} to keep")
        doing = f"{name}: keeping its memory"
        with _errors(doing, "See that the disk has room (df)."):
            with_deadline(lambda: domain.save(path), timeout_s, doing)

    def _restore(self, name: str, path: str, timeout_s: float) -> None:
        doing = f"{name}: restoring it"
        with _errors(doing):
            with_deadline(lambda: self.connection.restore(path), timeout_s, doing)

    def with_disk(self, path: str) -> dict[str, t.Any]:
        """Return the options of a machine with a second disk, in QEMU's format (qcow2)."""
        return {"disks": [{"path": path, "format": "qcow2"}]}

    def switch_disk(self, name: str, path: str, place: str, timeout_s: float) -> None:
        """Make an external snapshot of the running domain's second disk; the guest does not notice."""
        root = ET.Element("domainsnapshot")
        disks = ET.SubElement(root, "disks")
        ET.SubElement(disks, "disk", name="vda", snapshot="no")
        disk = ET.SubElement(disks, "disk", name="vdb", snapshot="external", type="file")
        ET.SubElement(disk, "driver", type="qcow2")
        ET.SubElement(disk, "source", file=path)
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        domain = self._domain(name)
        if domain is None:
            raise BackendError(f"kvm: there is no {name}")
        doing = f"{name}: switching its disk to another layer"
        text = ET.tostring(root, encoding="unicode")
        with _errors(doing):
            with_deadline(lambda: domain.snapshotCreateXML(text, flags), timeout_s, doing)

    def tasks(self, name: str) -> t.Mapping[int, str]:
        """Return the threads of the domain's QEMU, and the kernel's threads that have its number in their name."""
        try:
            pid = int((_RUN / f"{name}.pid").read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise NotPossible(f"libvirt does not say which process {name} is: {error}") from None
        return {
            **threads.of_process(pid),
            **threads.named(f"vhost-{pid}", f"kvm-pit/{pid}"),
        }

    def _move(self, name: str, to: Destination, timeout_s: float) -> None:
        domain = self._domain(name)
        if domain is None:
            raise BackendError(f"kvm: there is no {name} to move")
        doing = f"{name}: moving it"
        uri = peer_uri(to.address, to.program)
        # The disk is read-only and the same on both hosts, which libvirt can't know: so UNSAFE. The memory goes from
        # QEMU to QEMU.
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
        parameters = {libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{_in_url(to.address)}"}

        def migrate() -> None:
            other = libvirt.open(uri)
            try:
                domain.migrate3(other, parameters, flags)
            finally:
                other.close()

        with _errors(doing, "See the journals of libvirtd on both hosts."):
            with_deadline(migrate, timeout_s, doing)

    def put_down(self, name: str, timeout_s: float) -> None:
        """End an instance at once, as a power cut would; its files stay."""
        with_deadline(lambda: self._power_off(name), timeout_s, f"{name}: ending the domain")

    def _remove(
        self, name: str, record: Record | None, live: Live | None, timeout_s: float
    ) -> None:
        self._remove_way_in(name, record)
        with_deadline(lambda: self._power_off(name), timeout_s, f"{name}: ending the domain")
        for log in self._logs(name):
            # Where we may only ask libvirtd, its logs are its own.
            with contextlib.suppress(PermissionError):
                log.unlink(missing_ok=True)
        domain = self._domain(name)
        if domain is None:
            return
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        if self.connection.getType() == "QEMU":
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        try:
            domain.undefineFlags(flags)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise BackendError(f"{name}: removing it: libvirt said: {error}") from None

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""
        record = self._record(name)
        domain = self._domain(name)
        if record is None or domain is None:
            raise BackendError(f"kvm: there is no {name} to identify")
        with _errors(f"{name}: asking libvirt what the domain is"):
            xml = ET.fromstring(domain.XMLDesc(0))  # noqa: S314
            answer = json.loads(
                libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-kvm"}', 0)
            )
            uuid = domain.UUIDString()
        facts = self.observe(name)
        return [
            proofs.outside("libvirt-domain-type", "kvm", xml.get("type", "")),
            proofs.outside(
                "qemu-uses-kvm",
                "enabled",
                "enabled" if answer.get("return", {}).get("enabled") else "disabled",
            ),
            # the machine that libvirt speaks of is the machine that we speak to
            proofs.inside("smbios-uuid", uuid, facts.get("smbios_uuid", "").lower()),
            *self.inside_proofs(facts, proofs.host_facts(), int(record["spec"]["vcpus"])),
        ]

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside."""
        return [
            proofs.inside("cpuid-signature", "KVMKVMKVM", facts.get("signature", "")),
            proofs.inside("lscpu-hypervisor", "KVM", facts.get("lscpu_vendor", "")),
            proofs.own_kernel(facts, host),
            proofs.arm_argument(facts, self.arm),
            proofs.not_xen(facts),
            proofs.cpu_count(facts, vcpus),
        ]
