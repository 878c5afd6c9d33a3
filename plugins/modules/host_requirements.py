#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_requirements
short_description: Check that a host has what its arms need
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Fails before anything is made, with all that is missing on the host in one message, each with the command that an
    administrator runs.
  - On a host that is used as it is (O(provision=false)) it looks for programs, daemons that answer, the KVM module, the
    dom0 of a Xen and control groups. A daemon that systemd starts when its socket is asked counts as running.
  - On a host that is provisioned, only what provisioning can't bring is missing. A system on which no packages are
    installed is refused, and what it lacks is named.
extends_documentation_fragment:
  - vcompare.lab.arms.asked
  - vcompare.lab.attributes.info
  - vcompare.lab.host_needs
options:
  arms:
    description:
      - The arms that the host is to carry.
    type: list
    elements: str
    required: true
  required_arms:
    description:
      - The arms that were asked for by name. A processor that can't run KVM is an error for those alone; otherwise KVM
        is left out later.
    type: list
    elements: str
    default: []
  provision:
    description:
      - Whether packages may be installed on the host, and its configuration be changed.
    type: bool
    default: true
  dom0_memory_mib:
    description:
      - The least memory of a dom0 that is used as it is, in MiB.
    type: int
    default: 1024
"""

EXAMPLES = r"""
- name: Check a host that others manage
  vcompare.lab.host_requirements:
    arms: [bare, docker]
    provision: false
    needs:
      - name: Docker's daemon
        used_by: [docker]
        programs: [dockerd]
        packages: [docker-ce]
  become: true
"""

RETURN = r"""
system:
  description: The host's system, as it calls itself.
  returned: always
  type: str
  sample: Ubuntu 24.04.1 LTS
tested:
  description: Whether this collection was tested on it.
  returned: always
  type: bool
missing:
  description: What is missing.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description:
        - V(python), V(package), V(service), V(socket), V(kernel-module), V(device), V(directory), V(processor), V(xen),
          V(dom0-memory) or V(cgroups).
      type: str
    what:
      description: What is missing, in words.
      type: str
    command:
      description: What an administrator runs.
      type: str
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import BY_NAME, CHOICES
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import requirements, systems

_OPTIONS = {
    "arms": {"type": "list", "elements": "str", "required": True, "choices": list(CHOICES)},
    "required_arms": {"type": "list", "elements": "str", "default": [], "choices": list(CHOICES)},
    "provision": {"type": "bool", "default": True},
    "dom0_memory_mib": {"type": "int", "default": 1024},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**systems.OPTIONS, **_OPTIONS}, supports_check_mode=True)
    params = module.params
    arms, provision = params["arms"], params["provision"]
    system = systems.of_host(params["systems"])
    asked = requirements.Asked(
        requirements.technologies(arms),
        kvm_required="kvm" in requirements.technologies(params["required_arms"]),
        cgroups=any(BY_NAME[arm].cgroups for arm in arms),
        dom0_memory_mib=params["dom0_memory_mib"],
    )
    needs = {
        name: systems.needs([need for need in params["needs"] if name in need["used_by"]], system)
        for name in asked.technologies
    }
    result = {"changed": False, "system": system.name, "tested": system.tested}
    if system.notice:
        module.warn(system.notice)
    try:
        missing = requirements.lacks(asked, needs, system, provision)
        result["missing"] = [dataclasses.asdict(lack) for lack in missing]
        requirements.refuse(asked, missing, system, provision)
    except VcompareError as error:
        module.fail_json(**error.as_result(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
