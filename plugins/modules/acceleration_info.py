#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: acceleration_info
short_description: Prove whether machines can run under KVM on this host
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Climbs a ladder of proofs, from the architecture to the boot of a given kernel to its user
    space under KVM, and says whether the nodes of a nested lab shall use KVM or TCG (QEMU's
    emulation).
  - C(/dev/kvm), a processor flag, and even a tiny guest prove nothing. KVM is taken only when the
    kernel reaches its user space under KVM faster than under TCG on the same host.
  - Whatever is started is ended before the module returns.
extends_documentation_fragment:
  - vcompare.lab.attributes.info
options:
  accel:
    description:
      - What is wanted. With V(auto), KVM where it works and measures every arm, TCG otherwise.
      - With V(kvm), the module fails where the proof fails, and says at which rung.
      - With V(tcg), KVM is not tried.
    type: str
    choices: [auto, kvm, tcg]
    default: auto
  needs_nesting:
    description:
      - Whether machines are to run inside the nodes with hardware support, which takes nested
        virtualisation on this host when the nodes are under KVM.
      - Where nesting is off, O(accel=auto) chooses TCG, which measures every arm, and O(accel=kvm)
        names the arms that are lost in RV(refused_arms).
    type: bool
    default: true
  kernel:
    description:
      - The Linux kernel to boot. Without it the last rung is not tried, so TCG is chosen.
    type: path
  initrd:
    description:
      - The initrd for it, which prints O(marker) on the console from its user space.
    type: path
  append:
    description:
      - The kernel command line. The console must be on the first serial port.
    type: str
    default: console=ttyS0,115200 panic=-1 vcompare.probe=1
  marker:
    description:
      - The text on the console that proves user space. It must not be part of O(append).
    type: str
    default: VCOMPARE-USERSPACE
  timeout_s:
    description:
      - The longest that the boot under TCG may take, in seconds. Under KVM the deadline is what
        TCG took, but not less than three seconds.
    type: float
    default: 120
  memory_mib:
    description:
      - Memory of the machine that is booted.
    type: int
    default: 512
  qemu:
    description:
      - QEMU's x86 system emulator.
    type: str
    default: qemu-system-x86_64
"""

EXAMPLES = r"""
- name: See how far the ladder goes without a kernel
  vcompare.lab.acceleration_info:
  register: acceleration

- name: Prove KVM with the lab's own kernel
  vcompare.lab.acceleration_info:
    kernel: /var/lib/vcompare/images/0123456789ab/vmlinux
    initrd: /var/lib/vcompare/images/0123456789ab/initrd.img
  become: true
  register: acceleration

- name: Tell which accelerator the nodes get, and why
  ansible.builtin.debug:
    msg: "{{ acceleration.accel }}: {{ acceleration.reason }}"
"""

RETURN = r"""
accel:
  description: What the nodes shall use, V(kvm) or V(tcg).
  returned: success
  type: str
  sample: tcg
reason:
  description: One sentence that says why.
  returned: success
  type: str
  sample: "TCG, since device_present does not hold: there is no /dev/kvm."
rungs:
  description: Each rung, from the bottom up.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Which rung.
      type: str
      sample: boots_kernel
    holds:
      description: Whether it holds; null when it was not tried.
      type: bool
    detail:
      description: What was seen, or why it was not tried.
      type: str
    elapsed_s:
      description: How long the rung took, in seconds.
      type: float
tcg_boot_s:
  description: Seconds to user space under TCG; null when not tried.
  returned: success
  type: float
  sample: 6.1
kvm_boot_s:
  description: Seconds to user space under KVM; null when it was not reached.
  returned: success
  type: float
  sample: 0.9
kvm_cpu:
  description: The CPU model, as for QEMU's C(-cpu), with which KVM was proven.
  returned: success
  type: str
  sample: host
nested:
  description: Whether KVM passes hardware virtualisation on; null when that was not found out.
  returned: success
  type: bool
refused_arms:
  description: Arms that can't be measured with RV(accel), and why.
  returned: success
  type: list
  elements: dict
  contains:
    arm:
      description: Name of the arm.
      type: str
      sample: xen-pvh
    reason:
      description: Why.
      type: str
remedy:
  description: What can be done about it; empty where there is nothing to do.
  returned: always
  type: str
evidence:
  description: What QEMU and the console said last when the boot under KVM failed.
  returned: always
  type: str
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab.acceleration import Ladder, decide
from ansible_collections.vcompare.lab.plugins.module_utils._lab.boot_probe import Machine


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "accel": {"type": "str", "choices": ["auto", "kvm", "tcg"], "default": "auto"},
            "needs_nesting": {"type": "bool", "default": True},
            "kernel": {"type": "path"},
            "initrd": {"type": "path"},
            "append": {
                "type": "str",
                "default": "console=ttyS0,115200 panic=-1 vcompare.probe=1",
            },
            "marker": {"type": "str", "default": "VCOMPARE-USERSPACE"},
            "timeout_s": {"type": "float", "default": 120},
            "memory_mib": {"type": "int", "default": 512},
            "qemu": {"type": "str", "default": "qemu-system-x86_64"},
        },
        required_together=[("kernel", "initrd")],
        supports_check_mode=True,
    )
    wanted = module.params
    machine = None
    if wanted["kernel"]:
        fields = [field.name for field in dataclasses.fields(Machine)]
        machine = Machine(**{name: wanted[name] for name in fields})
    ladder = Ladder(machine, wanted["timeout_s"])
    try:
        ladder.climb(wanted["accel"])
        result = decide(ladder, wanted["accel"], wanted["needs_nesting"])
    except VcompareError as error:
        rungs = [dataclasses.asdict(rung) for rung in ladder.rungs]
        module.fail_json(rungs=rungs, **error.as_result())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
