#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Say what a host under test is
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Reads what a report must say of a host whose figures it shows, namely its kernel, processors,
    memory, clock source, mitigations, the versions of container engines and hypervisors, and what
    the host itself stands on.
  - Finds the image that the host has for its instances.
  - Starts a single program, since hosts may be emulated and slow.
options:
  image_digest:
    description:
      - Digest of the image to look for, V(sha256:) first. Without it, the newest one is taken.
    type: str
    default: ""
  cpuset:
    description:
      - The processors of the instances, such as V(0-3); empty for all. Warnings are about these.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Nothing is changed, so check mode does the same.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: Nothing is changed.
"""

EXAMPLES = r"""
- name: See what the hosts are
  vcompare.lab.host_facts:
  register: host
"""

RETURN = r"""
facts:
  description:
    - What the host is. The same is kept in C(facts/<host>.json) of a run's bundle.
  returned: success
  type: dict
  contains:
    substrate:
      description: >-
        V(metal) where that is established, V(nested-tcg) for an emulated machine, V(nested-kvm) for a node of a
        nested lab under KVM, V(vm) for any other virtual machine, V(unknown) where nothing tells.
      type: str
      returned: success
      sample: nested-tcg
    hypervisor_signature:
      description: The CPUID signature of the hypervisor below, empty without one.
      type: str
      returned: success
      sample: TCGTCGTCGTCG
    hardware:
      description: >-
        Frequency governors and drivers, turbo, SMT, NUMA nodes, microcode, version of the control groups. What the
        host does not show is null.
      type: dict
      returned: success
    warnings:
      description: What spoils measurements on real hardware, each with the command that changes it.
      type: list
      elements: dict
      contains:
        code:
          description: V(governor), V(turbo), V(smt) or V(numa).
          type: str
        text:
          description: What it does, and the command.
          type: str
      returned: success
    versions:
      description: Versions of what is installed.
      type: dict
      returned: success
      sample: {"docker": "20.10.24+dfsg1-1+deb12u1", "runc": "1.1.5+ds1-1+deb12u1"}
image:
  description:
    - The image's description, with C(paths) to its parts on the host and the names of parts that
      are C(missing); null when the host has no image.
  returned: success
  type: dict
others:
  description:
    - Further images that were brought to the host, by their role, each with the C(files) that are there and their
      SHA-256.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._host import facts, hardware


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "image_digest": {"type": "str", "default": ""},
            "cpuset": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    collected = facts.collect(module.params["image_digest"])
    collected["warnings"] = hardware.warnings(
        collected["hardware"], collected["substrate"], module.params["cpuset"]
    )
    for warning in collected["warnings"]:
        module.warn(warning["text"])
    image, others = collected.pop("image"), collected.pop("others")
    module.exit_json(changed=False, facts=collected, image=image, others=others)


if __name__ == "__main__":
    main()
