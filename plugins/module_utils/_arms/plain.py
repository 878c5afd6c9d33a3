# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between a module's parameters and results, which are plain data, and the protocol's types."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import foreign
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Image,
    Info,
    InstanceSpec,
)
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import OPTION_GROUPS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

Plain = dict[str, t.Any]


def image_of(given: t.Mapping[str, t.Any] | None) -> Image | None:
    """Return an image from a mapping with its fields; None stays None."""
    if not given:
        return None
    return Image(**{key: value for key, value in given.items() if value is not None})


def spec_of(params: t.Mapping[str, t.Any]) -> InstanceSpec:
    """Return what an instance shall be from the parameters of a module.

    :raises BackendError: when options of another arm were given.
    """
    arm = params["arm"]
    group = OPTION_GROUPS.get(arm, "")
    for other in sorted(set(OPTION_GROUPS.values()) - {group}):
        if params.get(other):
            raise BackendError(
                f"{params['name']}: options of {other} were given, and the arm is {arm}",
                remedy=f"Leave out {other}, or choose another arm.",
            )
    given = params.get(group) if group else None
    return InstanceSpec(
        name=params["name"],
        owner=params["owner"],
        vcpus=params["vcpus"],
        memory_mib=params["memory_mib"],
        image=image_of(params["image"]),
        command=tuple(params["command"]),
        cpuset=params["cpuset"] or "",
        data_mib=params["data_mib"],
        options={key: value for key, value in (given or {}).items() if value is not None},
    )


def info_as_dict(info: Info) -> Plain:
    """Return what an instance is as a module returns it."""
    details = dict(info.details)
    return {
        "name": info.name,
        "arm": info.arm,
        "state": info.state,
        "owner": details.pop("owner", ""),
        "address": info.address,
        "vcpus": info.vcpus,
        "memory_mib": info.memory_mib,
        "details": details,
    }


def check_ours(info: Info, owner: str) -> None:
    """Refuse to touch what is someone else's.

    :raises BackendError: when the thing has no marker, or belongs to another owner.
    """
    if info.state == "absent":
        return
    if not info.ours:
        raise foreign(info.arm, info.name)
    found = info.details.get("owner", "")
    if found and found != owner:
        raise BackendError(
            f"{info.name} belongs to the owner {found!r}, and not to {owner!r}",
            remedy=f"Give owner: {found} if it is yours, or choose another name.",
        )
