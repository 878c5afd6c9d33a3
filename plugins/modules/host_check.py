#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Check that a server can be used, before anything is made
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - That it runs at all shows that the server can be reached. It refuses a server without root, with another
    architecture than x86-64, or with too little space for the image.
  - It returns what tells one machine from another, so that a machine under two names can be found.
options:
  folder:
    description:
      - Where the image will be; what is there already counts as free.
    type: path
    required: true
  needed_mib:
    description:
      - The space that the image needs, in MiB. apt looks for its own.
    type: int
    default: 600
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
- name: Check that the server can be used
  vcompare.lab.host_check:
    folder: /var/lib/vcompare
  become: true
  register: server
"""

RETURN = r"""
boot:
  description: The kernel's id of its boot, which no other machine has; null where it can't be told.
  returned: success
  type: str
free_mib:
  description: Free space where the image will be, with what is there of it already, in MiB.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import host_check


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "needed_mib": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    try:
        found = host_check.inspect(module.params["folder"], module.params["needed_mib"])
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
