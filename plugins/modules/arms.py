#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: arms
short_description: Get the arms of a host ready for instances
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Does what belongs to no instance, so that no instance's start pays for it. Loads the container image, makes networks
    and keys, has libvirt ask QEMU what it can do.
  - An arm that this host can't carry is reported with the reason; the others are made ready all the same.
extends_documentation_fragment:
  - vcompare.lab.arms
options:
  arms:
    description:
      - The arms.
    type: list
    elements: str
    required: true
  image_digest:
    description:
      - Digest of the image; empty for the newest one that the host has.
    type: str
    default: ""
  owner:
    description:
      - Owner in the marker of what is made.
    type: str
    default: default
attributes:
  check_mode:
    support: partial
    details:
      - Says which arms this host can carry, not what would be made for them.
    description: Nothing is made.
  diff_mode:
    support: none
    description: There is no text to compare.
  idempotent:
    support: full
    description: What is ready stays as it is.
"""

EXAMPLES = r"""
- name: Get Docker and KVM ready
  vcompare.lab.arms:
    arms: [docker, kvm]
  become: true
"""

RETURN = r"""
arms:
  description: For each arm whether it is ready, and the reason if it is not.
  returned: success
  type: list
  elements: dict
  contains:
    arm:
      description: Name of the arm.
      type: str
    ready:
      description: Whether instances can be made.
      type: bool
    reason:
      description: Why not; empty when it is ready.
      type: str
"""

import concurrent.futures
import itertools
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._arms.registry import backend
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import facts

_PROBE = "vc-ready"


def _ready(arm: str, image: Image, owner: str, check_mode: bool) -> dict[str, t.Any]:
    there = backend(arm)
    try:
        reason = there.available()
        if not reason and not check_mode:
            spec = InstanceSpec(name=f"{_PROBE}-{arm}", owner=owner, image=image)
            try:
                there.prepare(spec)
            finally:
                there.destroy(spec.name, 120.0)
    except VcompareError as error:
        reason = error.text
    return {"arm": arm, "ready": not reason, "reason": reason}


def _technology(arm: str) -> str:
    return arm.partition("-")[0]


def _all_ready(
    arms: t.Sequence[str], image: Image, owner: str, check_mode: bool
) -> list[dict[str, t.Any]]:
    """Have each arm ready, in the order that was asked for.

    Technologies don't wait for each other: Docker unpacks an image while libvirt asks QEMU what it can do. Arms of one
    technology do, since they share its bridge.
    """

    def one_technology(names: t.Sequence[str]) -> list[dict[str, t.Any]]:
        return [_ready(name, image, owner, check_mode) for name in names]

    groups = [list(names) for _name, names in itertools.groupby(sorted(set(arms)), _technology)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(len(groups), 1)) as pool:
        found = {each["arm"]: each for part in pool.map(one_technology, groups) for each in part}
    return [found[arm] for arm in arms]


def _image(digest: str) -> Image:
    found = facts.image(digest)
    if found is None or found["missing"]:
        raise VcompareError(
            "The host has no whole guest image: there is nothing to make instances from.",
            "The roles guest_image (real hosts) and nested_lab (nested ones) bring it.",
        )
    return Image(
        **found["paths"],
        reference=found["reference"],
        digest=found["digest"],
        quick_digest=found.get("quick_digest", ""),
    )


def _planned(arms: t.Sequence[str], error: VcompareError) -> dict[str, t.Any]:
    """The result where there is no image because nothing was brought to the host yet."""
    found = [{"arm": arm, "ready": False, "reason": error.message} for arm in arms]
    return {"changed": False, "arms": found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "arms": {
                "type": "list",
                "elements": "str",
                "required": True,
                "choices": list(ARMS),
            },
            "image_digest": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": "default"},
        },
        supports_check_mode=True,
    )
    try:
        image = _image(module.params["image_digest"])
    except VcompareError as error:
        if module.check_mode:
            module.exit_json(**_planned(module.params["arms"], error))
        module.fail_json(**error.as_result())
    owner = module.params["owner"]
    arms = _all_ready(module.params["arms"], image, owner, module.check_mode)
    # What is made here is made once and looked at each time, so it is not a change of the host to report.
    module.exit_json(changed=False, arms=arms)


if __name__ == "__main__":
    main()
