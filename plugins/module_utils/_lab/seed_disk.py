# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What makes a node one of a certain lab: name and keys, on a small read-only disk."""

from __future__ import annotations

import dataclasses
import io
import os
import tarfile

from ansible_collections.vcompare.lab.plugins.module_utils._core import command

_SIZE = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Keys:
    """The keys of one lab: the client's, and one host key a node. Made once, 0600, never copied on."""

    folder: str

    @property
    def client(self) -> str:
        return os.path.join(self.folder, "id_ed25519")

    def host(self, node: str) -> str:
        return os.path.join(self.folder, f"{node}_host_ed25519")

    def make(self, nodes: tuple[str, ...]) -> None:
        """Make the keys that are not there."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for path, comment in (
            (self.client, "vcompare lab"),
            *((self.host(node), node) for node in nodes),
        ):
            if os.path.exists(path) and os.path.exists(path + ".pub"):
                continue
            for leftover in (path, path + ".pub"):
                if os.path.exists(leftover):
                    os.unlink(leftover)
            command.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path],
                "making the lab's ssh keys",
            )

    def public(self, path: str) -> str:
        """A public key without its comment."""
        with open(path + ".pub", encoding="ascii") as text:
            return " ".join(text.read().split()[:2])


def write(path: str, keys: Keys, node: str) -> None:
    """Write a node's seed: a tar archive that the node unpacks over its root file system."""
    with open(keys.host(node), "rb") as private:
        host_key = private.read()
    files = {
        "etc/hostname": (f"{node}\n".encode(), 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {node}\n".encode(), 0o644),
        "etc/ssh/ssh_host_ed25519_key": (host_key, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (
            f"{keys.public(keys.host(node))} {node}\n".encode(),
            0o644,
        ),
        "root/.ssh/authorized_keys": (f"{keys.public(keys.client)} vcompare\n".encode(), 0o600),
    }
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as disk:
        with tarfile.open(fileobj=disk, mode="w", format=tarfile.GNU_FORMAT) as tar:
            folder = tarfile.TarInfo("root/.ssh")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(folder)
            for name, (data, mode) in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), mode
                tar.addfile(entry, io.BytesIO(data))
        disk.truncate(_SIZE)
