#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_builder_info
short_description: See whether a machine can build images
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Looks at the machine's architecture, its Debian release, the programs that M(vcompare.lab.image) needs, and whether
    the user may install packages and has subordinate user ids.
options:
  install:
    description:
      - Whether packages may be installed on the machine. Where they may not, one that lacks a program can't build.
    type: bool
    default: true
  root:
    description:
      - Whether packages can be installed with become, which was tried before. By default, whether sudo asks for no
        password is looked at.
    type: bool
    default: false
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
- name: See whether this machine can build images
  vcompare.lab.image_builder_info:
  register: builder
"""

RETURN = r"""
able:
  description: Whether images can be built, after C(missing_programs) are installed.
  returned: success
  type: bool
reason:
  description: V(ready), V(packages), V(architecture), V(provision), V(release), V(rights) or V(subordinate_ids).
  returned: success
  type: str
message:
  description: Why images can't be built; empty when they can.
  returned: success
  type: str
missing_programs:
  description: Programs that must be installed first.
  returned: success
  type: list
  elements: str
user:
  description: The user who would build.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._images import builder


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "install": {"type": "bool", "default": True},
            "root": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **builder.inspect(**module.params))


if __name__ == "__main__":
    main()
