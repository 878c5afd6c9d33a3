#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_server
short_description: See whether a machine can carry a nested lab, and have its libvirt daemon
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Says which packages are missing on a lab server, and starts libvirt's daemon where it does not answer; by hand
    where systemd is not process 1 (containers, CI machines), and says so.
options:
  state:
    description:
      - V(described) changes nothing.
      - V(ready) starts the daemons that don't answer. Where udev does not run, it also gives C(/dev/kvm) to the
        group C(kvm), as udev would; libvirt takes minutes longer for each machine otherwise.
      - V(released) ends the daemons that this module started by hand, when no domain is left, and gives the device
        back to root.
    type: str
    choices: [described, ready, released]
    default: described
  packages:
    description:
      - Packages that a lab server needs.
    type: list
    elements: str
    default: []
  home:
    description:
      - Folder with everything that is kept; the journal of daemons that were started is in it.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Nothing is started or ended.
  diff_mode:
    support: none
    description: There is no text to compare.
  idempotent:
    support: full
    description: What runs is not started again.
"""

EXAMPLES = r"""
- name: See what is missing
  vcompare.lab.lab_server:
    home: /srv/vcompare
    packages: [qemu-system-x86, mmdebstrap]
  register: server
"""

RETURN = r"""
release:
  description: Debian code name of the machine.
  returned: success
  type: str
missing_packages:
  description: Packages that are not installed.
  returned: success
  type: list
  elements: str
silent_daemons:
  description: Daemons that should answer and don't.
  returned: success
  type: list
  elements: str
kvm_device_closed:
  description: Whether the device of KVM is open to root alone, since udev does not run there.
  returned: success
  type: bool
systemd:
  description: Whether systemd is process 1.
  returned: success
  type: bool
root:
  description: Whether the module ran as root.
  returned: success
  type: bool
said:
  description: What was done, in sentences.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import packages
from ansible_collections.vcompare.lab.plugins.module_utils._lab import server


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["described", "ready", "released"],
                "default": "described",
            },
            "packages": {"type": "list", "elements": "str", "default": []},
            "home": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    said: list[str] = []
    home = module.params["home"]
    journal = server.own_journal(home)
    try:
        release = server.check_system()
        silent = server.silent_daemons()
        changed = False
        if module.params["state"] == "ready":
            changed = bool(silent) or server.kvm_device_closed()
            if changed and not module.check_mode:
                os.makedirs(home, exist_ok=True)
                said = server.open_kvm_device(journal) + server.start_daemons(journal)
        elif module.params["state"] == "released":
            changed = bool(journal.pending())
            if changed and not module.check_mode:
                said = server.release(journal)
                changed = bool(said)
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(
        changed=changed,
        release=release,
        missing_packages=packages.not_installed(module.params["packages"]),
        silent_daemons=silent,
        kvm_device_closed=server.kvm_device_closed(),
        systemd=server.has_systemd(),
        root=os.geteuid() == 0,
        said=said,
    )


if __name__ == "__main__":
    main()
