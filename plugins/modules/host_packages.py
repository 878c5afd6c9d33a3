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
extends_documentation_fragment:
  - vcompare.lab.host_needs
options:
  install:
    description:
      - Whether packages may be installed. Where they may not, the module fails and names what is missing.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: >-
      Nothing is installed; the plan is returned. Lists of packages that are older than an hour are fetched into a
      temporary folder.
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

- name: Install it on a host that may be Ubuntu
  vcompare.lab.host_packages:
    needs:
      - id: qemu-xen
        name: QEMU for Xen
    systems:
      - ids: [debian]
        tested: ["12", "13"]
        installed_by_us: true
        command: apt-get install
        packages: {qemu-xen: [qemu-system-xen]}
      - ids: [ubuntu]
        tested: []
        installed_by_us: true
        command: apt-get install
        packages: {qemu-xen: [qemu-system-xen]}
        releases: {"22.04": {qemu-xen: [qemu-system-x86-xen]}}
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
plan:
  description:
    - What is, or would be, done, each with C(kind) (V(package), V(file), V(service), V(module), V(reboot), V(network)
      or V(image)), C(action), C(name) and C(detail). A package that would be fetched has its size in C(bytes).
  returned: success
  type: list
  elements: dict
  sample: [{kind: package, action: add, name: docker.io, detail: "20.10.24+dfsg1-1+deb12u1"}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import packages, systems


def main() -> None:
    module = AnsibleModule(
        argument_spec={**systems.OPTIONS, "install": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    system = systems.of_host(module.params["systems"])
    try:
        result = packages.ensure(
            systems.needs(module.params["needs"], system),
            install=module.params["install"],
            check_mode=module.check_mode,
            system=system,
        )
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
