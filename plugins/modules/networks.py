#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: networks
short_description: Choose the networks of a host's instances
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Sets the network that those of all technologies are carved from on this host, after it was compared with what the
    host uses already (its addresses, routes, name servers and open connections, Ansible's own among them).
  - A network that would take addresses away from the host is refused, before anything is made.
extends_documentation_fragment:
  - vcompare.lab.arms
options:
  arms:
    description:
      - The arms whose networks are needed.
    type: list
    elements: str
    required: true
  network:
    description:
      - A private IPv4 network of C(/8) to C(/22).
    type: str
    default: 10.213.0.0/16
attributes:
  check_mode:
    support: full
    description: The networks are compared with what the host uses, and nothing is written.
  diff_mode:
    support: full
    description: Shows the setting and the networks.
  idempotent:
    support: full
    description: A second run changes nothing.
"""

EXAMPLES = r"""
- name: Choose the networks of containers and guests
  vcompare.lab.networks:
    arms: [docker, kvm]
    network: 172.29.0.0/16
  become: true
"""

RETURN = r"""
networks:
  description: The network of each bridge, by its name.
  returned: success
  type: dict
  sample: {vckvm0: 10.213.20.0/22}
plan:
  description: >-
    What is, or would be, done; see M(vcompare.lab.host_packages). The networks are there while instances run.
  returned: success
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._arms import host_networks, network
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Store, write_file
from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan


def choose(
    arms: t.Sequence[str], text: str, check_mode: bool, state_dir: str = STATE_DIR
) -> dict[str, t.Any]:
    """Set a host's network; return the module's result.

    :raises VcompareError: it is not one, or would take addresses away from the host.
    """
    wanted = network.check_network(text)
    subnets = {network.carved(network.of_arm(arm), wanted) for arm in arms}
    ours = sorted((subnet for subnet in subnets if subnet.bridge), key=lambda subnet: subnet.bridge)
    host_networks.require(*ours)
    path = Path(state_dir, network.NETWORK_FILE)
    before = path.read_text(encoding="ascii").strip() if path.exists() else network.DEFAULT_NETWORK
    steps = HostPlan()
    if before != wanted:
        steps.file(str(path), f"{before}\n" if path.exists() else None, f"{wanted}\n")
        if not check_mode:
            Store(state_dir).ensure()
            write_file(str(path), f"{wanted}\n".encode(), 0o644)
    for subnet in ours:
        steps.add("network", "add", subnet.network, subnet.bridge)
    return {
        "changed": before != wanted,
        "networks": {subnet.bridge: subnet.network for subnet in ours},
        **steps.result(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "arms": {"type": "list", "elements": "str", "required": True, "choices": list(ARMS)},
            "network": {"type": "str", "default": network.DEFAULT_NETWORK},
        },
        supports_check_mode=True,
    )
    try:
        result = choose(module.params["arms"], module.params["network"], module.check_mode)
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
