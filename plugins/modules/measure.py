#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: measure
short_description: Measure one block on one host
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - For each arm in turn, makes a fresh instance, times its start from outside, lets the arm prove
    what it is, checks its root file system from inside, runs the workloads, and removes it.
  - The order of the arms is drawn from O(seed), balanced over the blocks of a run.
  - An arm that does not work, or that can't be trusted, is recorded with the reason, and does not
    keep the other arms from being measured.
  - What else the host and the controller did at the time is recorded, for the gates that judge it.
  - The samples are written into the bundle of the run on the controller. A block that the bundle
    has already is not measured again, so a run that was interrupted goes on where it was.
options:
  bundle:
    description:
      - The run's folder on the controller, opened by M(vcompare.lab.bundle).
    type: path
    required: true
  run:
    description:
      - Name of the run.
    type: str
    required: true
  seed:
    description:
      - What the order of the arms is drawn from.
    type: int
    required: true
  block:
    description:
      - Number of this block, from 1.
    type: int
    required: true
  blocks:
    description:
      - Number of blocks of the run; the least number of them with O(max_blocks).
    type: int
    required: true
  max_blocks:
    description:
      - Number of blocks that the run has at most. By default, as many as O(blocks).
    type: int
  host:
    description:
      - Name of the host in samples. The controller sets it to the name in the inventory.
    type: str
    default: localhost
  arms:
    description:
      - The arms of this host. In which order they are given does not matter.
      - V(bare-again) is V(bare) once more in the same block. What differs between the two is noise.
      - V(bare-planted) is V(bare) that starts 50 ms late, and has 0.8 of its CPUs once it is ready.
        Whether a run finds that shows how far it can be trusted.
    type: list
    elements: str
    required: true
  boot:
    description:
      - What a host that takes turns between plain Linux and Xen is booted into. Of O(arms) those are measured that
        belong there, and the bundle has them under the host's name, with C(+xen) where it is Xen.
      - A host that runs the other system is refused. Empty for a host that takes no turns.
    type: str
    choices: ['', linux, xen]
    default: ''
  scenarios:
    description:
      - What to measure. The names are those of the workloads, and V(startup).
    type: list
    elements: str
    required: true
  iterations:
    description:
      - How many iterations of each workload count in one instance.
    type: int
    default: 2
  warmups:
    description:
      - How many short iterations, which are kept and marked, come before those that count.
    type: int
    default: 1
  seconds:
    description:
      - How long one iteration of a workload of fixed time takes.
    type: int
    default: 2
  loops:
    description:
      - How much one iteration of a workload of fixed work does, by scenario.
    type: dict
    default: {}
  image:
    description:
      - The one root file system and its exports on the host, as M(vcompare.lab.host_facts) finds
        them.
    type: dict
    required: true
    suboptions:
      rootfs:
        description: Block device or file with the root file system.
        type: path
        required: true
      kernel:
        description: Kernel of virtual machines.
        type: path
        default: ""
      initrd:
        description: Initrd of virtual machines.
        type: path
        default: ""
      container:
        description: Image archive for containers.
        type: path
        default: ""
      reference:
        description: Name of the container image.
        type: str
        default: ""
      digest:
        description: Digest of the whole tree.
        type: str
        required: true
      quick_digest:
        description: Digest of the tree's names, types, modes, sizes and link targets.
        type: str
        required: true
  images:
    description:
      - Further images that are on the host, by their role; experiments with other systems need them.
      - Each has the keys of O(image).
    type: dict
    default: {}
  peers:
    description:
      - Second hosts of single arms, for which M(vcompare.lab.pool_access) was called; without one, V(pool) is refused.
    type: list
    elements: dict
    default: []
    suboptions:
      arm:
        description: The arm that it carries as well.
        type: str
        required: true
      name:
        description: Its name in the inventory.
        type: str
        required: true
      address:
        description: Where the host under test reaches it; a name is looked up there.
        type: str
        required: true
      local:
        description: The address of the host under test on that way; a name stands for the one that its routes choose.
        type: str
        required: true
      host_key:
        description: Its public host key of type ed25519, without a comment.
        type: str
        required: true
      nested:
        description: Whether it is a node of a nested lab, which may be reset.
        type: bool
        default: false
      port:
        description: Port of its sshd.
        type: int
        default: 22
  vcpus:
    description:
      - CPUs of an instance.
    type: int
    default: 1
  memory_mib:
    description:
      - Memory of an instance in MiB.
    type: int
    default: 256
  cpuset:
    description:
      - CPUs of the host for instances, like V(1) or V(2-3). Without it, the last O(vcpus) ones.
    type: str
    default: ""
  full_digest:
    description:
      - Whether to read all of the root file system for its check, or names and sizes only. By
        default, all of it in the first block of a run.
    type: bool
  timeout_factor:
    description:
      - How much slower than an ordinary machine the host may be; all deadlines are multiplied by
        it.
    type: float
    default: 1.0
  company:
    description:
      - Whether experiments may make further instances beside the one that is measured, each of which takes a start.
        Without it, what needs them is left out.
    type: bool
    default: true
  lost:
    description:
      - Arms that are not measured, since the host did not survive it, with what was seen of that. Each is recorded as
        failed. The controller tells, when a host that it lost is there again.
    type: dict
    default: {}
  owner:
    description:
      - Owner in the marker of the instances. Instances of this owner that an interrupted run left
        are removed first.
    type: str
    default: measure
attributes:
  check_mode:
    support: full
    description: Says which arms would be measured, and which are not possible.
  diff_mode:
    support: none
    description: Instances are gone when the module ends, so there is nothing to compare.
  idempotent:
    support: full
    description: A block that the bundle has already is not measured again.
  action:
    support: full
    description: The order of the arms and the bundle are the controller's part.
seealso:
  - module: vcompare.lab.bundle
  - module: vcompare.lab.host_facts
"""

EXAMPLES = r"""
- name: Measure the first of five blocks
  vcompare.lab.measure:
    bundle: "{{ opened.path }}"
    run: "{{ opened.run }}"
    seed: "{{ opened.seed }}"
    block: 1
    blocks: 5
    arms: [bare, docker, kvm]
    scenarios: [startup, cpu]
    image:
      rootfs: /dev/disk/by-id/virtio-vc-rootfs
      kernel: /run/vcompare/kit/vmlinux
      initrd: /run/vcompare/kit/initrd.img
      container: /run/vcompare/kit/container.tar
      reference: vcompare/guest:0123456789ab
      digest: "{{ host.image.digest }}"
      quick_digest: "{{ host.image.quick_digest }}"
"""

RETURN = r"""
block:
  description: Number of the block.
  returned: always
  type: int
  sample: 3
blocks:
  description: Number of blocks of the run, as far as it is known by now.
  returned: always
  type: int
  sample: 5
at_least:
  description: Whether there may be more blocks than that.
  returned: always
  type: bool
  sample: false
host:
  description: The host's name in the inventory.
  returned: always
  type: str
  sample: lab-linux
arms:
  description: How each arm fared, in the order of their turns.
  returned: success
  type: list
  elements: dict
  sample: [{"arm": "kvm", "status": "ok", "reason": null}]
samples:
  description: Number of samples that were added to the bundle.
  returned: success
  type: int
  sample: 14
skipped:
  description: Whether the bundle has this block already.
  returned: success
  type: bool
  sample: false
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._arms import proofs, registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image
from ansible_collections.vcompare.lab.plugins.module_utils._block import block
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import MEASURED_ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import abandoned, hostlock
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.client import Peer
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import WorkSpec
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.registry import (
    SCENARIOS,
)

# An interrupted measurement may still be removing its instance.
_CLEAN_UP_S = 30.0

ARGUMENTS: dict[str, t.Any] = {
    "bundle": {"type": "path", "required": True},
    "run": {"type": "str", "required": True},
    "seed": {"type": "int", "required": True},
    "block": {"type": "int", "required": True},
    "blocks": {"type": "int", "required": True},
    "max_blocks": {"type": "int"},
    "host": {"type": "str", "default": "localhost"},
    "arms": {"type": "list", "elements": "str", "required": True},
    "boot": {"type": "str", "choices": ["", "linux", "xen"], "default": ""},
    "scenarios": {"type": "list", "elements": "str", "required": True},
    "iterations": {"type": "int", "default": 2},
    "warmups": {"type": "int", "default": 1},
    "seconds": {"type": "int", "default": 2},
    "loops": {"type": "dict", "default": {}},
    "image": {
        "type": "dict",
        "required": True,
        "options": {
            "rootfs": {"type": "path", "required": True},
            "kernel": {"type": "path", "default": ""},
            "initrd": {"type": "path", "default": ""},
            "container": {"type": "path", "default": ""},
            "reference": {"type": "str", "default": ""},
            "digest": {"type": "str", "required": True},
            "quick_digest": {"type": "str", "required": True},
        },
    },
    "images": {"type": "dict", "default": {}},
    "peers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "arm": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "local": {"type": "str", "required": True},
            # A public key: no secret.
            "host_key": {"type": "str", "required": True, "no_log": False},
            "nested": {"type": "bool", "default": False},
            "port": {"type": "int", "default": 22},
        },
    },
    "vcpus": {"type": "int", "default": 1},
    "memory_mib": {"type": "int", "default": 256},
    "cpuset": {"type": "str", "default": ""},
    "full_digest": {"type": "bool"},
    "timeout_factor": {"type": "float", "default": 1.0},
    "company": {"type": "bool", "default": True},
    "lost": {"type": "dict", "default": {}},
    "owner": {"type": "str", "default": "measure"},
}


def plan_of(params: t.Mapping[str, t.Any]) -> block.Plan:
    """Make the plan of a block out of the module's parameters, or say what is wrong with them."""
    for name, known in (("arms", MEASURED_ARMS), ("scenarios", SCENARIOS)):
        unknown = sorted(set(params[name]) - set(known))
        if unknown:
            raise ValueError(
                f"{name}: there is no {', '.join(unknown)}; choose from {', '.join(known)}"
            )
    for name in ("block", "iterations", "seconds", "vcpus", "memory_mib", "timeout_factor"):
        if not params[name] > 0:
            raise ValueError(f"{name}: {params[name]} is not above zero")
    if params["warmups"] < 0:
        raise ValueError(f"warmups: {params['warmups']} is below zero")
    return block.Plan(
        run=params["run"],
        block=params["block"],
        host=params["host"],
        arms=params["arms"],
        scenarios=params["scenarios"],
        iterations=params["iterations"],
        warmups=params["warmups"],
        work=WorkSpec(
            vcpus=params["vcpus"],
            memory_mib=params["memory_mib"],
            seconds=params["seconds"],
            loops={name: int(count) for name, count in params["loops"].items()},
        ),
        image=Image(**params["image"]),
        cpuset=params["cpuset"],
        owner=params["owner"],
        full_digest=bool(params["full_digest"]),
        timeout_factor=params["timeout_factor"],
        company=params["company"],
        lost={arm: str(how) for arm, how in params["lost"].items()},
        images=_images(params["images"]),
        peers={
            peer["arm"]: Peer(**{key: value for key, value in peer.items() if key != "arm"})
            for peer in params["peers"]
        },
    )


def _images(given: t.Mapping[str, t.Any]) -> dict[str, Image]:
    """Make the further images out of plain data, or say what is wrong with it."""
    try:
        return {role: Image(**fields) for role, fields in given.items()}
    except TypeError as error:
        raise ValueError(f"images: {error}") from None


def _check_boot(boot: str) -> None:
    """Refuse to measure a host that takes turns in the other system than that of the block.

    One that was reset comes back in plain Linux, where Xen's arms would all be recorded as failed.
    """
    in_xen = proofs.is_dom0()
    if boot and in_xen != (boot == "xen"):
        raise ValueError(
            f"The host runs {'Xen' if in_xen else 'plain Linux'}, and this block is one of "
            f"{'Xen' if boot == 'xen' else 'plain Linux'}: it was rebooted by something else. See its console and "
            "journal; go on with the same run (vcompare compare --resume)."
        )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        plan = plan_of(module.params)
        if module.check_mode:
            reasons = {arm: registry.backend(arm).available() for arm in plan.arms}
            module.exit_json(changed=True, would_measure=list(plan.arms), impossible=reasons)
        _check_boot(module.params["boot"])
        lock = hostlock.measuring(timeout_s=_CLEAN_UP_S * plan.timeout_factor)
        with abandoned.ends_when_abandoned(), lock:
            measured = block.measure(plan, registry.backend)
    except ValueError as error:
        module.fail_json(msg=str(error))
    except BackendError as error:
        module.fail_json(**error.as_result())
    except abandoned.Abandoned:
        module.fail_json(msg="the measurement was ended: nobody waits for its result any more")
    module.exit_json(changed=True, measured=measured)


if __name__ == "__main__":
    main()
