#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_install
short_description: Bring an image to a host
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Sends the parts of an image that M(vcompare.lab.image_parts) packed to a host over Ansible's own connection, unpacks
    them and verifies the digest of every file. An action plugin does the sending.
  - A part that the host has is not sent again, so that a transfer which broke off goes on where it stopped.
  - With O(fetch_to) it brings the parts from the host to the controller instead.
options:
  parts:
    description:
      - The parts in their order, each with C(name), C(bytes) and C(sha256).
    type: list
    elements: dict
    required: true
  source:
    description:
      - Folder of the parts; on the controller, or with O(remote_src) or O(fetch_to) on the host.
    type: path
    required: true
  remote_src:
    description:
      - Whether the parts are on the host already.
    type: bool
    default: false
  dest:
    description:
      - Folder on the host that the files are unpacked into. Required unless O(fetch_to) is given.
    type: path
  image:
    description:
      - The content of C(image.json) for the host. Its C(files) are the files to unpack, with their sha256.
    type: dict
    default: {}
  unpacked_bytes:
    description:
      - Size of the files, in bytes. A host with less free space is told so before anything is sent.
    type: int
    default: 0
  fetch_to:
    description:
      - Folder on the controller that the parts are brought to.
    type: path
  state:
    description:
      - Used by the action plugin. V(checked) only says whether the files are there.
    type: str
    choices: [present, checked]
    default: present
attributes:
  check_mode:
    support: full
    description: Nothing is sent; says whether something would be.
  diff_mode:
    support: none
    description: An image has no text to compare.
  idempotent:
    support: full
    description: An image that is there is not sent again. Its files are verified.
"""

EXAMPLES = r"""
- name: Bring the image to this host
  vcompare.lab.image_install:
    source: "{{ packed.folder }}"
    parts: "{{ packed.parts }}"
    unpacked_bytes: "{{ packed.unpacked_bytes }}"
    dest: /var/lib/vcompare/images/example
    image: "{{ built.images.guest }}"
"""

RETURN = r"""
plan:
  description: What is, or would be, done; see M(vcompare.lab.host_packages).
  returned: success
  type: list
  elements: dict
present:
  description: Whether the host has every file, with its digest.
  returned: success
  type: bool
sent_bytes:
  description: Bytes that were sent to the host, or brought from it.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan
from ansible_collections.vcompare.lab.plugins.module_utils._images import image_parts


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "parts": {"type": "list", "elements": "dict", "required": True},
            "source": {"type": "path", "required": True},
            "remote_src": {"type": "bool", "default": False},
            "dest": {"type": "path"},
            "image": {"type": "dict", "default": {}},
            "unpacked_bytes": {"type": "int", "default": 0},
            "fetch_to": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "checked"], "default": "present"},
        },
        required_one_of=[("dest", "fetch_to")],
        supports_check_mode=True,
    )
    params = module.params
    image = {key: value for key, value in params["image"].items() if key != "folder"}
    try:
        present = image_parts.verified(params["dest"], image["files"])
        changed = not present
        if changed:
            image_parts.require_space(params["dest"], params["unpacked_bytes"])
        if changed and params["state"] == "present" and not module.check_mode:
            names = [part["name"] for part in params["parts"]]
            image_parts.install(params["source"], names, params["dest"], image)
            present = True
    except VcompareError as error:
        module.fail_json(**error.as_result())
    except OSError as error:
        module.fail_json(
            msg=f"The image can't be unpacked into {params['dest']}: {error}. "
            "Run as root (become), and see that the disk is not full."
        )
    steps = HostPlan()
    if changed:
        size = sum(part["bytes"] for part in params["parts"])
        steps.add("image", "add", image.get("kind", "guest"), params["dest"], bytes=size)
    module.exit_json(changed=changed, present=present, sent_bytes=0, **steps.result())


if __name__ == "__main__":
    main()
