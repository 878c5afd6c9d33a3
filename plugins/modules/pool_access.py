#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_access
short_description: Let one host under test move instances to its second host
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - The scenario C(pool) works with two hosts. One of them, the source, gets a key pair of its own, and the other, the
    peer, takes it for a few commands of ours, from the source's address alone; see docs/contracts.md.
  - The peer's host key is returned, as Ansible reads it over its own connection, so that the source need not accept it
    unseen.
options:
  state:
    description:
      - V(source) makes the key pair where there is none.
      - V(peer) authorises O(public_key), and brings the agent that answers the source.
      - V(absent) takes away what this host got as either of them.
    type: str
    choices: [source, peer, absent]
    required: true
  public_key:
    description:
      - The source's public key. Needed for O(state=peer).
    type: str
  address:
    description:
      - The address that the source comes from. A name is looked up on the peer. Needed for O(state=peer).
    type: str
  source:
    description:
      - The source's name in the inventory, for messages.
    type: str
attributes:
  check_mode:
    support: full
    description: Nothing is made or taken away.
  diff_mode:
    support: none
    description: A key is made, not edited.
  idempotent:
    support: partial
    details:
      - The agent is brought anew each time with O(state=peer), which is a change.
    description: A second run changes nothing.
"""

EXAMPLES = r"""
- name: Have a key
  vcompare.lab.pool_access:
    state: source
  register: source

- name: Let it in
  vcompare.lab.pool_access:
    state: peer
    public_key: "{{ source.public_key }}"
    address: 10.213.10.1
  delegate_to: lab-linux-2
"""

RETURN = r"""
public_key:
  description: The source's public key, without its comment.
  returned: O(state=source)
  type: str
host_key:
  description: The peer's own public host key of type ed25519, without its comment.
  returned: O(state=peer)
  type: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import access, agent, way

# The agent comes to the peer inside of this module's archive, which holds what is imported here.
CARRIED = agent.__name__


def _act(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    if params["state"] == "source":
        there = os.path.exists(f"{access.SOURCE_DIR}/id_ed25519.pub")
        if check_mode:
            return {"changed": not there, "public_key": ""}
        return {"changed": not there, "public_key": access.make_key()}
    if params["state"] == "peer":
        if check_mode:
            return {"changed": True, "host_key": ""}
        # A name may have addresses of both families: ssh chooses one of them.
        source = ",".join(way.permitted(params["source"] or params["address"], params["address"]))
        return {"changed": True, "host_key": access.authorise(params["public_key"], source)}
    folders = (access.SOURCE_DIR, access.PEER_DIR)
    if check_mode:
        return {"changed": any(map(os.path.exists, folders))}
    # Both in any case.
    taken = [access.take_away(folder) for folder in folders]
    return {"changed": any(taken)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["source", "peer", "absent"], "required": True},
            "public_key": {"type": "str", "no_log": False},
            "address": {"type": "str"},
            "source": {"type": "str"},
        },
        required_if=[("state", "peer", ["public_key", "address"])],
        supports_check_mode=True,
    )
    try:
        result = _act(module.params, module.check_mode)
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
