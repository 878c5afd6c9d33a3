#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: package_info
short_description: See quickly which Debian packages a host lacks
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Asks dpkg about a few packages. Where none is missing, the slow opening of apt's cache can be left out, which on
    an emulated host saves many seconds.
options:
  names:
    description:
      - Names of packages.
    type: list
    elements: str
    required: true
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
- name: See what is missing
  vcompare.lab.package_info:
    names: [docker.io, python3-docker]
  register: packages

- name: Install it
  ansible.builtin.apt:
    name: "{{ packages.missing }}"
  when: packages.missing | length > 0
"""

RETURN = r"""
missing:
  description: The packages that are not installed.
  returned: success
  type: list
  elements: str
versions:
  description: The versions of those that are.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils.engines import packages


def main() -> None:
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    there = packages.versions(module.params["names"])
    missing = [name for name in module.params["names"] if name not in there]
    module.exit_json(changed=False, missing=missing, versions=there)


if __name__ == "__main__":
    main()
