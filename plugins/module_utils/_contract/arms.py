# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arms: one row each, and the tables that follow from the rows.

Roles read the tables through the lookup ``vcompare.lab.contract``; the choices of modules and the tables of the
documentation are tested against them.
"""

from __future__ import annotations

import dataclasses
import typing as t

# What an instance of an arm is.
PROCESS, CONTAINER, MACHINE, CONTAINER_IN_MACHINE = (
    "process",
    "container",
    "machine",
    "container-in-machine",
)
# The systems that a host may be booted into.
LINUX, XEN = "linux", "xen"

_DISK = ("rootfs.ext4", "vmlinux", "initrd.img")
_TAR = ("container.tar",)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to run a workload.

    :param technology: what its host must have: ``docker``, ``podman``, ``kvm``, ``xen``, or ``bare`` for nothing.
    :param instance: `PROCESS`, `CONTAINER`, `MACHINE` or `CONTAINER_IN_MACHINE`.
    :param options: name of the dictionary with its own options in module `instance`; empty where it has none.
    :param image_files: files of the guest image that its host needs.
    :param images: further images that it needs.
    :param cgroups: whether the host's control groups limit its instances.
    :param nested: whether a virtual host needs nested virtualisation for it.
    :param peers: whether it has a second host in the scenario pool.
    :param choice: whether a user chooses it; ``bare-again`` is measured wherever ``bare`` is.
    :param default: whether it is measured where no one names arms and the profile does not.
    """

    name: str
    technology: str
    instance: str
    options: str = ""
    image_files: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    cgroups: bool = False
    nested: bool = False
    peers: bool = False
    choice: bool = True
    default: bool = True

    @property
    def group(self) -> str:
        """The inventory group of hosts that carry it."""
        return f"{self.technology}_hosts"

    @property
    def peer_group(self) -> str:
        """The inventory group of its second hosts; empty where it has none."""
        return f"{self.technology}_peers" if self.peers else ""

    @property
    def boot(self) -> str:
        """The system that its host runs."""
        return XEN if self.technology == "xen" else LINUX


BARE = "bare"
# Bare once more in each block: what differs between the two is noise (A/A).
AGAIN = "bare-again"
# Bare with an effect of known size in it: whether a run finds that checks the whole way from instance to interval.
PLANTED = "bare-planted"

# In the order in which they are shown.
ROWS: tuple[Arm, ...] = (
    Arm(BARE, "bare", PROCESS, cgroups=True),
    Arm(AGAIN, "bare", PROCESS, cgroups=True, choice=False),
    Arm(PLANTED, "bare", PROCESS, cgroups=True, default=False),
    Arm("docker", "docker", CONTAINER, "docker", _TAR, cgroups=True, peers=True),
    Arm("podman", "podman", CONTAINER, "", _TAR, cgroups=True),
    Arm("kvm", "kvm", MACHINE, "kvm", _DISK, nested=True, peers=True),
    Arm("xen-dom0", "xen", PROCESS),
    Arm("xen-pv", "xen", MACHINE, "xen", _DISK, peers=True),
    Arm("xen-pvh", "xen", MACHINE, "xen", _DISK, nested=True, peers=True),
    Arm("xen-hvm", "xen", MACHINE, "xen", (*_DISK, "vmlinuz"), nested=True, peers=True),
    Arm("docker-in-kvm", "kvm", CONTAINER_IN_MACHINE, images=("docker-host",)),
    Arm("docker-in-xen", "xen", CONTAINER_IN_MACHINE, images=("docker-host",)),
)
BY_NAME: t.Mapping[str, Arm] = {arm.name: arm for arm in ROWS}

# All that is measured, and of these what a user may choose, with and without the planted effect.
MEASURED_ARMS: tuple[str, ...] = tuple(BY_NAME)
CHOICES: tuple[str, ...] = tuple(arm.name for arm in ROWS if arm.choice)
ARMS: tuple[str, ...] = tuple(name for name in CHOICES if name != PLANTED)


def _by(key: t.Callable[[Arm], str], rows: t.Iterable[Arm]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for arm in rows:
        if key(arm):
            found[key(arm)] = (*found.get(key(arm), ()), arm.name)
    return found


# docs/contracts.md, "Inventory": the arms of a host follow from its groups, and so do those of a second host.
ARMS_OF_GROUP: t.Mapping[str, tuple[str, ...]] = _by(lambda arm: arm.group, ROWS)
ARMS_OF_PEERS: t.Mapping[str, tuple[str, ...]] = _by(lambda arm: arm.peer_group, ROWS)
ARMS_OF_TECHNOLOGY: t.Mapping[str, tuple[str, ...]] = _by(lambda arm: arm.technology, ROWS)
XEN_ARMS: tuple[str, ...] = ARMS_OF_TECHNOLOGY["xen"]
XEN_GROUP = BY_NAME["xen-dom0"].group
GROUPS: tuple[str, ...] = tuple(ARMS_OF_GROUP)
PEER_GROUPS: tuple[str, ...] = tuple(ARMS_OF_PEERS)
# Arms that are compared with others: nothing is around the application there.
WITHOUT_TECHNOLOGY: tuple[str, ...] = tuple(arm.name for arm in ROWS if arm.instance == PROCESS)
WITHIN_ANOTHER: tuple[str, ...] = tuple(
    arm.name for arm in ROWS if arm.instance == CONTAINER_IN_MACHINE
)
NESTING_ARMS: tuple[str, ...] = tuple(arm.name for arm in ROWS if arm.nested)
OPTION_GROUPS: t.Mapping[str, str] = {arm.name: arm.options for arm in ROWS if arm.options}

# What the lookup `contract` gives to roles, as lists and dictionaries.
TABLES: t.Mapping[str, t.Any] = {
    "arms": ARMS,
    "choices": CHOICES,
    "measured": MEASURED_ARMS,
    "arms_of_group": ARMS_OF_GROUP,
    "arms_of_peers": ARMS_OF_PEERS,
    "arms_of_technology": ARMS_OF_TECHNOLOGY,
    "not_by_default": tuple(arm.name for arm in ROWS if not arm.default),
    "limited_by_cgroups": tuple(arm.name for arm in ROWS if arm.cgroups),
    "images_of_arm": {arm.name: arm.images for arm in ROWS if arm.images},
    "image_files_of_arm": {arm.name: arm.image_files for arm in ROWS if arm.image_files},
}


def arm_order(arm: str) -> tuple[int, str]:
    """Return a sort key: known arms in their order, others after them by name."""
    return (MEASURED_ARMS.index(arm) if arm in BY_NAME else len(MEASURED_ARMS), arm)
