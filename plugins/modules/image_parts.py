#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_parts
short_description: Pack an image into compressed parts for hosts
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Packs files of an image that M(vcompare.lab.image) built into one compressed stream, stored in parts beside the
    image. M(vcompare.lab.image_install) sends the parts to hosts and unpacks them there.
options:
  folder:
    description:
      - Folder of the image, on the machine that built it.
    type: path
    required: true
  files:
    description:
      - Names of the files that hosts need.
    type: list
    elements: str
    required: true
requirements:
  - tar, zstd and split on the machine that built the image
attributes:
  check_mode:
    support: full
    description: Nothing is packed. Parts that an earlier run packed are returned.
  diff_mode:
    support: none
    description: An image has no text to compare.
  idempotent:
    support: full
    description: Parts that are there are not packed again.
"""

EXAMPLES = r"""
- name: Pack what hosts need of the image
  vcompare.lab.image_parts:
    folder: "{{ built.images.guest.folder }}"
    files: [rootfs.ext4, container.tar]
  register: packed
"""

RETURN = r"""
folder:
  description: Folder of the parts.
  returned: success
  type: str
parts:
  description: The parts in their order, each with C(name), C(bytes) and C(sha256).
  returned: success
  type: list
  elements: dict
bytes:
  description: Size of all parts, in bytes.
  returned: success, in check mode only where they are packed
  type: int
unpacked_bytes:
  description: Size of the files, in bytes.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import image_parts


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        packed = image_parts.pack(
            module.params["folder"], module.params["files"], module.check_mode
        )
    except VcompareError as error:
        module.fail_json(**error.as_result())
    except OSError as error:
        module.fail_json(msg=f"The image in {module.params['folder']} can't be packed: {error}.")
    module.exit_json(**packed)


if __name__ == "__main__":
    main()
