#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_packages
short_description: Install what a host lacks, without taking anything from it
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Looks for capabilities rather than for package names. Docker's daemon, for example, may come from C(docker.io),
    C(docker-ce) or C(moby-engine). Where nothing is missing, apt is not asked, which saves seconds on an emulated host.
  - What is missing is installed. A plan of apt that removes or downgrades a package is refused before any change.
  - Packages that are added are recorded in the host's journal first.
options:
  needs:
    description:
      - The capabilities. Each is there when all of its C(packages), any of C(provided_by), all of its C(programs) or
        all of its C(python_modules) are there.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What it is, for messages.
        type: str
        required: true
      packages:
        description: Debian packages that are installed where it is missing.
        type: list
        elements: str
        required: true
      provided_by:
        description: Other packages, each of which brings it.
        type: list
        elements: str
        default: []
      programs:
        description: Programs that bring it together.
        type: list
        elements: str
        default: []
      python_modules:
        description: Modules of the system's Python that bring it together.
        type: list
        elements: str
        default: []
  install:
    description:
      - Whether packages may be installed. Where they may not, the module fails and names what is missing.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Nothing is installed; the plan is returned.
  diff_mode:
    support: full
    description: Shows the packages that are added or upgraded.
  idempotent:
    support: full
    description: A second run finds nothing missing.
"""

EXAMPLES = r"""
- name: Install Docker where the host has none
  vcompare.lab.host_packages:
    needs:
      - name: Docker's daemon
        packages: [docker.io]
        provided_by: [docker-ce, moby-engine]
        programs: [dockerd]
"""

RETURN = r"""
missing:
  description: Names of the needs that were not met.
  returned: success
  type: list
  elements: str
added:
  description: Packages that were, or would be, installed, each with its version.
  returned: success
  type: dict
upgraded:
  description: Packages that were, or would be, upgraded, each with its new version.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils.engines import packages
from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "needs": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "packages": {"type": "list", "elements": "str", "required": True},
                    "provided_by": {"type": "list", "elements": "str", "default": []},
                    "programs": {"type": "list", "elements": "str", "default": []},
                    "python_modules": {"type": "list", "elements": "str", "default": []},
                },
            },
            "install": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    needs = [
        packages.Need(need.pop("name"), **{key: tuple(value) for key, value in need.items()})
        for need in module.params["needs"]
    ]
    try:
        result = packages.ensure(
            needs, install=module.params["install"], check_mode=module.check_mode
        )
    except VcompareError as error:
        module.fail_json(**error.as_result())
    rows = [f"{name} {version}\n" for name, version in sorted(result["added"].items())]
    rows += [
        f"{name} {version} (upgrade)\n" for name, version in sorted(result["upgraded"].items())
    ]
    module.exit_json(**result, diff={"before": "", "after": "".join(rows)})


if __name__ == "__main__":
    main()
