# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instances of ours, their networks and their images, whatever carries them."""

from __future__ import annotations

import functools
import os
import re
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    cgroup,
    network,
    proofs,
    registry,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils._arms.cgroup import Cgroup
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import (
    DOCKER_LABEL,
    XML_NAMESPACE,
)
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import (
    MEASURED_ARMS,
    XEN_ARMS,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import link

_TIMEOUT_S = 300.0
_NETWORK = "vcompare"
# Names of images as docs/contracts.md has them; Podman puts a registry before them.
_IMAGE = re.compile(r"(localhost/|docker\.io/)?vcompare/(guest|system|vc-[a-z0-9-]+):")
_SYS_NET = Path("/sys/class/net")
_XEN_BRIDGE_ALIAS = "vcompare"
# What listens where a technology can be asked; a connection that would start Docker's daemon is not made.
_DAEMONS: dict[str, t.Callable[[], bool]] = {
    "docker": lambda: _process("dockerd"),
    "podman": lambda: os.path.exists("/run/podman/podman.sock"),
    "kvm": lambda: any(
        map(os.path.exists, ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"))
    ),
}


class Instances:
    """All that runs on a host for us.

    :param state_dir: the state folder of the host.
    """

    def __init__(self, state_dir: str, account: Account) -> None:
        self.state_dir, self.account = state_dir, account
        self.there = os.path.isdir(state_dir)

    def release(self) -> None:
        """Remove instances first, then what they used."""
        for arm in MEASURED_ARMS:
            self._arm(registry.backend(arm, state_dir=self.state_dir))
        self._groups()
        for arm in ("docker", "podman"):
            if _DAEMONS[arm]():
                self._engine(registry.backend(arm, state_dir=self.state_dir))
        if _DAEMONS["kvm"]():
            self._libvirt_network(registry.backend("kvm", state_dir=self.state_dir))
        self._links()
        self._mounts()

    def _arm(self, backend: Base) -> None:
        kept = {
            record["name"] for record in backend.store.records() if record["arm"] == backend.arm
        }
        kept |= {str(record["id"]) for record in backend.journal.pending(backend.arm)}
        running: set[str] = set()
        if backend.arm in _DAEMONS and _DAEMONS[backend.arm]():
            try:
                # A persistent machine without a record is a node of a nested lab: the lab's own command removes it.
                running = {
                    i.name
                    for i in backend.list()
                    if i.name in kept or not i.details.get("persistent")
                }
            except VcompareError as error:
                if kept:
                    self.account.leave(
                        "instance", ", ".join(sorted(kept)), error.message, error.remedy
                    )
                return
        for name in sorted(kept | running):
            if backend.arm in XEN_ARMS and backend.own_kernel and not proofs.is_dom0():
                # Its domain ended with Xen; what is left is its folder.
                self.account.remove(
                    f"{backend.arm} instance", name, functools.partial(backend.store.remove, name)
                )
                continue
            self.account.remove(
                f"{backend.arm} instance",
                name,
                functools.partial(backend.destroy, name, _TIMEOUT_S),
            )

    def _groups(self) -> None:
        """Remove control groups whose instance has no record any more."""
        parent = cgroup.ROOT / cgroup.PARENT
        for path in sorted(parent.glob("*/")) if parent.is_dir() else ():
            if not self.account.check_mode or not any(
                one["name"] == path.name for one in self.account.removed
            ):
                self.account.remove(
                    "control group",
                    path.name,
                    functools.partial(Cgroup(path.name).remove, _TIMEOUT_S),
                )

    def _engine(self, backend: t.Any) -> None:
        """Remove the network and the images of an engine that speaks Docker's language."""
        try:
            with backend.errors(f"{backend.arm}: listing what is ours"):
                client = backend.client()
                networks = client.networks(filters={"label": DOCKER_LABEL})
                images = client.images()
        except VcompareError as error:
            self.account.leave(f"{backend.arm} objects", _NETWORK, error.message, error.remedy)
            return
        for found in networks:
            name = str(found["Name"])
            self._remove(
                backend,
                f"{backend.arm} network",
                name,
                functools.partial(client.remove_network, name),
            )
        for tag in sorted(
            tag for image in images for tag in image.get("RepoTags") or () if _IMAGE.match(tag)
        ):
            self._remove(
                backend, f"{backend.arm} image", tag, functools.partial(client.remove_image, tag)
            )

    def _remove(self, backend: t.Any, kind: str, name: str, act: t.Callable[[], t.Any]) -> None:
        def remove() -> None:
            with backend.errors(f"removing the {kind} {name}"):
                act()

        self.account.remove(kind, name, remove)

    def _libvirt_network(self, backend: t.Any) -> None:
        from ansible_collections.vcompare.lab.plugins.module_utils._arms import kvm

        if not kvm.HAS_LIBVIRT:
            return
        try:
            with kvm._errors("kvm: listing networks"):
                found = [n for n in backend.connection.listAllNetworks(0) if n.name() == _NETWORK]
                ours = [n for n in found if XML_NAMESPACE in n.XMLDesc(0)]
        except VcompareError as error:
            if backend.journal.pending("libvirt-network"):
                self.account.leave("libvirt network", _NETWORK, error.message, error.remedy)
            return
        for one in ours:
            if self._in_use("libvirt network", network.KVM.bridge):
                continue

            def remove(one: t.Any = one) -> None:
                with kvm._errors(f"removing the network {_NETWORK}"):
                    if one.isActive():
                        one.destroy()
                    one.undefine()

            self.account.remove("libvirt network", _NETWORK, remove)

    def _in_use(self, kind: str, bridge: str) -> bool:
        """Whether a bridge has ports of others; in check mode ours are still there."""
        ports = _SYS_NET / bridge / "brif"
        found = sorted(os.listdir(ports)) if ports.is_dir() and not self.account.check_mode else []
        found = [port for port in found if port not in (link.TUNNEL, f"{bridge}-nic")]
        if found:
            self.account.leave(kind, bridge, f"it has ports that are not ours: {', '.join(found)}")
        return bool(found)

    def _links(self) -> None:
        """Remove the tunnel of a pool, and the bridge of Xen's guests."""
        journal = registry.backend("bare", state_dir=self.state_dir).journal
        for name, kind in ((link.TUNNEL, "tunnel"), (network.XEN.bridge, "bridge")):
            folder = _SYS_NET / name
            recorded = any(record["id"] == name for record in journal.pending(kind))
            if not folder.exists() or not (recorded or _alias(folder) == _XEN_BRIDGE_ALIAS):
                continue
            if kind == "bridge" and self._in_use(kind, name):
                continue
            self.account.remove(
                kind,
                name,
                functools.partial(host_run, ["ip", "link", "delete", name], 60, f"removing {name}"),
            )

    def _mounts(self) -> None:
        """Unmount the root file systems that instances of the host itself share."""
        if not self.there:
            return
        mounted = [
            str(path) for path in sorted(Path(self.state_dir).glob("rootfs-*")) if path.is_mount()
        ]
        if mounted:
            backend = registry.backend("bare", state_dir=self.state_dir)
            self.account.remove("mount", ", ".join(mounted), lambda: backend.tidy(_TIMEOUT_S))


def _alias(folder: Path) -> str:
    try:
        return (folder / "ifalias").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _process(program: str) -> bool:
    """Whether a program runs on this host."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text(encoding="utf-8", errors="replace").strip() == program:
                return True
        except OSError:
            continue
    return False
