# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_doctor
short_description: Find what is wrong with a lab server and its labs
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Looks for daemons that don't answer, half-made labs, machines whose lab is gone, emulators that libvirt does not
    know, images that were begun, a full disk, a mirror that does not answer, and acceleration that is claimed and not
    usable.
  - Repairs only what carries our marker or stands in our journal.
options:
  home:
    description:
      - Folder with everything that is kept.
    type: path
    required: true
  fix:
    description:
      - Repair what can be repaired. Runs and finished images are never touched.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Nothing is repaired.
  diff_mode:
    support: none
    description: There is no text to compare.
  idempotent:
    support: full
    description: What was repaired is not found again.
"""

EXAMPLES = r"""
- name: Look at the labs of a home
  vcompare.lab.lab_doctor:
    home: /srv/vcompare
  register: examined

- name: Repair what is ours
  vcompare.lab.lab_doctor:
    home: /srv/vcompare
    fix: true
"""

RETURN = r"""
findings:
  description: What was looked at; after repairs, as it is then.
  returned: success
  type: list
  elements: dict
  contains:
    check:
      description: What was looked at.
      type: str
      sample: domains
    level:
      description: V(ok), V(note) or V(problem).
      type: str
    what:
      description: What was seen.
      type: str
    remedy:
      description: What to do about it.
      type: str
    repairable:
      description: Whether O(fix) does it.
      type: bool
repaired:
  description: What was repaired, in sentences.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab.doctor import Doctor, repair


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "fix": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    doctor = Doctor(module.params["home"])
    repaired: list[str] = []
    try:
        found = doctor.examine()
        if module.params["fix"] and not module.check_mode:
            repaired = repair(found)
            if repaired:
                found = doctor.examine()
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(
        changed=bool(repaired),
        findings=[finding.as_data() for finding in found],
        repaired=repaired,
    )


if __name__ == "__main__":
    main()
