#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_boot
short_description: Have a host boot into Xen, with a bounded dom0
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Writes the boot menu with an entry for Xen whose dom0 has a fixed memory, and chooses that entry for the next boot
    only. Run again after the reboot, it verifies from C(/sys/hypervisor) and C(xl info) that the host is dom0, and
    makes the entry the default. A Xen that does not boot so costs one power cycle and no more.
options:
  dom0_memory_mib:
    description:
      - Memory of dom0 in MiB; it neither grows nor shrinks.
    type: int
    default: 1024
  xen_options:
    description:
      - Further options of the hypervisor.
    type: str
    default: ""
  dom0_options:
    description:
      - The kernel command line of dom0, in place of the one that the host has without Xen; empty keeps that.
    type: str
    default: ""
  verify:
    description:
      - Fail when the host is not dom0 now. For the run after the reboot.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: full
    description: Shows the boot settings before and after.
  idempotent:
    support: full
    description: A second run changes nothing.
"""

EXAMPLES = r"""
- name: Have an entry for Xen
  vcompare.lab.xen_boot:
    dom0_memory_mib: 2048
  register: xen

- name: Boot into it
  ansible.builtin.reboot:
  when: xen.reboot_required

- name: Verify, and make it the default
  vcompare.lab.xen_boot:
    dom0_memory_mib: 2048
    verify: true
"""

RETURN = r"""
changes:
  description: What was done, or would be in check mode.
  returned: success
  type: list
  elements: str
reboot_required:
  description: Whether the host runs another system than was set.
  returned: success
  type: bool
dom0:
  description: Whether the host is dom0 of a Xen now.
  returned: success
  type: bool
version:
  description: Version of the running Xen; empty when there is none.
  returned: success
  type: str
  sample: 4.17.7
commandline:
  description: Command line of the running Xen.
  returned: success
  type: str
capabilities:
  description: What kinds of guests the hardware allows, as C(xl info) says (C(pv), C(hvm), C(hap)).
  returned: success
  type: list
  elements: str
entry:
  description: Path of the boot menu's entry.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils.engines.xen_boot import (
    XenBoot,
    hypervisor_options,
    settings_text,
)
from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dom0_memory_mib": {"type": "int", "default": 1024},
            "xen_options": {"type": "str", "default": ""},
            "dom0_options": {"type": "str", "default": ""},
            "verify": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        text = settings_text(
            params["dom0_memory_mib"], params["xen_options"], params["dom0_options"]
        )
        boot = XenBoot(text, module.check_mode, params["verify"])
        options = hypervisor_options(params["dom0_memory_mib"], params["xen_options"])
        result = boot.converge(options)
        if params["verify"] and not module.check_mode and result["reboot_required"]:
            raise VcompareError(
                f"After the reboot the host is not dom0 of a Xen with {' '.join(options)}; Xen's command line: "
                f"{result['commandline'] or 'there is no Xen'}.",
                "See the host's console; it boots its old system unless told otherwise.",
            )
    except VcompareError as error:
        module.fail_json(**error.as_result())
    if boot.diff:
        result["diff"] = {"prepared": boot.diff}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
