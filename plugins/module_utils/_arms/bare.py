# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host itself: the image's root file system as a chroot, held to its CPUs and memory.

On a host without Xen that is ``bare``; in the control domain of a Xen it is ``xen-dom0``, which is
a guest of Xen's and not the bare machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    cgroup,
    chroot,
    data_disk,
    network,
    proofs,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base, Live
from ansible_collections.vcompare.lab.plugins.module_utils._arms.cgroup import Cgroup
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    DEFAULT_OWNER,
    InstanceSpec,
    Proof,
    Result,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.stamps import (
    ENVIRONMENT,
    Frame,
    follow,
    timed_out,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import (
    host_run,
    last_lines,
    wait_until,
)

IDLE = ("/bin/sleep", "infinity")


class Bare(Base):
    """Plain processes of the host."""

    arm = "bare"
    subnet = network.LOOPBACK

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        if os.geteuid() != 0:
            return "a chroot needs root (become: true)"
        if proofs.is_dom0():
            return "this host is the control domain of a Xen; what runs on it is xen-dom0"
        return cgroup.unavailable()

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return the specification with this host's defaults; refuse what can't be."""
        if spec.options:
            raise BackendError(f"{spec.name}: {self.arm} has no options of its own")
        if spec.image is None:
            raise BackendError(f"{spec.name}: {self.arm} needs an image", remedy="Give image.")
        return super().resolve(spec)

    def _lower(self, source: str) -> Path:
        """Return where a root file system is mounted; one place for all instances that share it."""
        return (
            Path(self.store.state_dir)
            / f"rootfs-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        )

    def _prepare_host(self, spec: InstanceSpec) -> None:
        self.store.ensure()
        self._mounted(spec)

    def _mounted(self, spec: InstanceSpec) -> str:
        """Have the root file system mounted, and return where.

        It stays when the instances are gone (until ``tidy``), as an image that was loaded stays with Docker: a file
        system that is mounted anew has lost its page cache, and a start would pay for reading programs that other arms
        find in memory.
        On an emulated host it would also be translated anew, which took starts of half a second to six.
        """
        if spec.image is None:
            raise BackendError(f"{spec.name}: {self.arm} needs an image", remedy="Give image.")
        source = spec.image.rootfs
        lower = self._lower(source)
        with self.store.lock():
            if not lower.is_mount():
                if not Path(source).exists():
                    raise BackendError(
                        f"{spec.name}: the image's root file system {source} is not there",
                        remedy="Build the image, or attach it to this host.",
                    )
                self.journal.create("mount", str(lower), spec.owner)
                lower.mkdir(mode=0o755, exist_ok=True)
                options = "ro" if Path(source).is_block_device() else "ro,loop"
                doing = f"{spec.name}: mounting the root file system"
                host_run(["mount", "-t", "ext4", "-o", options, source, str(lower)], 120, doing)
        return str(lower)

    def _stage(self, spec: InstanceSpec, record: Record) -> None:
        record["lower"] = self._mounted(spec)
        folder = Path(self.store.folder(spec.name))
        for sub in ("layer", "root"):
            (folder / sub).mkdir(mode=0o755, exist_ok=True)
        if spec.data_mib:
            data_disk.make_folder(str(folder))
        self._cgroup(spec.name).create(spec.cpuset, spec.memory_mib)

    @staticmethod
    def _cgroup(name: str) -> Cgroup:
        return Cgroup(name)

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        group = self._cgroup(spec.name)
        folder = self.store.folder(spec.name)
        pid = chroot.start(
            spec.name,
            spec.command or IDLE,
            dict(entry.split("=", 1) for entry in ENVIRONMENT),
            lower=record["lower"],
            folder=folder,
            memory_mib=spec.memory_mib,
            data_folder=data_disk.path(folder) if spec.data_mib else "",
            cgroup_procs=str(group.path / "cgroup.procs"),
            log=f"{folder}/console.log",
        )
        record["pid"] = pid
        self.store.write(record)
        return {"pid": pid, "cgroup": group.inner_path}

    def console(self, name: str) -> str:
        """Return the last lines that the application said."""
        return last_lines(f"{self.store.folder(name)}/console.log")

    def _look(self, name: str, record: Record | None) -> Live | None:
        group = self._cgroup(name)
        if not group.exists() or (record is not None and not record["started"]):
            return None
        # the group is in our own place: that is the marker
        owner = str((record or {}).get("owner") or DEFAULT_OWNER)
        if record is None:
            return Live("broken", owner)
        pid = record.get("pid", 0)
        running = pid in group.pids()
        if not running and group.populated():
            return Live("broken", owner, details={"cgroup": group.inner_path})
        spec = record["spec"]
        details = {"pid": pid, "cgroup": group.inner_path}
        state = "running" if running else "stopped"
        return Live(state, owner, spec["vcpus"], spec["memory_mib"], details)

    def run(self, name: str, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command inside the instance as root, from ``/``, without a shell."""
        frame = Frame(argv)
        record = self._record(name)
        if record is None or "pid" not in record:
            raise BackendError(f"{self.arm}: there is no running {name}")
        group = self._cgroup(name)
        try:
            procs = str(group.path / "cgroup.procs")
            if record["pid"] not in group.pids():
                raise ProcessLookupError
            with chroot.Entrance(record["pid"], procs) as entrance:
                rc = follow(frame, frame.argv, timeout_s, preexec_fn=entrance.enter)
        except (ProcessLookupError, FileNotFoundError):
            raise BackendError(
                f"{name}: its application has ended",
                remedy="See what it said last; an instance without an application idles.",
                evidence=self.console(name),
            ) from None
        if rc is None:
            raise timed_out(name, argv, timeout_s, frame.stderr)
        return frame.result(name)

    def _stop(self, name: str, record: Record | None, timeout_s: float) -> None:
        group = self._cgroup(name)
        pid = (record or {}).get("pid", 0)
        if pid in group.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            if wait_until(lambda: not group.populated(), timeout_s, 0.02):
                return
        with contextlib.suppress(OSError):
            (group.path / "cgroup.kill").write_text("1", encoding="ascii")
        if not wait_until(lambda: not group.populated(), 30):
            raise BackendError(f"{name}: its processes did not end when they were killed")

    def _remove(
        self, name: str, record: Record | None, live: Live | None, timeout_s: float
    ) -> None:
        self._cgroup(name).remove(timeout_s)

    def tidy(self, timeout_s: float) -> None:
        """Unmount the root file systems that no instance stands on."""
        with self.store.lock():
            used = {record.get("lower") for record in self.store.records()}
            for path in Path(self.store.state_dir).glob("rootfs-*"):
                if str(path) in used:
                    continue
                if path.is_mount():
                    doing = f"{self.arm}: unmounting the root file system"
                    host_run(["umount", str(path)], timeout_s, doing)
                path.rmdir()
                self.journal.gone("mount", str(path))

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, from inside and from outside."""
        record = self._record(name)
        if record is None:
            raise BackendError(f"{self.arm}: there is no {name} to identify")
        host = proofs.host_facts()
        facts = self.observe(name)
        group = self._cgroup(name)
        observed = ""
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{record['pid']}/cgroup").read_text(encoding="utf-8")
            observed = next((line[3:] for line in text.splitlines() if line.startswith("0::")), "")
        return [
            proofs.outside("host-process-cgroup", group.inner_path, observed),
            self._dom0_proof(),
            *self.inside_proofs(facts, host, int(record["spec"]["vcpus"])),
        ]

    def _dom0_proof(self) -> Proof:
        return proofs.outside("xen-dom0", "no", "yes" if proofs.is_dom0() else "no")

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside."""
        return [
            *proofs.shared_kernel(facts, host),
            proofs.inside("pid-namespace", host["pid_namespace"], facts.get("pid_namespace", "")),
            proofs.not_xen(facts),
            proofs.cpu_count(facts, vcpus),
        ]


class BareAgain(Bare):
    """The bare host once more in the same block: what differs between the two is noise (A/A)."""

    arm = "bare-again"


class BarePlanted(Bare):
    """Bare with two effects of known size: it starts late, and is held to a part of a CPU once it is ready.

    Not before, so that its start is late by nothing else. What a run says of this arm shows whether the whole way from
    the instance to the interval finds what is there. The rest of the CPU is filled, so that it is as fast as in other
    arms.
    """

    arm = "bare-planted"
    LATE_S = 0.05
    SHARE = 0.8

    def _start(self, spec: InstanceSpec, record: Record, timeout_s: float) -> t.Mapping[str, t.Any]:
        time.sleep(self.LATE_S)
        return super()._start(spec, record, timeout_s)

    def wait_ready(self, spec: InstanceSpec, timeout_s: float) -> float:
        """Wait until ``run`` works, and hold the instance back from then on."""
        elapsed_s = super().wait_ready(spec, timeout_s)
        group = self._cgroup(spec.name)
        group.limit_cpu(self.SHARE * spec.vcpus)
        self._rest(spec.name).fill(group.cpus())
        return elapsed_s

    def _rest(self, name: str) -> Cgroup:
        # No name of an instance has a dot in it.
        return self._cgroup(f"{name}.rest")

    def _remove(
        self, name: str, record: Record | None, live: Live | None, timeout_s: float
    ) -> None:
        self._rest(name).remove(timeout_s)
        super()._remove(name, record, live, timeout_s)

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove what the arm is, and that it is held back."""
        record = self._record(name)
        vcpus = int(record["spec"]["vcpus"]) if record else 0
        expected = Cgroup.cpu_max(self.SHARE * vcpus)
        held = proofs.outside("cgroup-cpu-max", expected, self._cgroup(name).cpu_limit())
        rest = self._rest(name)
        filled = rest.cpus() if rest.populated() else "none"
        cpus = self._cgroup(name).cpus()
        return [*super().identify(name), held, proofs.outside("filled-cpus", cpus, filled)]


class XenDom0(Bare):
    """The same in the control domain of a Xen."""

    arm = "xen-dom0"

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        if os.geteuid() != 0:
            return "a chroot needs root (become: true)"
        if not proofs.is_dom0():
            return "this host is not the control domain of a Xen; boot it with Xen (role xen_host)"
        return cgroup.unavailable()

    def _dom0_proof(self) -> Proof:
        return proofs.outside("xen-dom0", "yes", "yes" if proofs.is_dom0() else "no")

    def inside_proofs(
        self, facts: proofs.Facts, host: proofs.Facts, vcpus: int
    ) -> t.Sequence[Proof]:
        """Judge what was observed in an instance, as far as that needs no look from outside."""
        return [
            *proofs.shared_kernel(facts, host),
            proofs.inside("pid-namespace", host["pid_namespace"], facts.get("pid_namespace", "")),
            proofs.inside("sys-hypervisor", "xen", facts.get("hypervisor", "")),
            proofs.inside("xen-domain-uuid", proofs.DOM0_UUID, facts.get("xen_uuid", "")),
            proofs.cpu_count(facts, vcpus),
        ]
