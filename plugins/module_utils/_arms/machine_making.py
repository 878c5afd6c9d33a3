# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions and builds of virtual machines: layers of a disk in QEMU's format, and a script that fills a disk's copy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Sources
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

if t.TYPE_CHECKING:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.machine import Machine

# Enough for a few MiB and the file system's own; each layer is read whole when its digest is made.
DISK_MIB = 32
_QUICK_S = 300.0
_TOOLS = "Install qemu-utils and e2fsprogs on the host."
# QEMU runs as a user of its own, who must be able to pass through (see store.py).
_PASS_THROUGH = 0o711

RECIPE = """\
cp --sparse=always "$BASE" "$IMAGE"
mkdir "$ROOT"
mount -o loop "$IMAGE" "$ROOT"
cp -r installed "$ROOT/usr/src/installed"
chroot "$ROOT" sh /usr/src/installed/install.sh
cp -r compiled "$ROOT/usr/src/compiled"
chroot "$ROOT" sh /usr/src/compiled/compile.sh
umount "$ROOT"
rmdir "$ROOT"
"""


def _tool(doing: str, *argv: str, timeout_s: float = _QUICK_S) -> str:
    return host_run(argv, timeout_s, doing, remedy=_TOOLS).stdout


class DiskVersions:
    """Versions as layers of a second disk; which is written to is the one after the last that was kept.

    :param machine: the arm.
    :param spec: of the instance that they belong to.
    :param versions: their names, in order: a layer has its name before anything is written to it.
    """

    place = "/mnt"
    goes_on = True

    def __init__(self, machine: Machine, spec: InstanceSpec, versions: t.Sequence[str]) -> None:
        self.machine, self.begin = machine, f"mount {machine.data_device} {self.place}"
        self._next = dict(zip(versions, [*versions[1:], "next"], strict=True))
        self._first, self._options = versions[0], spec.options
        self._folder = Path(machine.store.folder(spec.name), "versions")
        self._folder.mkdir(mode=_PASS_THROUGH, exist_ok=True)
        self._folder.chmod(_PASS_THROUGH)
        base = self._folder / "base.raw"
        with base.open("wb") as handle:
            handle.truncate(DISK_MIB << 20)
        # Whole from the beginning: the guest's kernel would write the rest of it into the first layer.
        whole = "lazy_itable_init=0,lazy_journal_init=0"
        _tool("making a file system", "mke2fs", "-q", "-F", "-t", "ext4", "-E", whole, str(base))

    def path(self, version: str) -> Path:
        """Return where a layer is."""
        return self._folder / f"{version}.qcow2"

    def _layer(self, name: str, below: str) -> Path:
        # Without a folder in the name below, the chain can be moved.
        backing = ("qcow2", f"{below}.qcow2") if below else ("raw", "base.raw")
        path = self.path(name)
        argv = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", backing[0], "-b", backing[1])
        _tool(f"making the layer {name}", *argv, str(path))
        return path

    def changes(self, version: str = "") -> dict[str, t.Any]:
        """Return what a specification is changed by for a machine with a layer of its own on a version."""
        name = f"on-{version}" if version else self._first
        disk = self.machine.with_disk(str(self._layer(name, version)))
        return {"options": {**self._options, **disk}}

    def keep(self, name: str, version: str, timeout_s: float) -> None:
        """Have the machine write to the next layer."""
        path = self._layer(self._next[version], version)
        self.machine.switch_disk(name, str(path), self.place, timeout_s)

    def size(self, version: str) -> int:
        """Return what a layer takes."""
        return self.path(version).stat().st_blocks * 512

    def listed(self, version: str) -> list[str]:
        """Return the names of the files that the chain consists of."""
        # Shared: a machine may have the chain open.
        argv = ("qemu-img", "info", "-U", "--backing-chain", "--output=json")
        chain = json.loads(_tool("listing the layers", *argv, str(self.path(version))))
        return [Path(each["filename"]).stem for each in chain]

    def moved(self, version: str, timeout_s: float) -> tuple[str, str]:
        """Copy the chain to another folder; return the digests of the disk as it is read through both."""
        elsewhere = self._folder / "elsewhere"
        elsewhere.mkdir()
        for path in [self._folder / "base.raw", *map(self.path, self._next)]:
            copy = ("cp", "--sparse=always", str(path), str(elsewhere))
            _tool("copying the layers", *copy, timeout_s=timeout_s)
        before = self._digest(self.path(version), timeout_s)
        return before, self._digest(elsewhere / f"{version}.qcow2", timeout_s)

    @staticmethod
    def _digest(layer: Path, timeout_s: float) -> str:
        whole = layer.with_suffix(".whole")
        convert = ("qemu-img", "convert", "-O", "raw", str(layer), str(whole))
        _tool("reading a disk through its layers", *convert, timeout_s=timeout_s)
        with whole.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        whole.unlink()
        return f"sha256:{digest}"


class DiskBuilder:
    """Builds by a script that works on a copy of the root file system.

    :param machine: the arm.
    :param spec: of the instance that the images belong to.
    """

    recipe = RECIPE

    def __init__(self, machine: Machine, spec: InstanceSpec) -> None:
        if spec.image is None:
            raise NotPossible(f"{spec.name} has no image")
        self.image: Image = spec.image
        self._folder = Path(machine.store.folder(spec.name), "builds")
        self._folder.mkdir(mode=_PASS_THROUGH, exist_ok=True)
        self._folder.chmod(_PASS_THROUGH)

    def _image(self, tag: str) -> Path:
        return self._folder / f"{tag}.ext4"

    def build(self, tag: str, sources: Sources, *, clean: bool, timeout_s: float) -> None:
        """Run the script; it has no cache, so that each build is ``clean``."""
        context = self._folder / tag
        for folder in ("installed", "compiled"):
            (context / folder).mkdir(parents=True)
            for path, text in getattr(sources, folder).items():
                (context / folder / path).write_text(text, encoding="utf-8")
        # In mounts and processes of its own: whatever ends it, nothing stays mounted.
        own = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        variables = [
            f"BASE={self.image.rootfs}",
            f"IMAGE={self._image(tag)}",
            f"ROOT={context}/root",
        ]
        script = f"set -eu; umask 022; cd '{context}'\n{self.recipe}"
        argv = [*own, "env", *variables, "/bin/sh", "-c", script]
        host_run(argv, timeout_s, f"building {tag}", remedy="See that the disk has room (df).")
        if not self._image(tag).exists():
            raise BackendError(f"building {tag} said no error, and there is no image")

    def changes(self, tag: str) -> dict[str, t.Any]:
        """Return what a specification is changed by for a machine that boots an image that was built."""
        image = dataclasses.replace(
            self.image, rootfs=str(self._image(tag)), digest="", quick_digest=""
        )
        return {"image": image}
