#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_info
short_description: List the instances of a host, and the arms that it can't carry
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Lists what M(vcompare.lab.instance) made on a host, from its marker, also what was left by an
    attempt that was interrupted.
extends_documentation_fragment:
  - vcompare.lab.arms
  - vcompare.lab.attributes.info
options:
  names:
    description:
      - Only instances of these names. One that is not there is left out.
    type: list
    elements: str
  arms:
    description:
      - Only these arms; all of them without it.
    type: list
    elements: str
  prove:
    description:
      - Let each running instance prove what it is, from inside and from outside.
    type: bool
    default: false
  docker:
    description:
      - How to reach Docker.
    type: dict
    suboptions:
      base_url:
        description: Where the daemon is, V(unix:///run/docker.sock) by default.
        type: str
  kvm:
    description:
      - How to reach libvirt.
    type: dict
    suboptions:
      uri:
        description: The libvirt daemon, V(qemu:///system) by default.
        type: str
notes:
  - Runs on the host of the arms, as root, with the system's own Python.
seealso:
  - module: vcompare.lab.instance
"""

EXAMPLES = r"""
- name: What is there
  vcompare.lab.instance_info:
  become: true
  register: found

- name: Remove it
  vcompare.lab.instance:
    name: "{{ item.name }}"
    arm: "{{ item.arm }}"
    owner: "{{ item.owner }}"
    state: absent
  become: true
  loop: "{{ found.instances }}"
"""

RETURN = r"""
instances:
  description: Each instance, by arm and name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: vc-web
    arm:
      description: Its technology.
      type: str
      sample: kvm
    state:
      description: V(stopped), V(running) or V(broken) (half-made).
      type: str
      sample: running
    owner:
      description: Who it belongs to.
      type: str
      sample: default
    address:
      description: IPv4 address that the host reaches it at.
      type: str
      sample: 10.213.20.77
    vcpus:
      description: Number of its CPUs; null when it does not run.
      type: int
      sample: 1
    memory_mib:
      description: Its memory in MiB; null when it does not run.
      type: int
      sample: 256
    details:
      description: The arm's own words, like a container's id or a domain's uuid.
      type: dict
    proofs:
      description: Observations of what it is; empty without O(prove).
      type: list
      elements: dict
      contains:
        name:
          description: What was observed.
          type: str
          sample: cpuid-signature
        source:
          description: V(inside) it, or from V(outside).
          type: str
          sample: inside
        expected:
          description: What is to be seen when it is what it says.
          type: str
          sample: KVMKVMKVM
        observed:
          description: What was seen.
          type: str
          sample: KVMKVMKVM
        holds:
          description: Whether that is a proof.
          type: bool
unavailable:
  description: Arms that this host can't carry, and why.
  returned: success
  type: list
  elements: dict
  contains:
    arm:
      description: Name of the arm.
      type: str
      sample: xen-pv
    reason:
      description: Why.
      type: str
      sample: this host is not the control domain of a Xen; boot it with Xen (role xen_host)
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._arms import registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.plain import info_as_dict
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import (
    ARMS,
    MEASURED_ARMS,
    OPTION_GROUPS,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError


def collect(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the instances of each arm, and the arms that can't be."""
    instances: list[dict[str, t.Any]] = []
    unavailable: list[dict[str, str]] = []
    names = params["names"]
    for arm in params["arms"] or MEASURED_ARMS:
        options = params.get(OPTION_GROUPS.get(arm, "")) or {}
        backend = registry.backend(arm, options)
        reason = backend.available()
        if reason:
            unavailable.append({"arm": arm, "reason": reason})
            continue
        for info in backend.list():
            if names is not None and info.name not in names:
                continue
            prove = params["prove"] and info.state == "running"
            proofs = backend.identify(info.name) if prove else ()
            instances.append(
                {**info_as_dict(info), "proofs": [dataclasses.asdict(proof) for proof in proofs]}
            )
    return {"instances": instances, "unavailable": unavailable}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str"},
            "arms": {
                "type": "list",
                "elements": "str",
                "choices": list(ARMS),
            },
            "prove": {"type": "bool", "default": False},
            "docker": {"type": "dict", "options": {"base_url": {"type": "str"}}},
            "kvm": {"type": "dict", "options": {"uri": {"type": "str"}}},
        },
        supports_check_mode=True,
    )
    try:
        result = collect(module.params)
    except BackendError as error:
        module.fail_json(msg=error.message, remedy=error.remedy, evidence=error.evidence)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
