# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker in a guest of KVM."""

from __future__ import annotations

import dataclasses

from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker_inside import DockerInside
from ansible_collections.vcompare.lab.plugins.module_utils._arms.kvm import Kvm
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec


class DockerInKvm(DockerInside, Kvm):
    """A container in a guest of KVM."""

    arm = "docker-in-kvm"
    archive_device = "/dev/vdb"

    def resolve(self, spec: InstanceSpec) -> InstanceSpec:
        """Return what the machine shall be that has the container in it."""
        container = spec.image.container if spec.image is not None else ""
        disk = {"path": container, "readonly": True, "serial": "vc-container"}
        options = {**spec.options, "disks": [*(spec.options.get("disks") or ()), disk]}
        return super().resolve(dataclasses.replace(spec, options=options))
