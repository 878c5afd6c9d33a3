#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_lock
short_description: Write down what a nested lab is made of, and hold a lab against that
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Composes the lock of a provisioned lab out of its images, and of what M(vcompare.lab.node_manifest) says of its
    nodes.
  - Holds a lab against a lock at three levels, V(A) for the images bit by bit, V(B) for what each node is made of, and
    V(C) for the facts that figures depend on.
options:
  name:
    description:
      - Name of the lab.
    type: str
    default: default
  home:
    description:
      - Folder with everything that is kept on the lab server.
    type: path
    required: true
  state:
    description:
      - V(described) returns the lock of the lab as it is.
      - V(buildable) fails unless a lab can be built from O(lock) here; nothing need be installed for it.
      - V(verified) fails unless the lab is as O(lock) says, and names the first difference.
    type: str
    choices: [described, buildable, verified]
    default: described
  lock:
    description:
      - The lock that the lab is held against.
    type: dict
  nodes:
    description:
      - By name of the node, what M(vcompare.lab.node_manifest) returned.
    type: dict
    default: {}
  places:
    description:
      - Folders with kept packages beside C(packages/) of O(home).
    type: list
    elements: path
    default: []
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
- name: Write down what the lab is made of
  vcompare.lab.lab_lock:
    home: /srv/vcompare
    nodes: "{{ dict(groups['lab_nodes'] | zip(groups['lab_nodes'] | map('extract', hostvars, 'made_of'))) }}"
  register: locked

- name: Hold a lab against a lock
  vcompare.lab.lab_lock:
    home: /srv/vcompare
    state: verified
    lock: "{{ lookup('ansible.builtin.file', 'lab.lock') | from_json }}"
    nodes: "{{ dict(groups['lab_nodes'] | zip(groups['lab_nodes'] | map('extract', hostvars, 'made_of'))) }}"
"""

RETURN = r"""
lock:
  description: What the lab is made of (docs/rebuild.md).
  returned: when O(state=described)
  type: dict
differences:
  description: Where the lab is not as its lock says, in sentences.
  returned: when O(state=verified), also when it fails
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import packages
from ansible_collections.vcompare.lab.plugins.module_utils._lab import lock as locks
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab

# Of differences; a lab of another release has thousands.
_MOST_SAID = 200


def _buildable(home: str, lock: locks.Lock, places: list[str]) -> None:
    folders = [packages.store(home), *places]
    for kind in ("node", "guest"):
        packages.require(
            folders, [packages.Package(**each) for each in lock["images"][kind]["packages"]]
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "default"},
            "home": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": ["described", "buildable", "verified"],
                "default": "described",
            },
            "lock": {"type": "dict"},
            "nodes": {"type": "dict", "default": {}},
            "places": {"type": "list", "elements": "path", "default": []},
        },
        required_if=[("state", "buildable", ["lock"]), ("state", "verified", ["lock"])],
        supports_check_mode=True,
    )
    home, state = module.params["home"], module.params["state"]
    # With the whole lock in it, a result is larger than ansible-runner hands on, and would be lost with its words.
    asked = {
        "invocation": {"module_args": {"home": home, "state": state, "name": module.params["name"]}}
    }
    try:
        wanted: locks.Lock = {} if state == "described" else locks.check(module.params["lock"])
        if state == "buildable":
            _buildable(home, wanted, module.params["places"])
            module.exit_json(changed=False, **asked)
        lab = NestedLab(Lab(home, module.params["name"]))
        now = locks.compose(lab.lab, lab.state(), module.params["nodes"])
    except VcompareError as error:
        module.fail_json(**error.as_result(), **asked)
    if not wanted:
        module.exit_json(changed=False, lock=now, **asked)
    found = locks.differences(wanted, now)
    words = [difference.words for difference in found]
    if not found:
        module.exit_json(changed=False, differences=[], **asked)
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    module.fail_json(
        msg=f"The lab is not as its lock says, at {words[0]}{more}.",
        differences=words[:_MOST_SAID],
        evidence=locks.evidence(wanted, lab.state(), found, os.path.join(home, "images")),
        **asked,
    )


if __name__ == "__main__":
    main()
