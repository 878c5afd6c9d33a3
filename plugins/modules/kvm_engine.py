#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_engine
short_description: Start KVM and libvirt on a host
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Loads the KVM module of the host's processor, now and at each boot, starts C(libvirtd) where it does not run, now
    and at each boot, and reports whether nested paging is in force.
  - The packages must be installed; the role M(vcompare.lab.kvm_engine) belongs to, C(kvm_host), does that.
options:
  dedicated:
    description:
      - Whether the host carries nothing of others, as a node of a nested lab. C(libvirtd) is configured to stay, and
        restarted for it, only there. On any other host a libvirt that runs is left as it is.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: >-
      Says what would be done. On a host without libvirt, the plan is that of a host on which its packages were just
      installed.
  diff_mode:
    support: full
    description: Shows files, units and modules.
  idempotent:
    support: full
    description: A second run changes nothing.
"""

EXAMPLES = r"""
- name: Start KVM
  vcompare.lab.kvm_engine:
  become: true
"""

RETURN = r"""
plan:
  description: What is, or would be, done; see M(vcompare.lab.host_packages).
  returned: success
  type: list
  elements: dict
module:
  description: The kernel module.
  returned: success
  type: str
  sample: kvm_amd
nested_paging:
  description: Whether the hardware does the second level of address translation; null when it can't be told.
  returned: success
  type: bool
device:
  description: Whether C(/dev/kvm) is there.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import kvm_engine


def main() -> None:
    module = AnsibleModule(
        argument_spec={"dedicated": {"type": "bool", "default": False}}, supports_check_mode=True
    )
    try:
        result = kvm_engine.converge(module.check_mode, module.params["dedicated"])
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
