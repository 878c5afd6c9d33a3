# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Xen, through xl. The types of guests differ by a few lines of their configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
import typing as t
import uuid
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    data_disk,
    host_networks,
    network,
    proofs,
    threads,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Live
from ansible_collections.vcompare.lab.plugins.module_utils._arms.machine import Machine
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import XL_COMMENT
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    Image,
    InstanceSpec,
    Proof,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record, write_file
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import (
    host_run,
    last_lines,
    remaining,
    wait_until,
)

OPTIONS = frozenset({"address", "mac", "cmdline", "config", "second_disk", "kernel"})
# Where Debian's package and Xen's own installation have the device model of fully virtualised guests.
DEVICE_MODELS = ("/usr/libexec/xen-qemu-system-i386", "/usr/lib/xen/bin/qemu-system-i386")
# What xl says where no log of a guest's writes can be begun; 95: operation not supported.
_NO_LOG = "Failed to enable logdirty: 95"
LOG_DIR = Path("/var/log/xen")
BRIDGE_ALIAS = "vcompare"
# Option and part of a record of an HVM guest that boots from a disk of the user's.
BOOT_DISK = "boot_disk"

Value: t.TypeAlias = "str | int | t.Sequence[str]"


def render(values: t.Mapping[str, Value], owner: str) -> str:
    """Return xl's configuration with our marker (xl.cfg(5)); its strings have no escapes."""

    def quoted(text: str) -> str:
        if any(character in text for character in '"\\\n\r\0'):
            raise BackendError(f"xen: {text!r} can't stand in xl's configuration")
        return f'"{text}"'

    lines = [XL_COMMENT + owner]
    for key, value in values.items():
        if isinstance(value, int):
            lines.append(f"{key} = {value}")
        elif isinstance(value, str):
            lines.append(f"{key} = {quoted(value)}")
        else:
            lines.append(f"{key} = [{', '.join(quoted(item) for item in value)}]")
    return "\n".join(lines) + "\n"


def _boot_disk(path: str, folder: Path, name: str) -> str:
    """Return xl's words for a disk to boot from, whose file is not written to.

    An image of a CD (ISO 9660) is one to the machine; any other gets a layer above it, since a disk that can't be
    written to is none that the device model emulates.
    """
    with open(path, "rb") as image:
        image.seek(0x8001)
        if image.read(5) == b"CD001":
            return f"format=raw,vdev=hdc,access=r,devtype=cdrom,target={path}"
    layer = folder / "boot.qcow2"
    layer.unlink(missing_ok=True)
    host_run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", path, str(layer)],
        60,
        f"{name}: making a layer above {path}",
        remedy="Install qemu-utils on the Xen host.",
    )
    return f"format=qcow2,vdev=hda,access=w,target={layer}"


def _second_disk(path: str) -> str:
    """Return the words for a disk in QEMU's format, which a QEMU in the control domain serves."""
    return f"format=qcow2,vdev=xvdb,access=w,target={path}"


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of ``xl list -v``."""

    name: str
    domid: int
    memory_mib: int
    vcpus: int
    flags: str
    uuid: str

    @property
    def state(self) -> str:
        """Our word for xl's flags; a domain that neither runs nor blocks just now is running."""
        return "broken" if set(self.flags) & set("pscd") else "running"


def parse_list(text: str) -> list[Row]:
    """Return the domains of ``xl list -v``; half-made ones may have no name."""
    rows: list[Row] = []
    for line in text.splitlines()[1:]:
        words = line.split()
        # from the left the name may be empty or have blanks; the uuid is where we can count from
        position = next((i for i, word in enumerate(words) if _is_uuid(word)), -1)
        if position < 5:
            continue
        domid, memory, vcpus, flags = words[position - 5 : position - 1]
        with contextlib.suppress(ValueError):
            name = " ".join(words[: position - 5])
            rows.append(
                Row(name, int(domid), int(memory), int(vcpus), flags, words[position].lower())
            )
    return rows


def _is_uuid(word: str) -> bool:
    try:
        return len(word) == 36 and bool(uuid.UUID(word))
    except ValueError:
        return False


def ensure_bridge(subnet: network.Subnet, owner: str, journal: Journal) -> None:
    """Make the guests' bridge where it isn't, and see that it is up with the host's address."""
    doing = f"xen: making the bridge {subnet.bridge}"
    host_networks.require(subnet)
    if not Path("/sys/class/net", subnet.bridge).exists():
        journal.create("bridge", subnet.bridge, owner)
        # forward_delay 0: a port that joins must not wait for 15 s before it forwards
        add = ["ip", "link", "add", subnet.bridge, "type", "bridge", "forward_delay", "0"]
        host_run(add, 60, doing)
        host_run(["ip", "link", "set", subnet.bridge, "alias", BRIDGE_ALIAS], 60, doing)
    elif not Path("/sys/class/net", subnet.bridge, "bridge").is_dir():
        raise BackendError(
            f"xen: {subnet.bridge} exists and is not a bridge", "Rename that interface."
        )
    shown = host_run(["ip", "-o", "-4", "address", "show", "dev", subnet.bridge], 60, doing).stdout
    if f" {subnet.gateway}/" not in shown:
        host_run(
            [
                "ip",
                "address",
                "add",
                f"{subnet.gateway}/{subnet.prefix_length}",
                "dev",
                subnet.bridge,
            ],
            60,
            doing,
        )
    host_run(["ip", "link", "set", subnet.bridge, "up"], 60, doing)


class Xen(Machine):
    """A guest of Xen; a subclass says which type."""

    subnet = network.XEN
    untraced = (
        "not traced: Xen itself, which is not part of the control domain's kernel, and what that does in the context of"
        " other tasks, like the soft interrupts that take a guest's packets"
    )
    console_device = "hvc0"
    data_device = "/dev/xvdb"
    # Of the library that unpacks a kernel for a domain without firmware.
    refuses_systems: tuple[str, ...] = ("no loader found", "invalid kernel", "not an elf")
    kind = ""
    guest_type = ""
    capability = ""
    signature = ""
    disk_device = "xvda"
    # What a guest of this type needs in xl's configuration beside the rest.
    settings: t.ClassVar[t.Mapping[str, Value]] = {}

    _info: dict[str, str] | None = None

    def xl_info(self) -> dict[str, str]:
        """Return what ``xl info`` says."""
        if self._info is None:
            text = host_run(["xl", "info"], 120, "xen: asking for its capabilities").stdout
            pairs = (line.partition(":") for line in text.splitlines())
            self._info = {key.strip(): value.strip() for key, _colon, value in pairs}
        return self._info

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        if os.geteuid() != 0:
            return "xl needs root (become: true)"
        if not proofs.is_dom0():
            return "this host is not the control domain of a Xen; boot it with Xen (role xen_host)"
        if shutil.which("xl", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            return "xl is not installed (Debian: xen-utils-common)"
        try:
            capabilities = self.xl_info().get("virt_caps", "").split()
        except BackendError as error:
            return error.message
        if self.capability not in capabilities:
            return (
                f"this machine's Xen can't carry it: it has "
                f"{' '.join(capabilities) or 'nothing'}, not {self.capability}"
            )
        return ""

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return the specification with this host's defaults; refuse what can't be."""
        unknown = sorted(
            {key for key, value in spec.options.items() if value is not None} - OPTIONS
        )
        if unknown:
            raise BackendError(
                f"{spec.name}: xen: there is no option {unknown[0]!r}",
                remedy=f"There are {', '.join(sorted(OPTIONS))}.",
            )
        if spec.image is None and not spec.options.get("kernel"):
            raise BackendError(f"{spec.name}: {self.arm} needs an image", remedy="Give image.")
        return super().resolve(spec)

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        """Return what ``create`` takes to start a system that is not ours in place of the image."""
        if system.boot != "kernel" or system.firmware != "bios":
            raise NotPossible(
                f"{self.arm} starts {system.name} only where it can take the place of a kernel"
            )
        options = {"kernel": system.path, "cmdline": system.cmdline}
        return dataclasses.replace(spec, image=None, command=(), data_mib=0, options=options)

    def _host_cpus(self) -> frozenset[int] | None:
        # the machine's, of which dom0 may have only some
        count = int(self.xl_info().get("nr_cpus") or 0)
        return frozenset(range(count)) if count else None

    def _prepare_host(self, spec: InstanceSpec) -> None:
        super()._prepare_host(spec)
        ensure_bridge(self.subnet, spec.owner, self.journal)

    def config_path(self, name: str) -> Path:
        """Return the path of an instance's configuration for xl."""
        return Path(self.store.folder(name)) / "xl.cfg"

    def config(self, spec: InstanceSpec, record: Record) -> dict[str, Value]:
        """Return an instance's configuration for xl."""
        if spec.image is None:
            return {
                **self._shape(spec, record),
                "kernel": str(spec.options["kernel"]),
                "extra": str(spec.options.get("cmdline") or ""),
                "serial": f"file:{self.console_log(spec.name)}",
            }
        disks = [f"format=raw,vdev={self.disk_device},access=r,target={spec.image.rootfs}"]
        if spec.data_mib:
            disks.append(f"format=raw,vdev=xvdb,access=w,target={record['data']}")
        if spec.options.get("second_disk"):
            disks.append(_second_disk(str(spec.options["second_disk"])))
        vif = f"mac={record['mac']},bridge={self.subnet.bridge},script=vif-bridge"
        return {
            **self._shape(spec, record),
            "kernel": self.kernel(spec.image),
            "ramdisk": self.initrd(spec.name),
            "extra": self.cmdline(spec),
            "disk": disks,
            "vif": [vif],
            **(spec.options.get("config") or {}),
        }

    def _shape(self, spec: InstanceSpec, record: Record) -> dict[str, Value]:
        """Return what a domain's configuration says whatever runs in it."""
        return {
            "name": spec.name,
            "uuid": record["uuid"],
            "type": self.kind,
            "vcpus": spec.vcpus,
            "cpus": spec.cpuset,
            "memory": spec.memory_mib,
            "maxmem": spec.memory_mib,
            "on_poweroff": "destroy",
            "on_reboot": "destroy",
            "on_crash": "destroy",
            # Xen would intercept RDTSCP, and an emulated AMD machine reports that exit wrongly:
            # the guest dies ("SVM Insn len emulation failed" in xl dmesg). Native costs nothing
            # where it isn't needed.
            "tsc_mode": "native",
            **self.settings,
        }

    def kernel(self, image: Image) -> str:
        """Return the path of the kernel that a guest of this type starts."""
        return image.kernel

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        super()._stage(spec, record)
        record["uuid"] = str(uuid.uuid4())
        self._write_config(spec, record)

    def _write_config(self, spec: InstanceSpec, record: Record) -> None:
        if spec.data_mib:
            # A file would need a QEMU in the control domain for each guest, where the kernel serves a block device.
            record["data"] = data_disk.attach(self.store.folder(spec.name), spec.name)
        text = render(self.config(spec, record), spec.owner)
        write_file(str(self.config_path(spec.name)), text.encode())

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        if spec.data_mib and not data_disk.attached(record["data"], self.store.folder(spec.name)):
            self._write_config(spec, record)
            self.store.write(record)
        host_run(
            ["xl", "create", "-q", str(self.config_path(spec.name))],
            timeout_s,
            f"{spec.name}: creating the domain",
            remedy="See xl dmesg and /var/log/xen/.",
        )
        return {"uuid": record["uuid"]}

    def console(self, name: str) -> str:
        """Return the last lines that the instance said on its console."""
        return super().console(name) or last_lines(str(LOG_DIR / "console" / f"guest-{name}.log"))

    def _log(self, name: str) -> str:
        return last_lines(str(LOG_DIR / f"xl-{name}.log"), 5)

    def _rows(self) -> list[Row]:
        if shutil.which("xl", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            return []
        return parse_list(host_run(["xl", "list", "-v"], 120, "xen: listing domains").stdout)

    def _row(self, name: str, record: Record | None) -> Row | None:
        """Return the domain that an instance is; by its uuid, since a half-made one has no name."""
        rows = self._rows()
        wanted = (record or {}).get("uuid")
        for row in rows:
            if wanted and row.uuid == wanted:
                return row
        return next((row for row in rows if row.name == name), None)

    def _look(self, name: str, record: Record | None) -> Live | None:
        row = self._row(name, record)
        if row is None:
            return None
        # we chose the uuid: a domain with our name and another uuid is someone else's
        ours = record is not None and row.uuid == record.get("uuid")
        return Live(
            row.state,
            str(record["owner"]) if ours and record is not None else "",
            row.vcpus,
            row.memory_mib,
            {"uuid": row.uuid, "domid": row.domid, "flags": row.flags},
        )

    def _stop(self, name: str, record: Record | None, timeout_s: float) -> None:
        if not self._power_off_from_inside(name, timeout_s):
            self._destroy_domain(name, record, 60)

    def _destroy_domain(self, name: str, record: Record | None, timeout_s: float) -> None:
        row = self._row(name, record)
        if row is None or record is None or row.uuid != record.get("uuid"):
            return
        # by number: a name could be someone else's by now. Gone in the meantime is gone.
        doing = f"{name}: ending the domain"
        ended = host_run(["xl", "destroy", str(row.domid)], timeout_s, doing, check=False)
        if not wait_until(lambda: not self._still(row.uuid), timeout_s, 0.2):
            raise BackendError(
                f"{doing}: it is still there",
                remedy=(
                    "See what holds its memory (xl list, xenstore-ls), e.g. a backend that hangs."
                ),
                evidence=ended.stderr.strip(),
            )

    def hidden_cpu(self, name: str, seconds: int) -> float:
        """Wait for so long, and return how many CPUs Xen gave to the domain meanwhile.

        By xentop, which divides nanoseconds and prints a tenth of a per cent; xl has tenths of a second.
        """
        argv = ["xentop", "--batch", "--full-name", "--iterations=2", f"--delay={seconds}"]
        doing = f"{name}: asking Xen for its time"
        return domain_cpu(host_run(argv, 120.0 + seconds, doing).stdout, name)

    def _save(self, name: str, path: str, timeout_s: float) -> None:
        row = self._row(name, self._record(name))
        if row is None:
            raise BackendError(f"{self.arm}: there is no {name} to keep")
        host_run(
            ["xl", "save", str(row.domid), path],
            timeout_s,
            f"{name}: keeping its memory",
            remedy="See xl dmesg, /var/log/xen/ and that the disk has room (df).",
        )

    def _restore(self, name: str, path: str, timeout_s: float) -> None:
        host_run(
            ["xl", "restore", path],
            timeout_s,
            f"{name}: restoring it",
            remedy="See xl dmesg and /var/log/xen/.",
        )

    def with_disk(self, path: str) -> dict[str, t.Any]:
        """Return the options of a machine with a second disk, in QEMU's format (qcow2)."""
        return {"second_disk": path}

    def switch_disk(self, name: str, path: str, place: str, timeout_s: float) -> None:
        """Take the second disk out and put it in again with another layer: xl has no snapshots of a running disk."""
        deadline = time.monotonic() + timeout_s
        row = self._row(name, self._record(name))
        if row is None:
            raise BackendError(f"{self.arm}: there is no {name}")
        domain, device = str(row.domid), self.data_device.rpartition("/")[2]
        doing = f"{name}: switching its disk to another layer"
        self._inside(name, f"umount {place}", remaining(deadline), doing)
        host_run(["xl", "block-detach", domain, device], remaining(deadline), doing)
        wait = f"n=0; while [ {{}} -b {self.data_device} ]; do n=$((n+1)); [ $n -lt 600 ] || exit 1; sleep 0.1; done"
        self._inside(name, wait.format(""), remaining(deadline), doing)
        host_run(["xl", "block-attach", domain, _second_disk(path)], remaining(deadline), doing)
        mount = f"mount {self.data_device} {place}"
        self._inside(name, f"{wait.format('!')}; {mount}", remaining(deadline), doing)

    def _inside(self, name: str, script: str, timeout_s: float, doing: str) -> None:
        done = self.run(name, ["/bin/sh", "-c", script], timeout_s)
        if done.rc != 0:
            raise BackendError(f"{doing}: {script}: {done.stderr.strip() or done.rc}")

    def tasks(self, name: str) -> t.Mapping[int, str]:
        """Return the control domain's tasks that work for a domain, and those that work for all domains."""
        row = self._row(name, self._record(name))
        if row is None:
            raise BackendError(f"{self.arm}: there is no {name}")
        own = f"{row.domid}."
        return {
            **threads.named(f"vif{own}", f"{own}xvd", f"blkback.{own}"),
            **threads.of_programs("xenstored", "oxenstored", "xenconsoled"),
            **threads.with_argument("-xen-domid", str(row.domid)),
        }

    def _move(self, name: str, to: Destination, timeout_s: float) -> None:
        row = self._row(name, self._record(name))
        if row is None:
            raise BackendError(f"{self.arm}: there is no {name} to move")
        try:
            host_run(
                ["xl", "migrate", "-s", to.program, str(row.domid), to.address],
                timeout_s,
                f"{name}: moving it",
                remedy="See xl dmesg and /var/log/xen/ on both hosts.",
            )
        except BackendError as error:
            if _NO_LOG in error.text + error.evidence:
                raise NotPossible(
                    f"this Xen can't log which memory a guest of type {self.arm.removeprefix('xen-')} writes to"
                    f" (xl migrate: {_NO_LOG}, operation not supported), as one built without shadow paging can't"
                ) from error
            raise

    def put_down(self, name: str, timeout_s: float) -> None:
        """End an instance at once, as a power cut would; its files stay."""
        self._destroy_domain(name, self._record(name), timeout_s)

    def _still(self, ident: str) -> bool:
        return any(row.uuid == ident for row in self._rows())

    def _remove(
        self, name: str, record: Record | None, live: Live | None, timeout_s: float
    ) -> None:
        self._remove_way_in(name, record)
        self._destroy_domain(name, record, timeout_s)
        data_disk.detach(self.store.folder(name), name)
        logs = [*LOG_DIR.glob(f"xl-{name}.log*"), *LOG_DIR.glob(f"console/guest-{name}.log*")]
        for log in logs:
            log.unlink(missing_ok=True)

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""
        record = self._record(name)
        row = self._row(name, record)
        if record is None or row is None:
            raise BackendError(f"{self.arm}: there is no {name} to identify")
        said = host_run(
            ["xl", "list", "-l", str(row.domid)], 120, f"{name}: asking xl what it is"
        ).stdout
        facts = self.observe(name)
        return [
            proofs.outside("xl-type", self.kind, domain_type(said)),
            Proof("domid", "outside", "above 0", str(row.domid), row.domid > 0),
            # the domain that xl speaks of is the machine that we speak to
            proofs.inside("xen-domain-uuid", row.uuid, facts.get("xen_uuid", "")),
            *self.inside_proofs(facts, proofs.host_facts(), int(record["spec"]["vcpus"])),
        ]

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside."""
        # CPUID is not intercepted in a PV guest's user space, and shows what is below Xen there.
        signature = (
            [proofs.inside("cpuid-signature", self.signature, facts.get("signature", ""))]
            if self.signature
            else []
        )
        return [
            *signature,
            proofs.inside("sys-hypervisor", "xen", facts.get("hypervisor", "")),
            proofs.inside("xen-guest-type", self.guest_type, facts.get("guest_type", "")),
            proofs.inside("lscpu-hypervisor", "Xen", facts.get("lscpu_vendor", "")),
            proofs.own_kernel(facts, host),
            proofs.arm_argument(facts, self.arm),
            proofs.cpu_count(facts, vcpus),
        ]


def domain_cpu(text: str, name: str) -> float:
    """Return how many CPUs a domain kept busy between the two looks of ``xentop --batch --iterations=2``.

    :raises BackendError: it was not there at both.
    """
    rows = [words for words in map(str.split, text.splitlines()) if words[:1] == [name]]
    try:
        _first, second = rows
        return float(second[3]) / 100
    except (ValueError, IndexError):
        raise BackendError(
            f"{name}: xentop does not say how busy the domain was", evidence=text[-2000:]
        ) from None


def domain_type(listing: str) -> str:
    """Return the type of guest in the answer of ``xl list -l``; empty when there is none."""
    try:
        answer = json.loads(listing)
        entry = answer[0] if isinstance(answer, list) else answer
        return str(entry["config"]["c_info"]["type"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


class XenPv(Xen):
    """A paravirtual guest."""

    arm = "xen-pv"
    kind = "pv"
    guest_type = "PV"
    capability = "pv"


class XenPvh(Xen):
    """A guest with hardware virtualisation and without an emulated machine."""

    arm = "xen-pvh"
    kind = "pvh"
    guest_type = "PVH"
    capability = "hvm"
    signature = "XenVMMXenVMM"


class XenHvm(Xen):
    """A guest with an emulated machine, whose firmware starts the kernel; its drivers are paravirtual all the same."""

    arm = "xen-hvm"
    kind = "hvm"
    guest_type = "HVM"
    capability = "hvm"
    signature = "XenVMMXenVMM"
    refuses_systems: tuple[str, ...] = ()
    # The device model would emulate the first four disks as well, and refuses to where they are read-only.
    disk_device = "xvde"
    settings: t.ClassVar[t.Mapping[str, Value]] = {
        # The front ends are what the other types have too; nothing is emulated that no guest of ours uses.
        "xen_platform_pci": 1,
        "vga": "none",
        "vnc": 0,
        "usb": 0,
    }

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        reason = super().available()
        if reason or any(Path(path).exists() for path in DEVICE_MODELS):
            return reason
        return (
            f"its device model is not installed (Debian: qemu-system-xen): there is no {DEVICE_MODELS[0]}; "
            "xl would make half a domain without it"
        )

    def kernel(self, image: Image) -> str:
        """Return the path of the kernel as firmware starts it: packed, with a boot sector."""
        path = Path(image.kernel)
        return str(path.with_name("vmlinuz") if path.name == "vmlinux" else path)

    def _look(self, name: str, record: Record | None) -> Live | None:
        live = super()._look(name, record)
        asked = ((record or {}).get("spec") or {}).get("memory_mib")
        if live is not None and asked is not None and live.memory_mib == asked - 1:
            # A PC has a hole below its first MiB, and xl rounds down: that is the memory that was asked for.
            return dataclasses.replace(live, memory_mib=asked)
        return live

    def foreign(self, spec: InstanceSpec, system: System) -> InstanceSpec:
        """Return what ``create`` takes to start a system that is not ours: from a disk, or in place of a kernel."""
        if system.boot != "disk" or system.firmware != "bios":
            return super().foreign(spec, system)
        options = {BOOT_DISK: system.path}
        return dataclasses.replace(spec, image=None, command=(), data_mib=0, options=options)

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        path = str(spec.options.get(BOOT_DISK) or "")
        if path:
            record[BOOT_DISK] = _boot_disk(path, Path(self.store.folder(spec.name)), spec.name)
        super()._stage(spec, record)

    def config(self, spec: InstanceSpec, record: Record) -> dict[str, Value]:
        """Return an instance's configuration for xl."""
        if record.get(BOOT_DISK):
            return {
                **self._shape(spec, record),
                "disk": [record[BOOT_DISK]],
                "serial": f"file:{self.console_log(spec.name)}",
            }
        config = super().config(spec, record)
        if "vif" not in config:
            return config
        # Without a word on it, xl gives an emulated card beside the paravirtual one.
        vifs = [f"{vif},type=vif" for vif in t.cast("t.Sequence[str]", config["vif"])]
        return config | {"vif": vifs}

    def _prepare_host(self, spec: InstanceSpec) -> None:
        super()._prepare_host(spec)
        if spec.image is not None and not Path(self.kernel(spec.image)).exists():
            raise BackendError(
                f"{spec.name}: the image's packed kernel is not there ({self.kernel(spec.image)})",
                remedy="Build the image again: older ones have only the unpacked kernel.",
            )
