# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of a nested lab: made, stopped, kept as a snapshot, started from it, taken away.

They are libvirt domains of the collection's own KVM backend, the one that also makes
the guests that are measured. What is made is in the lab's journal before it exists.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.kvm import Kvm
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import (
    last_lines,
    wait_until,
)
from ansible_collections.vcompare.lab.plugins.module_utils._images import capacity
from ansible_collections.vcompare.lab.plugins.module_utils._lab import (
    emulator,
    reach,
    seed_disk,
    server,
    snapshots,
)
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import (
    DEFAULT_NODES,
    PAIR_PORT,
    Lab,
    Node,
)

# What QEMU itself takes beside the memory of the machine, and its buffer of translated code under TCG.
_QEMU_MIB = 150
_TCG_CACHE_MIB = 1536
# For each node an overlay and a snapshot with memory, as measured, with room for the work of a run.
_DISK_MIB = 2048
# States of a node that has no process, and so none of its addresses.
_OFF = ("absent", "stopped")
# State of a node that the emulator stopped, since a disk of it could not be written.
NO_DISK = "paused: its disk can't be written"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the nodes of a lab shall be.

    :param accel: ``kvm`` or ``tcg``.
    :param node_image: folder of the node image.
    :param guest_image: folder of the guest image; its two read-only disks are attached.
    :param provision_key: changes when what provisioning does changes; a snapshot of another key is not used.
    :param outbound: whether nodes may reach other machines.
    :param qemu_version: version of QEMU, by which features of an emulated CPU are masked.
    """

    accel: str
    node_image: str
    guest_image: str
    vcpus: int
    memory_mib: int
    boot_timeout_s: float
    outbound: bool = False
    provision_key: str = ""
    uri: str = ""
    nodes: int = DEFAULT_NODES
    qemu_version: emulator.Version = ()

    def fingerprint(self) -> str:
        """The same for labs that are the same machines."""
        values = {**dataclasses.asdict(self), "boot_timeout_s": 0}
        values["node_image"] = os.path.basename(self.node_image)
        values["guest_image"] = os.path.basename(self.guest_image)
        del values["qemu_version"]
        # A snapshot of a machine with another CPU is not a place to start from.
        if self.nodes == DEFAULT_NODES:
            # As it was before there were labs of more.
            del values["nodes"]
        values["emulated"] = (
            [*emulator.masked(self.qemu_version), _TCG_CACHE_MIB] if self.accel == "tcg" else []
        )
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as text:
        return text.read().strip()


def default_uri() -> str:
    """libvirt's system daemon for root; for others a daemon of their own.

    That one needs no rights, and the nodes need none: they use no bridges.
    """
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"


class NestedLab:
    """One lab on this machine.

    :param count: how many nodes it shall have; 0: as many as the one that is there, or else the least number.
    """

    def __init__(self, lab: Lab, uri: str = "", count: int = 0) -> None:
        self.lab = lab
        there = len(self.state().get("nodes") or ())
        # Who only asks after a lab, stops it or takes it away means the one that is there.
        self.lab = dataclasses.replace(lab, count=count or there or DEFAULT_NODES)
        self.uri = uri or str(self.state().get("uri") or default_uri())
        self.journal = Journal(lab.journal)
        self.backend = Kvm(
            os.path.join(lab.folder, "state"), journal=self.journal, options={"uri": self.uri}
        )
        self.said: list[str] = []

    # What is known

    def state(self) -> dict[str, t.Any]:
        """What was written down about the lab; empty when there is none."""
        try:
            with open(self.lab.state, encoding="utf-8") as text:
                return t.cast("dict[str, t.Any]", json.load(text))
        except (OSError, ValueError):
            return {}

    def _write_state(self, **changes: t.Any) -> None:
        state = {**self.state(), **changes}
        partial = self.lab.state + ".partial"
        with open(partial, "w", encoding="utf-8") as text:
            json.dump(state, text, indent=1, sort_keys=True)
            text.flush()
            os.fsync(text.fileno())
        os.replace(partial, self.lab.state)

    def exists(self) -> bool:
        """Whether anything of the lab is here."""
        # An empty folder is a place for a lab: a file system of its own stays when the lab goes.
        return os.path.isdir(self.lab.folder) and bool(os.listdir(self.lab.folder))

    def describe(self) -> dict[str, t.Any]:
        """The truth about the lab, asked of libvirt and not of a file.

        :returns: name, state (``absent``, ``stopped``, ``partial`` or ``running``), nodes, folder, and the
            journal's open records.
        """
        state = self.state()
        nodes = []
        for node in self.lab.nodes:
            there = self._node_state(node) if self.exists() else "absent"
            nodes.append({**dataclasses.asdict(node), "state": there})
        states = {str(node["state"]) for node in nodes}
        overall = next(iter(states)) if len(states) == 1 else "partial"
        if overall == "absent" and self.exists():
            overall = "partial"
        return {
            "name": self.lab.name,
            "state": overall,
            "folder": self.lab.folder,
            "uri": self.uri,
            "accel": state.get("accel"),
            "acceleration": state.get("acceleration"),
            # What was asked when it was proven, as long as the proof holds; empty when it does not.
            "proven_for": (state.get("acceleration") or {}).get("asked", "")
            if state.get("boot_id") == _boot_id()
            else "",
            "provisioned": bool(state.get("provisioned")),
            "images": [
                settings[f"{kind}_image"]
                for settings in [state.get("settings") or {}]
                for kind in ("guest", "node")
                if f"{kind}_image" in settings
            ],
            "nodes": nodes,
            "objects": self.journal.pending() if self.exists() else [],
            "private_key": f"{self.lab.keys}/id_ed25519",
            "known_hosts": self.lab.known_hosts,
        }

    def _node_state(self, node: Node) -> str:
        try:
            state = self.backend.info(node.domain).state
            if state == "broken" and snapshots.cannot_write(self._domain(node)):
                return NO_DISK
            return state
        except VcompareError:
            return "unknown"

    def _is_alive(self, node: Node) -> bool:
        """Whether a node that is waited for runs.

        :raises VcompareError: it won't until somebody makes room.
        """
        state = self._node_state(node)
        if state == NO_DISK:
            raise VcompareError(
                f"The node {node.name} was stopped by the emulator, since its disk can't be written: {self.lab.folder} "
                f"has {capacity.disk_mib(self.lab.folder)} MiB free.",
                "Make room there, or put the home elsewhere (VCOMPARE_HOME), and start again.",
            )
        return state == "running"

    # Verbs

    def check(self, settings: Settings, image_disk_mib: int) -> None:
        """Refuse what can't become a lab here: too little memory or disk, an address in use.

        Needs nothing installed, so it can be asked before anything is made.

        :param image_disk_mib: disk for images that must be built first.
        """
        # Where libvirt's daemon is down, the machines may well run and have their addresses: it is started first, and
        # whoever then makes a machine asks for room once more.
        if self.exists() and any(self._node_state(node) not in _OFF for node in self.lab.nodes):
            return
        self._require_room(settings, image_disk_mib)

    def up(self, settings: Settings, acceleration: t.Mapping[str, t.Any]) -> bool:
        """Make the nodes run and be reachable: from the snapshot, as they are, or from new.

        :returns: whether something changed.
        """
        with self._lock():
            fingerprint = settings.fingerprint()
            state = self.state()
            same = state.get("fingerprint") == fingerprint
            if same and state.get("provisioned") and self._restore(settings):
                self._write_state(acceleration=dict(acceleration), boot_id=_boot_id())
                return True
            if same and not state.get("provisioned") and self._running(settings):
                return False
            there = any(self._node_state(node) != "absent" for node in self.lab.nodes)
            if state or self.journal.pending() or there:
                self.said.append(
                    "The lab that was there is another one or half-made, and is made again."
                )
                self._take_away(keep_keys=True)
            self._make(settings, acceleration, fingerprint)
            return True

    def keep(self) -> bool:
        """Take a snapshot of the running nodes, memory included, as what the next start begins from."""
        self._require_there()
        with self._lock():
            if self.state().get("provisioned"):
                return False
            try:
                with self._both() as pool:
                    list(
                        pool.map(
                            lambda node: snapshots.take(self._domain(node), self.lab.owner),
                            self.lab.nodes,
                        )
                    )
            except VcompareError as error:
                raise VcompareError(
                    error.message,
                    f"{self.lab.folder} has {capacity.disk_mib(self.lab.folder)} MiB free, and a snapshot takes as "
                    "much as the nodes use of their memory. Make room there if that is too little, and start again.",
                ) from None
            self._write_state(provisioned=True)
            return True

    def restart(self, names: t.Collection[str], timeout_s: float) -> bool:
        """Have nodes boot again, each as a new process: its system ends in good order, and it starts.

        An emulator that goes on after a node's own reboot keeps what it translated, and looks through it at each write
        to memory that once held code: booting took twice as long.

        :param timeout_s: for the end, and again for the start; longer where the lab server proved to be slow.
        """
        known = {node.name for node in self.lab.nodes}
        if unknown := sorted(set(names) - known):
            raise VcompareError(
                f"The lab {self.lab.name} has no node {', '.join(unknown)} (nodes).",
                f"Name some of: {', '.join(sorted(known))}.",
            )
        self._require_there()
        timeout_s = reach.boot_deadline_s(
            timeout_s, self.state().get("acceleration") or {}, restarted=True
        )
        # Two nodes that are provisioned at the same time come to this at the same time.
        with self._lock(shared=True):
            nodes = [node for node in self.lab.nodes if node.name in names]
            for node in nodes:
                self._shut_down(node, timeout_s)
                snapshots.power_on(self._domain(node))
            self._wait(nodes, timeout_s)
            return bool(nodes)

    def stop(self) -> bool:
        """Switch the nodes off; the snapshot stays."""
        if not self.exists():
            return False
        with self._lock():
            changed = False
            for node in self.lab.nodes:
                if self._node_state(node) == "running":
                    # The next start is from the snapshot, or makes the node again: nothing is lost by haste.
                    snapshots.power_off(self._domain(node))
                    changed = True
            return changed

    def down(self) -> bool:
        """Take away the lab and everything that the journal or libvirt knows of it."""
        if not self.exists():
            return False
        self.remove()
        return True

    def remove(self) -> None:
        """Take away what there is of the lab, its folder being lost or not."""
        self._have_daemon()
        with self._lock():
            self._take_away(keep_keys=False)
        try:
            shutil.rmtree(self.lab.folder)
        except OSError:
            # A file system that somebody mounted there stays, and is empty.
            if not os.path.ismount(self.lab.folder) or self.exists():
                raise

    # Parts

    def _require_there(self) -> None:
        if not self.exists():
            raise VcompareError(
                f"There is no lab {self.lab.name} here.", "Make it first: vcompare lab up."
            )

    def _have_daemon(self) -> None:
        """Have the daemon without which nothing can be taken away: after a restart of the machine, say."""
        if self.uri.endswith("/system") and server.silent_daemons():
            self.said += server.start_daemons(server.own_journal(self.lab.home))

    @contextlib.contextmanager
    def _lock(self, shared: bool = False) -> t.Iterator[None]:
        """Have the lab for this command, and for others that share it, too.

        :raises VcompareError: another one has it.
        """
        os.makedirs(self.lab.folder, mode=0o700, exist_ok=True)
        os.chmod(self.lab.folder, 0o700)
        with open(os.path.join(self.lab.folder, "lock"), "a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise VcompareError(
                    f"Another command (process {lock.read().strip() or 'unknown'}) works on the lab {self.lab.name}.",
                    "Wait for it to end, or use another lab (vcompare_lab, --lab).",
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @staticmethod
    def _both() -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(max_workers=4)

    def _domain(self, node: Node) -> t.Any:
        domain = self.backend._domain(node.domain)
        if domain is None:
            raise VcompareError(
                f"The node {node.name} is not there.", "Make the lab first: vcompare lab up."
            )
        return domain

    def _disks(self, node: Node) -> tuple[str, str]:
        return (
            os.path.join(self.lab.folder, f"{node.name}.qcow2"),
            os.path.join(self.lab.folder, f"{node.name}.seed"),
        )

    def _console(self, node: Node) -> str:
        return os.path.join(self.lab.folder, f"{node.name}.console.log")

    def _spec(self, node: Node, settings: Settings) -> InstanceSpec:
        overlay, seed = self._disks(node)
        disks: list[dict[str, t.Any]] = [
            # A lab's disk need not survive a power cut of the lab server, so no flush waits for the real disk.
            {"path": overlay, "format": "qcow2", "cache": "unsafe"},
            {
                "path": seed,
                "format": "raw",
                "serial": "vc-seed",
                "readonly": True,
                "cache": "writeback",
            },
        ]
        for name in ("rootfs", "kit"):
            path = os.path.join(settings.guest_image, f"{name}.ext4")
            disks.append(
                {
                    "path": path,
                    "format": "raw",
                    "serial": f"vc-{name}",
                    "readonly": True,
                    "cache": "writeback",
                }
            )
        options: dict[str, t.Any] = {
            "uri": self.uri,
            "persistent": True,
            "disks": disks,
            "console_log": self._console(node),
            "user_network": {
                "hostfwd": [[node.address, node.port, 22]],
                "restrict": not settings.outbound,
            },
            "address": node.address,
        }
        if settings.accel == "kvm":
            options |= {"domain_type": "kvm", "cpu_mode": "host-passthrough"}
        else:
            options |= {
                "domain_type": "qemu",
                "cpu_mode": "maximum",
                "cpu_disabled_features": list(emulator.masked(settings.qemu_version)),
            }
            options["tcg_tb_size_mib"] = _TCG_CACHE_MIB
        card = self.lab.pair_card(node)
        if card is not None:
            # Datagrams between the nodes' own loopback addresses: neither has to be there before the other, and a
            # node that starts again, or from a snapshot, goes on with the cable that it had.
            options["qemu_args"] = [
                "-netdev",
                f"socket,id=vcpair0,udp={card.peer_loopback}:{PAIR_PORT},localaddr={node.address}:{PAIR_PORT}",
                "-device",
                f"virtio-net-pci,netdev=vcpair0,mac={card.mac},romfile=,addr=0x1d",
            ]
        if self.uri.endswith("/system"):
            # QEMU runs as the owner of the lab's folder, which is closed to everybody else,
            # libvirt's own user included.
            options["seclabel"] = {
                "type": "static",
                "model": "dac",
                "label": f"+{os.geteuid()}:+{os.getegid()}",
                "relabel": "no",
            }
            if (
                card is not None
                and "<model>apparmor</model>" in self.backend.connection.getCapabilities()
            ):
                # Debian's profile of QEMU has streams only (abstractions/libvirt-qemu), and no datagrams.
                options["seclabel"] = [options["seclabel"], {"type": "none", "model": "apparmor"}]
        return InstanceSpec(
            name=node.domain,
            owner=self.lab.owner,
            vcpus=settings.vcpus,
            memory_mib=settings.memory_mib,
            options=options,
        )

    def _require_room(self, settings: Settings, image_disk_mib: int = 0) -> None:
        overhead = _QEMU_MIB + (_TCG_CACHE_MIB if settings.accel == "tcg" else 0)
        nodes = len(self.lab.nodes)
        capacity.require(
            self.lab.folder,
            memory=nodes * (settings.memory_mib + overhead),
            # The disks of a lab that is there are there, too.
            disk=image_disk_mib + (0 if os.path.exists(self.lab.state) else nodes * _DISK_MIB),
            what=f"A lab of {nodes} nodes with {settings.memory_mib} MiB each",
            memory_option="nested_lab_memory_mib",
        )
        for node in self.lab.nodes:
            if self.lab.pair_card(node) is not None and reach.pair_in_use(node):
                raise VcompareError(
                    f"The address {node.address} port {PAIR_PORT} (UDP), where the second card of {node.name} is "
                    "connected, is in use by something else.",
                    "If it is a lab's whose folder was removed, vcompare lab doctor --fix takes it away. Else end "
                    "what is there (ss -lunp), or give the lab another name (vcompare_lab, --lab): "
                    "its addresses follow from it.",
                )
            if reach.in_use(node):
                raise VcompareError(
                    f"The address {node.address} port {node.port}, where the node {node.name} is reached, is in use by "
                    "something else.",
                    "If it is a lab's whose folder was removed, vcompare lab doctor --fix takes it away. Else end "
                    "what listens there (ss -ltnp), or give the lab another name (vcompare_lab, --lab): "
                    "its addresses follow from it.",
                )

    def _make(
        self, settings: Settings, acceleration: t.Mapping[str, t.Any], fingerprint: str
    ) -> None:
        self._require_room(settings)
        self._write_state(
            schema=1,
            name=self.lab.name,
            owner=self.lab.owner,
            uri=self.uri,
            accel=settings.accel,
            acceleration=dict(acceleration),
            fingerprint=fingerprint,
            provisioned=False,
            nodes=[dataclasses.asdict(node) for node in self.lab.nodes],
            settings=dataclasses.asdict(settings),
            boot_id=_boot_id(),
            created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        keys = seed_disk.Keys(self.lab.keys)
        self.journal.create("keys", self.lab.keys, self.lab.owner)
        keys.make(tuple(node.name for node in self.lab.nodes))
        with open(self.lab.known_hosts, "w", encoding="ascii") as text:
            for node in self.lab.nodes:
                text.write(f"[{node.address}]:{node.port} {keys.public(keys.host(node.name))}\n")
        base = os.path.join(settings.node_image, "node.raw")
        for node in self.lab.nodes:
            overlay, seed = self._disks(node)
            for path in (overlay, seed, self._console(node)):
                self.journal.create("file", path, self.lab.owner)
            seed_disk.write(seed, keys, node.name)
            command.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay],
                "making a node's disk",
            )
            with open(self._console(node), "w", encoding="utf-8"):
                pass
            spec = self._spec(node, settings)
            self.backend.prepare(spec)
            self.backend.create(spec, 120.0)
        self._wait(self.lab.nodes, settings.boot_timeout_s)

    def _shut_down(self, node: Node, timeout_s: float) -> None:
        if not self._is_alive(node):
            return
        try:
            # The connection may end before the command does, so only what comes of it counts.
            said = command.tail(
                subprocess.run(
                    [*reach.ssh_arguments(self.lab, node), "systemctl", "poweroff"],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=timeout_s,
                ).stderr,
                3,
            )
        except subprocess.TimeoutExpired:
            said = "nothing"
        if not wait_until(lambda: not self._is_alive(node), timeout_s, 0.2):
            raise VcompareError(
                f"The node {node.name} did not switch itself off within {timeout_s:.0f} s; it answered: {said}.",
                "See the last lines of its console below.",
                last_lines(self._console(node)),
            )

    def _wait(
        self,
        nodes: t.Sequence[Node],
        boot_timeout_s: float,
        first: t.Callable[[Node], None] = lambda node: None,
    ) -> None:
        """Wait until all nodes are reached.

        :param first: what is done for each before; no node waits for that of another.
        """

        def wait_for(node: Node) -> float:
            first(node)
            return reach.wait(
                self.lab,
                node,
                boot_timeout_s,
                alive=lambda: self._is_alive(node),
                console=lambda: last_lines(self._console(node)),
            )

        with self._both() as pool:
            waits = [pool.submit(wait_for, node) for node in nodes]
            for node, wait in zip(nodes, waits, strict=True):
                self.said.append(f"{node.name} was reached after {wait.result():.1f} s.")

    def _restore(self, settings: Settings) -> bool:
        """Start all nodes from their snapshots; False when one has none."""
        domains = [self.backend._domain(node.domain) for node in self.lab.nodes]
        if not all(domain is not None and snapshots.has(domain) for domain in domains):
            return False
        for node in self.lab.nodes:
            if self._node_state(node) in _OFF and reach.in_use(node):
                self._require_room(settings)
        self._wait(
            self.lab.nodes,
            settings.boot_timeout_s,
            first=lambda node: snapshots.restore(self._domain(node)),
        )
        return True

    def _running(self, settings: Settings) -> bool:
        """Whether all nodes run and can be reached as they are."""
        if any(self._node_state(node) != "running" for node in self.lab.nodes):
            return False
        try:
            self._wait(self.lab.nodes, 30.0)
        except VcompareError:
            return False
        return True

    def _take_away(self, *, keep_keys: bool) -> None:
        names = {node.domain for node in self.lab.nodes}
        names |= {str(record["id"]) for record in self.journal.pending(self.backend.arm)}
        names |= {
            info.name for info in self.backend.list() if info.details.get("owner") == self.lab.owner
        }
        for name in sorted(names):
            self.backend.destroy(name, 120.0)
        for record in self.journal.pending("file"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(str(record["id"]))
            self.journal.gone("file", str(record["id"]), self.lab.owner)
        if not keep_keys:
            shutil.rmtree(self.lab.keys, ignore_errors=True)
            self.journal.gone("keys", self.lab.keys, self.lab.owner)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.lab.state)
