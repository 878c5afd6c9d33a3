#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_manifest
short_description: Say what a host is made of, so that it can be held against another one
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Lists packages, files of C(/etc), C(/boot) and C(/usr/local) by their hash, command lines, settings of the kernel,
    services, networks of libvirt and images of Docker, and the facts that figures depend on.
  - Leaves out what differs between any two machines, and says what that is.
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
- name: Query the contents of the nodes
  vcompare.lab.node_manifest:
  register: made_of
"""

RETURN = r"""
manifest:
  description: What it is made of, by C(packages), C(files), C(cmdline), C(xen_cmdline), C(sysctls), C(services),
    C(networks), C(container_images) and C(daemon_json).
  returned: success
  type: dict
facts:
  description: What M(vcompare.lab.host_facts) returns, but what differs at each boot, and C(cpu_flags).
  returned: success
  type: dict
left_out:
  description: What is not in it, and why.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import node_manifest


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        manifest, facts = node_manifest.collect(), node_manifest.facts()
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(
        changed=False, manifest=manifest, facts=facts, left_out=node_manifest.left_out()
    )


if __name__ == "__main__":
    main()
