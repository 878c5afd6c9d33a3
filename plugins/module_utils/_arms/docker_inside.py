# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker in a virtual machine: what its arms have in common, whatever the hypervisor.

The machine starts from an image of its own (role docker-host): the same Debian with a daemon, whose only process beside
ssh is that daemon. It loads the one container image from a second disk, which is the archive itself, and runs the
instance's application in a container on the machine's network. Commands run in the container.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms import proofs
from ansible_collections.vcompare.lab.plugins.module_utils._arms.machine import Machine
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Image,
    InstanceSpec,
    Proof,
    Result,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

ROLE = "docker-host"
# The daemon, what it keeps (in memory: the unpacked image and, while it is loaded, its archive), and the kernel. It is
# the machine's, beside the memory that the container may have.
SURPLUS_MIB = 640
START = "/usr/lib/vcompare/docker-host"
CONTAINER = "vc"
IDLE = ("/bin/sleep", "infinity")
_OBSERVE_S = 300


class DockerInside(Machine):
    """A container in a machine; a subclass adds the hypervisor (and comes before it)."""

    # Where the machine finds the second disk.
    archive_device = ""

    def host_image(self) -> Image | None:
        """Return the image that the machine starts from; None where it was not brought."""
        folder = Path(self.store.state_dir, "others", ROLE)
        try:
            described = json.loads((folder / "image.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return Image(
            rootfs=str(folder / "rootfs.ext4"),
            kernel=str(folder / "vmlinux"),
            initrd=str(folder / "initrd.img"),
            digest=str(described.get("digest", "")),
        )

    def available(self) -> str:
        """Return an empty string, or the reason why this host can't carry the arm."""
        reason = super().available()
        if not reason and self.host_image() is None:
            return f"the image {ROLE} is not on this host: the role measure brings it where this arm is named"
        return reason

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return what the machine shall be that has the container in it."""
        image, host = spec.image, self.host_image()
        if image is None or not image.reference or not image.container:
            raise BackendError(
                f"{spec.name}: {self.arm} needs an image with a container and its reference"
            )
        if host is None:
            raise BackendError(f"{spec.name}: {self.available()}")
        if os.path.exists(image.container) and os.path.getsize(image.container) % 512:
            raise BackendError(
                f"{spec.name}: {image.container} is not a whole number of sectors, and can't be a disk",
                remedy="Build the image again.",
            )
        command = (
            START,
            self.archive_device,
            image.reference,
            str(spec.memory_mib),
            *(spec.command or IDLE),
        )
        return super().resolve(
            dataclasses.replace(
                spec,
                image=dataclasses.replace(
                    host, container=image.container, reference=image.reference
                ),
                memory_mib=spec.memory_mib + SURPLUS_MIB,
                command=command,
            )
        )

    def run(self, name: str, argv: t.Sequence[str], timeout_s: float) -> Result:
        """Run a command in the container as root, from ``/``, without a shell."""
        return self._ssh(name).run(
            argv, timeout_s, through=("docker", "exec", "--workdir", "/", CONTAINER)
        )

    def observe(self, name: str) -> proofs.Facts:
        """Observe the machine, from inside it."""
        return proofs.parse(self._ssh(name).run(proofs.OBSERVE_ARGV, _OBSERVE_S))

    def identify(self, name: str) -> t.Sequence[Proof]:
        """Prove that the machine is one, and that what runs in it is a container."""
        machine = list(super().identify(name))
        record = self._record(name)
        vcpus = int((record or {}).get("spec", {}).get("vcpus", 0))
        inside = proofs.parse(self.run(name, proofs.OBSERVE_ARGV, _OBSERVE_S))
        return [*machine, *container_proofs(inside, self.observe(name), vcpus)]

    def console(self, name: str) -> str:
        """Return the last lines that the machine said, and those of its daemon where it can be asked."""
        said = super().console(name)
        with contextlib.suppress(BackendError):
            result = self._ssh(name).run(["tail", "-n", "5", "/run/dockerd.log"], 60)
            return f"{said}\n{result.stdout}".strip()
        return said


def container_proofs(inside: proofs.Facts, machine: proofs.Facts, vcpus: int) -> list[Proof]:
    """Judge what was observed in the container against what was observed in its machine."""
    namespace = machine.get("pid_namespace", "")
    found = inside.get("pid_namespace", "")
    shared = proofs.shared_kernel(
        inside, {"boot_id": machine.get("boot_id", ""), "release": machine.get("release", "")}
    )
    return [
        *(dataclasses.replace(proof, name=f"container-{proof.name}") for proof in shared),
        proofs.inside("container-dockerenv", "present", inside.get("dockerenv", "")),
        Proof(
            "container-pid-namespace",
            "inside",
            f"another than {namespace}",
            found,
            bool(found) and bool(namespace) and found != namespace,
        ),
        dataclasses.replace(proofs.cpu_count(inside, vcpus), name="container-cpus"),
    ]
