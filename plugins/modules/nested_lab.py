#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: nested_lab
short_description: Equal machines on this host, to be measured in
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Makes, keeps, starts, stops and takes away the nodes of a nested lab, C(lab-linux) and C(lab-xen),
    as libvirt domains on the host that it runs on (a lab server). With more than two of them there are second hosts
    of the technologies, C(lab-linux-2) and C(lab-xen-2), each connected with the first by a card of its own.
  - A lab that was provisioned and kept starts from a snapshot with memory, within seconds. A lab that was
    made differently, or only half, is made again.
  - Each node is reached over ssh on a loopback address of the lab server, with keys made for this lab.
  - Everything that is made is in the lab's journal before it exists and carries the lab's marker.
options:
  name:
    description:
      - Name of the lab. Addresses, domains and folder follow from it.
    type: str
    default: default
  home:
    description:
      - Folder with everything that is kept on the lab server.
    type: path
    required: true
  state:
    description:
      - V(present) makes the nodes run and waits until a command runs on each of them.
      - V(kept) takes the snapshot that later starts begin from.
      - V(restarted) switches O(nodes) off in good order and starts them again, to boot from their disks.
      - V(stopped) switches the nodes off; the snapshot stays.
      - V(absent) takes the lab away.
      - V(described) changes nothing and says what is there.
      - V(checked) changes nothing and fails where there is too little memory or disk, or an address is in use.
        Nothing need be installed for it.
    type: str
    choices: [present, kept, restarted, stopped, absent, described, checked]
    default: present
  count:
    description:
      - How many nodes O(state=present) makes, 2 to 4. A lab of another number is made again.
      - By default two; the other states are about the lab that is there.
    type: int
    default: 0
  nodes:
    description:
      - Which nodes O(state=restarted) is about.
    type: list
    elements: str
    default: []
  node_image:
    description:
      - Folder of the node image, as M(vcompare.lab.image) returns it. Needed for O(state=present).
    type: path
  guest_image:
    description:
      - Folder of the guest image. Needed for O(state=present).
    type: path
  accel:
    description:
      - What the nodes run under.
    type: str
    choices: [kvm, tcg]
    default: tcg
  acceleration:
    description:
      - The result of M(vcompare.lab.acceleration_info), kept with the lab for the report.
    type: dict
    default: {}
  vcpus:
    description:
      - Virtual CPUs of each node.
    type: int
    default: 2
  memory_mib:
    description:
      - Memory of each node in MiB.
    type: int
    default: 3072
  outbound:
    description:
      - Whether the nodes may reach other machines, such as package mirrors.
    type: bool
    default: false
  provision_key:
    description:
      - Any text that changes when what provisioning does changes. A snapshot of another key is not used.
    type: str
    default: ""
  boot_timeout_s:
    description:
      - Seconds that the nodes may take to boot at least. On a lab server that emulates slowly, they may take as much
        longer as O(acceleration) shows.
    type: float
    default: 300
  uri:
    description:
      - libvirt's URI. By default the system daemon for root, and a daemon of the user's own for others.
    type: str
attributes:
  check_mode:
    support: full
    description: Nothing is made or taken away; says whether something would be.
  diff_mode:
    support: full
    description: Shows the lab's state before and after.
  idempotent:
    support: partial
    details:
      - A provisioned lab goes back to its snapshot each time with O(state=present), which is a change.
    description: A second run changes nothing.
"""

EXAMPLES = r"""
- name: Start the lab
  vcompare.lab.nested_lab:
    home: /srv/vcompare
    node_image: "{{ images.node.folder }}"
    guest_image: "{{ images.guest.folder }}"
    accel: "{{ acceleration.accel }}"
    acceleration: "{{ acceleration }}"

- name: Keep it as it is now, for the next time
  vcompare.lab.nested_lab:
    home: /srv/vcompare
    state: kept

- name: Boot one of its nodes anew
  vcompare.lab.nested_lab:
    home: /srv/vcompare
    state: restarted
    nodes: [lab-xen]

- name: Take it away
  vcompare.lab.nested_lab:
    home: /srv/vcompare
    state: absent
"""

RETURN = r"""
lab:
  description: What is there after the call, as libvirt says.
  returned: always
  type: dict
  contains:
    name:
      description: The lab's name.
      type: str
    state:
      description: V(absent), V(stopped), V(running) or V(partial).
      type: str
    accel:
      description: What its nodes run under.
      type: str
    provisioned:
      description: Whether there is a snapshot of the provisioned nodes.
      type: bool
    nodes:
      description: Name, address, port, domain and state of each node.
      type: list
      elements: dict
    folder:
      description: Where it is kept.
      type: str
    objects:
      description: What the journal says is there.
      type: list
      elements: dict
said:
  description: What was noticed on the way, such as how long each node took.
  returned: always
  type: list
  elements: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import emulator, reach
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import DEFAULT_NODES, Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab, Settings


def _would_change(before: dict[str, t.Any], wanted: str) -> bool:
    return {
        "present": before["state"] != "running" or before["provisioned"],
        "kept": before["state"] == "running" and not before["provisioned"],
        "restarted": before["state"] != "absent",
        "stopped": before["state"] in ("running", "partial"),
        "absent": before["state"] != "absent",
        "described": False,
        "checked": False,
    }[wanted]


# What building both images takes, and what is left of it.
_IMAGES_MIB = 4500


def _act(lab: NestedLab, params: dict[str, t.Any]) -> bool:
    if params["state"] in ("present", "checked"):
        settings = Settings(
            accel=params["accel"],
            node_image=params["node_image"] or "",
            guest_image=params["guest_image"] or "",
            vcpus=params["vcpus"],
            memory_mib=params["memory_mib"],
            boot_timeout_s=reach.boot_deadline_s(params["boot_timeout_s"], params["acceleration"]),
            outbound=params["outbound"],
            provision_key=params["provision_key"],
            uri=lab.uri,
            nodes=lab.lab.count,
            # What is only checked needs nothing installed.
            qemu_version=emulator.version()
            if params["accel"] == "tcg" and params["state"] == "present"
            else (),
        )
        if params["state"] == "checked":
            built = os.path.isdir(lab.lab.images) and any(
                name.startswith("node-") for name in os.listdir(lab.lab.images)
            )
            lab.check(settings, 0 if built else _IMAGES_MIB)
            return False
        return lab.up(settings, params["acceleration"])
    if params["state"] == "restarted":
        return lab.restart(params["nodes"], params["boot_timeout_s"])
    return {"kept": lab.keep, "stopped": lab.stop, "absent": lab.down, "described": lambda: False}[
        params["state"]
    ]()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "default"},
            "home": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": [
                    "present",
                    "kept",
                    "restarted",
                    "stopped",
                    "absent",
                    "described",
                    "checked",
                ],
                "default": "present",
            },
            "count": {"type": "int", "default": 0},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "node_image": {"type": "path"},
            "guest_image": {"type": "path"},
            "accel": {"type": "str", "choices": ["kvm", "tcg"], "default": "tcg"},
            "acceleration": {"type": "dict", "default": {}},
            "vcpus": {"type": "int", "default": 2},
            "memory_mib": {"type": "int", "default": 3072},
            "outbound": {"type": "bool", "default": False},
            "provision_key": {"type": "str", "default": "", "no_log": False},
            "boot_timeout_s": {"type": "float", "default": 300},
            "uri": {"type": "str"},
        },
        required_if=[
            ("state", "present", ["node_image", "guest_image"]),
            ("state", "restarted", ["nodes"]),
        ],
        supports_check_mode=True,
    )
    try:
        count = module.params["count"]
        if module.params["state"] in ("present", "checked"):
            count = count or DEFAULT_NODES
        lab = NestedLab(
            Lab(module.params["home"], module.params["name"], count or DEFAULT_NODES),
            module.params["uri"] or "",
            count,
        )
        before = lab.describe()
        if module.check_mode:
            changed, after = _would_change(before, module.params["state"]), before
        else:
            changed = _act(lab, module.params)
            after = lab.describe()
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(
        changed=changed,
        lab=after,
        said=lab.said,
        diff={"before": {"state": before["state"]}, "after": {"state": after["state"]}},
    )


if __name__ == "__main__":
    main()
