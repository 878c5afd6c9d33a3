# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Xen, through xl. The types of guests differ by a few lines of their configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import typing as t
import uuid
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils.backends import (
    network,
    proofs,
)
from ansible_collections.vcompare.lab.plugins.module_utils.backends.base import Live
from ansible_collections.vcompare.lab.plugins.module_utils.backends.machine import Machine
from ansible_collections.vcompare.lab.plugins.module_utils.backends.marker import XL_COMMENT
from ansible_collections.vcompare.lab.plugins.module_utils.backends.process import (
    host_run,
    last_lines,
    wait_until,
)
from ansible_collections.vcompare.lab.plugins.module_utils.backends.protocol import (
    BackendError,
    Destination,
    InstanceSpec,
    Proof,
)
from ansible_collections.vcompare.lab.plugins.module_utils.backends.store import Record, write_file
from ansible_collections.vcompare.lab.plugins.module_utils.journal import Journal

OPTIONS = frozenset({"address", "mac", "cmdline", "config"})
LOG_DIR = Path("/var/log/xen")
BRIDGE_ALIAS = "vcompare"

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
    if not Path("/sys/class/net", subnet.bridge).exists():
        journal.create("bridge", subnet.bridge, owner)
        # forward_delay 0: a port that joins must not wait for 15 s before it forwards
        add = ["ip", "link", "add", subnet.bridge, "type", "bridge", "forward_delay", "0"]
        host_run(add, 60, doing)
        host_run(["ip", "link", "set", subnet.bridge, "alias", BRIDGE_ALIAS], 60, doing)
    elif not Path("/sys/class/net", subnet.bridge, "bridge").is_dir():
        raise BackendError(
            f"xen: {subnet.bridge} exists and is no bridge", "Rename that interface."
        )
    shown = host_run(["ip", "-o", "-4", "address", "show", "dev", subnet.bridge], 60, doing).stdout
    if f" {subnet.gateway}/" not in shown:
        host_run(["ip", "address", "add", f"{subnet.gateway}/24", "dev", subnet.bridge], 60, doing)
    host_run(["ip", "link", "set", subnet.bridge, "up"], 60, doing)


class Xen(Machine):
    """A guest of Xen; a subclass says which type."""

    subnet = network.XEN
    console_device = "hvc0"
    kind = ""
    guest_type = ""
    capability = ""
    signature = ""

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
        if spec.image is None:
            raise BackendError(f"{spec.name}: {self.arm} needs an image", remedy="Give image.")
        return super().resolve(spec)

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
            raise BackendError(f"{spec.name}: {self.arm} needs an image", remedy="Give image.")
        disk = f"format=raw,vdev=xvda,access=r,target={spec.image.rootfs}"
        vif = f"mac={record['mac']},bridge={self.subnet.bridge},script=vif-bridge"
        return {
            "name": spec.name,
            "uuid": record["uuid"],
            "type": self.kind,
            "kernel": spec.image.kernel,
            "ramdisk": self.initrd(spec.name),
            "extra": self.cmdline(spec),
            "vcpus": spec.vcpus,
            "cpus": spec.cpuset,
            "memory": spec.memory_mib,
            "maxmem": spec.memory_mib,
            "disk": [disk],
            "vif": [vif],
            "on_poweroff": "destroy",
            "on_reboot": "destroy",
            "on_crash": "destroy",
            # Xen would intercept RDTSCP, and an emulated AMD machine reports that exit wrongly:
            # the guest dies ("SVM Insn len emulation failed" in xl dmesg). Native costs nothing
            # where it isn't needed.
            "tsc_mode": "native",
            **(spec.options.get("config") or {}),
        }

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        super()._stage(spec, record)
        record["uuid"] = str(uuid.uuid4())
        text = render(self.config(spec, record), spec.owner)
        write_file(str(self.config_path(spec.name)), text.encode())

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        host_run(
            ["xl", "create", "-q", str(self.config_path(spec.name))],
            timeout_s,
            f"{spec.name}: creating the domain",
            remedy="See xl dmesg and /var/log/xen/.",
        )
        return {"uuid": record["uuid"]}

    def console(self, name: str) -> str:
        """Return the last lines that the instance said on its console."""
        return last_lines(str(LOG_DIR / "console" / f"guest-{name}.log"))

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

    def _move(self, name: str, to: Destination, timeout_s: float) -> None:
        row = self._row(name, self._record(name))
        if row is None:
            raise BackendError(f"{self.arm}: there is no {name} to move")
        host_run(
            ["xl", "migrate", "-s", to.program, str(row.domid), to.address],
            timeout_s,
            f"{name}: moving it",
            remedy="See xl dmesg and /var/log/xen/ on both hosts.",
        )

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
