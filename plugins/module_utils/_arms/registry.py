# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The class of each arm (`_contract.arms`)."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import proofs
from ansible_collections.vcompare.lab.plugins.module_utils._arms.bare import (
    Bare,
    BareAgain,
    BarePlanted,
    XenDom0,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import (
    AGAIN,
    ARMS,
    PLANTED,
)
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError


# Imported when it is asked for: a library like Docker's takes seconds on an emulated host, at each task, also where no
# Docker is. By name and in here: Ansible ships to a host what it finds in import lines.
def _docker() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker import Docker

    return Docker


def _podman() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.podman import Podman

    return Podman


def _kvm() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.kvm import Kvm

    return Kvm


def _xen_pv() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.xen import XenPv

    return XenPv


def _xen_pvh() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.xen import XenPvh

    return XenPvh


def _xen_hvm() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.xen import XenHvm

    return XenHvm


def _docker_in_kvm() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker_in_kvm import (
        DockerInKvm,
    )

    return DockerInKvm


def _docker_in_xen() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker_in_xen import (
        DockerInXen,
    )

    return DockerInXen


_BACKENDS: dict[str, t.Callable[[], type[Base]]] = {
    "bare": lambda: Bare,
    AGAIN: lambda: BareAgain,
    PLANTED: lambda: BarePlanted,
    "docker": _docker,
    "podman": _podman,
    "kvm": _kvm,
    "xen-dom0": lambda: XenDom0,
    "xen-pv": _xen_pv,
    "xen-pvh": _xen_pvh,
    "xen-hvm": _xen_hvm,
    "docker-in-kvm": _docker_in_kvm,
    "docker-in-xen": _docker_in_xen,
}


def own_arm() -> str:
    """Return the arm that is this host itself: what runs there is a process of its own."""
    return XenDom0.arm if proofs.is_dom0() else Bare.arm


def backend(
    arm: str, options: t.Mapping[str, t.Any] | None = None, state_dir: str = STATE_DIR
) -> Base:
    """Return the backend of an arm; it connects to nothing before its first verb.

    :param arm: one of `_contract.arms.MEASURED_ARMS`.
    :param options: the arm's sub-dictionary of options, of which the connection takes its part.
    """
    try:
        kind = _BACKENDS[arm]()
    except KeyError:
        raise BackendError(
            f"there is no arm {arm!r}", remedy=f"Choose from {', '.join(ARMS)}."
        ) from None
    return kind(state_dir, options=options)
