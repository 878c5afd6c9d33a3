#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_release
short_description: Remove everything of ours from a server
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Removes instances of all arms, their networks and images, and then undoes what the host's journal says was changed
    for them (options of Docker's daemon, units of systemd, files, a kernel module, the boot menu), and removes the
    state folder with the journal last.
  - Only what still is as it was left by us is changed. A file that others changed since then, a unit that carries
    containers or machines of others, and whatever could not be removed is left, and named in RV(left).
  - Packages stay. Those that were installed by us are in RV(packages).
  - A call that was killed goes on with the next one. A call on a host where nothing of ours is changes nothing.
options:
  scope:
    description:
      - V(host) is everything but what lies in the home folder of the user that Ansible connects as, which is V(user)
        and needs no root.
    type: str
    choices: [host, user]
    default: host
  allow:
    description:
      - What may be done to the host. V(restart) permits restarting Docker's daemon with containers of others.
        V(reboot) has RV(reboot_required) ask for a reboot where the host was booted into Xen; with containers or
        machines of others it needs V(restart), too. Where it is not permitted, RV(left) names what remains.
    type: list
    elements: str
    choices: [restart, reboot]
    default: []
  lab_home:
    description:
      - The home folder of nested labs, on a lab server. Labs that are still there are named in RV(left).
    type: path
  remote:
    description:
      - Whether the host is another machine than the controller. On the controller, O(scope=user) leaves the home folder
        with runs and images alone.
    type: bool
    default: true
extends_documentation_fragment:
  - vcompare.lab.attributes
notes:
  - In check mode, what others would have to be asked for (such as ports of a network) is looked at as far as that is
    possible while instances of ours still run.
seealso:
  - module: vcompare.lab.docker_engine
  - module: vcompare.lab.kvm_engine
  - module: vcompare.lab.xen_boot
"""

EXAMPLES = r"""
- name: Remove everything of ours
  vcompare.lab.host_release:
    allow: [restart]
  become: true
  register: release

- name: Remove what lies in the user's home folder
  vcompare.lab.host_release:
    scope: user
"""

RETURN = r"""
released:
  description: Whether nothing of ours is left but packages.
  returned: success
  type: bool
removed:
  description: What was removed or made what it was before, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What it is.
      type: str
      sample: file
    name:
      description: Its name or path.
      type: str
      sample: /etc/modules-load.d/vcompare-kvm.conf
    action:
      description: What was done with it.
      type: str
      sample: removed
left:
  description: What could not be removed.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What it is.
      type: str
      sample: unit
    name:
      description: Its name or path.
      type: str
      sample: docker.service
    why:
      description: Why it was left.
      type: str
      sample: it carries container web
    remedy:
      description: What can be done about it; empty where that is unknown.
      type: str
packages:
  description: Packages that were installed by us and are still there.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the package.
      type: str
      sample: docker.io
    version:
      description: Its version.
      type: str
packages_command:
  description: The command that would remove them; empty where there are none.
  returned: success
  type: str
  sample: apt-get purge docker.io
reboot_required:
  description: Whether the host must be rebooted, which is allowed, and this module run again after that.
  returned: success
  type: bool
"""

import pathlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._release import host
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account

_OPTIONS = {
    "scope": {"type": "str", "choices": ["host", "user"], "default": "host"},
    "allow": {
        "type": "list",
        "elements": "str",
        "choices": ["restart", "reboot"],
        "default": [],
    },
    "lab_home": {"type": "path"},
    "remote": {"type": "bool", "default": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    params = module.params
    account = Account(module.check_mode, params["allow"])
    try:
        if params["scope"] == "user":
            result = host.release_user(account, str(pathlib.Path.home()), params["remote"])
        else:
            result = host.release(account, lab_home=params["lab_home"] or "")
    except VcompareError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
