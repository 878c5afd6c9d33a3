#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: xen_boot
short_description: Boot a host into Xen, with a bounded dom0
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Writes the boot menu with an entry for Xen whose dom0 has a fixed memory, and chooses that entry for the next boot
    only. Run again after the reboot, it verifies from C(/sys/hypervisor) and C(xl info) that the host is dom0, and
    makes the entry the default. A Xen that does not boot so costs one power cycle and no more.
  - A host on which GRUB can't clear a one-time entry (C(/boot/grub) on LVM, RAID, btrfs, ZFS) is refused before
    anything is changed. So is one whose own settings set another value of an option than ours; the file is named.
  - A host that is dom0 already, without our settings, is used as it is where its dom0 has at least the wanted memory.
  - What is changed is recorded in the host's journal first.
options:
  dom0_memory_mib:
    description:
      - Memory of dom0 in MiB; it neither grows nor shrinks. For a dom0 that is there already, the least.
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
  preflight:
    description:
      - Change nothing, and fail where a reboot is needed and is not allowed or not safe. To be run before packages
        are installed.
    type: bool
    default: false
  keep_default:
    description:
      - Only ensure that Xen's packages leave the default entry of the boot menu as it is. To be run before they are
        installed; where they are, nothing is changed.
    type: bool
    default: false
  shares:
    description:
      - The host takes turns between plain Linux and Xen. The boot entry is written, its default stays plain Linux, and
        it is not rebooted. A host whose default is Xen is refused.
    type: bool
    default: false
  turn:
    description:
      - What a host that takes turns shall run next. V(xen) chooses Xen's entry for one boot only; for V(linux), its
        default does. With O(verify), fail when it does not run it.
      - Needs a boot entry that O(shares) has written.
    type: str
    choices: [linux, xen]
  allow:
    description:
      - What may be done to the host. V(reboot) permits its reboot; V(restart) permits interrupting containers and
        virtual machines that run on it.
    type: list
    elements: str
    choices: [restart, reboot]
    default: []
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
- name: Add an entry for Xen
  vcompare.lab.xen_boot:
    dom0_memory_mib: 2048
    allow: [reboot]
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
plan:
  description: What is, or would be, done; see M(vcompare.lab.host_packages).
  returned: success, and in check mode also where it is refused
  type: list
  elements: dict
reboot_required:
  description: Whether the host runs another system than was set.
  returned: success
  type: bool
as_found:
  description: Whether the host is a dom0 that somebody else set up, and good enough as it is.
  returned: success
  type: bool
dom0_memory_mib:
  description: Memory that dom0 really has, in MiB; null without Xen.
  returned: success
  type: int
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
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import xen_packages
from ansible_collections.vcompare.lab.plugins.module_utils._engines.turns import SharedBoot
from ansible_collections.vcompare.lab.plugins.module_utils._engines.xen_boot import Wanted, XenBoot

_OPTIONS = {
    "dom0_memory_mib": {"type": "int", "default": 1024},
    "xen_options": {"type": "str", "default": ""},
    "dom0_options": {"type": "str", "default": ""},
    "verify": {"type": "bool", "default": False},
    "preflight": {"type": "bool", "default": False},
    "keep_default": {"type": "bool", "default": False},
    "shares": {"type": "bool", "default": False},
    "turn": {"type": "str", "choices": ["linux", "xen"]},
    "allow": {
        "type": "list",
        "elements": "str",
        "choices": ["restart", "reboot"],
        "default": [],
    },
}


def main() -> None:
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    params = module.params
    shares = params["shares"] or bool(params["turn"])
    wanted = Wanted(
        params["dom0_memory_mib"], params["xen_options"], params["dom0_options"], shares
    )
    kind = SharedBoot if shares else XenBoot
    boot = kind(wanted, module.check_mode, params["verify"], params["allow"])
    try:
        if params["preflight"]:
            module.exit_json(**boot.preflight())
        if params["keep_default"]:
            module.exit_json(changed=xen_packages.keep_default(boot.journal, module.check_mode))
        if isinstance(boot, SharedBoot) and params["turn"]:
            module.exit_json(**boot.turn(params["turn"]))
        result = boot.prepare() if isinstance(boot, SharedBoot) else boot.converge()
        if not shares and params["verify"] and not module.check_mode and result["reboot_required"]:
            raise VcompareError(
                f"After the reboot the host is not dom0 of a Xen with {' '.join(wanted.xen)}; Xen's command line: "
                f"{result['commandline'] or 'there is no Xen'}; dom0's memory: {result['dom0_memory_mib']} MiB.",
                "See the host's console; it boots its old system unless told otherwise.",
            )
    except VcompareError as error:
        module.fail_json(**error.as_result(), **(boot.steps.result() if module.check_mode else {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
