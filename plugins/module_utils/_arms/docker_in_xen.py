# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker in a guest of Xen. PVH: the leanest guest that has the processor's own virtualisation."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker_inside import DockerInside
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Record
from ansible_collections.vcompare.lab.plugins.module_utils._arms.xen import Value, XenPvh


class DockerInXen(DockerInside, XenPvh):
    """A container in a PVH guest of Xen."""

    arm = "docker-in-xen"
    archive_device = "/dev/xvdb"

    def config(self, spec: InstanceSpec, record: Record) -> dict[str, Value]:
        """Return an instance's configuration for xl."""
        config = super().config(spec, record)
        archive = spec.image.container if spec.image is not None else ""
        disks = t.cast("t.Sequence[str]", config["disk"])
        return config | {"disk": [*disks, f"format=raw,vdev=xvdb,access=r,target={archive}"]}
