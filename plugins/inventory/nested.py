# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: nested
short_description: The nodes of a nested lab
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Gives the nodes of a nested lab, C(lab-linux) (groups C(bare_hosts), C(docker_hosts), C(kvm_hosts)) and
    C(lab-xen) (group C(xen_hosts)), and how they are reached.
  - With three or four nodes there is a second host of Docker and KVM, C(lab-linux-2) (groups C(docker_peers),
    C(kvm_peers)), and one of Xen, C(lab-xen-2) (group C(xen_peers)). Peers are not measured themselves.
  - Addresses, keys and names follow from the lab's name and home, so the nodes are here before they exist.
  - Is used through a file whose name ends in C(nested_lab.yml).
options:
  plugin:
    description: Must be V(vcompare.lab.nested).
    required: true
    choices: [vcompare.lab.nested]
    type: str
  lab:
    description:
      - Name of the lab. The extra variable C(vcompare_lab) goes before it.
    type: str
    default: default
  home:
    description:
      - Folder with everything that is kept. The extra variable C(vcompare_home) goes before it.
      - By default C(VCOMPARE_HOME), else the folder C(vcompare) in the XDG data folder.
    type: path
  nodes:
    description:
      - How many nodes the lab has, 1 to 4. The extra variable C(vcompare_nodes) goes before it.
      - With V(1) and an arm of Xen in C(vcompare_arms), the node takes turns (C(xen_shares_host)). It is booted into
        plain Linux for the other arms, and into Xen for those.
      - V(0) is as many as the arms need that the extra variable C(vcompare_arms) names. Without Xen's arms that is 1,
        unless this machine has a lab of that name with more nodes already.
    type: int
    default: 0
  lab_server:
    description:
      - Name of the machine that carries the lab; other than V(localhost), nodes are reached through it.
      - How it is reached itself is said by all that Ansible's connection plugin ssh goes by (its variables in any
        inventory, a jump host among them, settings and options), and by the controller's ssh configuration.
      - It needs a key that asks for no passphrase, or an agent; a password can't be given to a jump host.
    type: str
    default: localhost
  lab_server_home:
    description:
      - The home on the lab server, where that is another machine; by default the same path as on the controller.
      - What the lab server does, also for a node, is done there, whatever C(vcompare_home) says of the controller's.
    type: path
extends_documentation_fragment:
  - constructed
"""

EXAMPLES = r"""
# nested_lab.yml
plugin: vcompare.lab.nested
lab: default
"""

import json
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible.template import trust_as_template
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms as contract
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import default_home
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import (
    DEFAULT_NODES,
    Lab,
    Node,
    nodes_needed,
)

# Variables of roles whose tasks run on the lab server.
HOMES = ("lab_server_home", "nested_lab_home", "guest_image_home")
GROUPS = {
    "lab-linux": ("lab_nodes", "bare_hosts", "docker_hosts", "kvm_hosts"),
    "lab-xen": ("lab_nodes", "xen_hosts"),
    "lab-linux-2": ("lab_nodes", "docker_peers", "kvm_peers"),
    "lab-xen-2": ("lab_nodes", "xen_peers"),
}


def connection(lab: Lab, node: Node, server: str) -> dict[str, t.Any]:
    """The variables by which a node is reached: its own address, key and host key."""
    options = [
        "-F /dev/null",
        f"-o UserKnownHostsFile='{lab.known_hosts}'",
        "-o StrictHostKeyChecking=yes",
        "-o IdentitiesOnly=yes",
        # A node whose kernel hangs says nothing, not even that: without this, a task would wait for it for ever.
        "-o ServerAliveInterval=15",
        "-o ServerAliveCountMax=20",
    ]
    arguments = " ".join(options)
    if server != "localhost":
        arguments = trust_as_template(
            f"{{% raw %}}{arguments}{{% endraw %}} {{{{ lookup('vcompare.lab.jump', {server!r}) }}}}"
        )
    return {
        "ansible_host": node.address,
        "ansible_port": node.port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": f"{lab.keys}/id_ed25519",
        "ansible_ssh_common_args": arguments,
        # One connection for a whole run, since a handshake with an emulated node costs seconds; and nothing
        # to compress, since that costs an emulated processor more than loopback does.
        "ansible_ssh_args": "-o Compression=no -o ControlMaster=auto -o ControlPersist=300s",
        "ansible_ssh_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        # An emulated node under load answers late.
        "ansible_timeout": 60,
        "vcompare_nested": True,
    }


def _arms(asked: t.Any) -> set[str]:
    """Return the arms that C(vcompare_arms) names; empty for all."""
    words = asked.split(",") if isinstance(asked, str) else asked or ()
    return {str(word).strip() for word in words} - {""}


def _needed(lab: Lab, server: str, arms: set[str]) -> int:
    """How many nodes are needed for the arms that were asked for.

    What a lab on another machine has can't be seen from here, so that it is always a whole one.
    """
    if server != "localhost":
        return DEFAULT_NODES
    try:
        with open(lab.state, encoding="utf-8") as text:
            there = len(json.load(text)["nodes"])
    except (OSError, ValueError, KeyError, TypeError):
        there = 0
    return nodes_needed(arms, there)


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Nodes of a nested lab, from its name."""

    NAME = "vcompare.lab.nested"

    def verify_file(self, path: str) -> bool:
        """Take files that are meant for this plugin only."""
        return super().verify_file(path) and path.endswith(("nested_lab.yml", "nested_lab.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Add the nodes."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        extra = self._vars
        name = str(extra.get("vcompare_lab") or self.get_option("lab"))
        home = str(extra.get("vcompare_home") or self.get_option("home") or default_home())
        server = str(self.get_option("lab_server"))
        nodes_asked = str(extra.get("vcompare_nodes") or self.get_option("nodes"))
        if not nodes_asked.isdecimal():
            raise AnsibleParserError(
                f"vcompare_nodes: {nodes_asked!r} is not a number of nodes. Take 1, 2, 3 or 4."
            )
        try:
            # Keys and known hosts are the controller's; addresses follow from the lab server's home.
            lab = Lab(home, name)
            arms = _arms(extra.get("vcompare_arms"))
            count = int(nodes_asked) or _needed(lab, server, arms)
            there = Lab(str(self.get_option("lab_server_home") or home), name, count)
        except VcompareError as error:
            raise AnsibleParserError(error.text) from error
        for group in (
            "lab_servers",
            "lab_nodes",
            *contract.GROUPS,
            *(contract.PEER_GROUPS if there.count > DEFAULT_NODES else ()),
        ):
            inventory.add_group(group)
        if server == "localhost":
            inventory.add_host("localhost", group="lab_servers")
            inventory.set_variable("localhost", "ansible_connection", "local")
            inventory.set_variable("localhost", "ansible_python_interpreter", "/usr/bin/python3")
        else:
            inventory.add_host(server, group="lab_servers")
            for key in HOMES:
                inventory.set_variable(server, key, there.home)
        for node in there.nodes:
            inventory.add_host(node.name)
            if there.count == 1 and arms & set(contract.XEN_ARMS):
                inventory.add_child("xen_hosts", node.name)
                inventory.set_variable(node.name, "xen_shares_host", True)
            for group in GROUPS[node.name]:
                inventory.add_child(group, node.name)
            for key, value in connection(lab, node, server).items():
                inventory.set_variable(node.name, key, value)
            # What a task for a node has the lab server do is done where the lab lies there.
            for key in HOMES:
                inventory.set_variable(node.name, key, there.home)
            card = there.pair_card(node)
            if card is not None:
                inventory.set_variable(node.name, "vcompare_pool_address", card.address)
