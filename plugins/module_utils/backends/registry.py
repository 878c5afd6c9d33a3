# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arms that there are. A new one is its file, and a name in here."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.backends import proofs
from ansible_collections.vcompare.lab.plugins.module_utils.backends.bare import (
    Bare,
    BareAgain,
    BarePlanted,
    XenDom0,
)
from ansible_collections.vcompare.lab.plugins.module_utils.backends.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils.backends.protocol import (
    STATE_DIR,
    BackendError,
)

# Bare once more in each block (A/A): it is measured, and is no technology to choose.
AGAIN = BareAgain.arm
# Bare with an effect of known size in it, to see whether a run finds it: no technology either.
PLANTED = BarePlanted.arm


# Imported when it is asked for: a library like Docker's takes seconds on an emulated host, at each task, also where no
# Docker is. By name and in here: Ansible ships to a host what it finds in import lines.
def _docker() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.docker import Docker

    return Docker


def _podman() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.podman import Podman

    return Podman


def _kvm() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.kvm import Kvm

    return Kvm


def _xen_pv() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.xen import XenPv

    return XenPv


def _xen_pvh() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.xen import XenPvh

    return XenPvh


def _xen_hvm() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.xen import XenHvm

    return XenHvm


def _docker_in_kvm() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.docker_in_kvm import (
        DockerInKvm,
    )

    return DockerInKvm


def _docker_in_xen() -> type[Base]:
    from ansible_collections.vcompare.lab.plugins.module_utils.backends.docker_in_xen import (
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

# All that is measured, and of these what a user can choose.
MEASURED_ARMS: tuple[str, ...] = tuple(_BACKENDS)
ARMS: tuple[str, ...] = tuple(arm for arm in MEASURED_ARMS if arm not in (AGAIN, PLANTED))

# The name of the sub-dictionary with an arm's own options; an arm without one has no options.
OPTION_GROUPS: dict[str, str] = {
    arm: arm.partition("-")[0]
    for arm in ARMS
    if arm not in ("bare", "podman", "xen-dom0") and "-in-" not in arm
}


def own_arm() -> str:
    """Return the arm that is this host itself: what runs there is a process of its own."""
    return XenDom0.arm if proofs.is_dom0() else Bare.arm


def backend(
    arm: str, options: t.Mapping[str, t.Any] | None = None, state_dir: str = STATE_DIR
) -> Base:
    """Return the backend of an arm; it connects to nothing before its first verb.

    :param arm: one of :data:`MEASURED_ARMS`.
    :param options: the arm's sub-dictionary of options, of which the connection takes its part.
    """
    try:
        kind = _BACKENDS[arm]()
    except KeyError:
        raise BackendError(
            f"there is no arm {arm!r}", remedy=f"Choose from {', '.join(ARMS)}."
        ) from None
    return kind(state_dir, options=options)
