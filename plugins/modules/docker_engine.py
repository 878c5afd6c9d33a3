#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine
short_description: Configure and start Docker's daemon
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Merges options into Docker's C(daemon.json), where all others stay, and has the daemon enabled
    and running with them. The options are checked before they are written, by the daemon itself
    where it can (since 23.0), by their names otherwise.
  - The daemon is restarted only when options change, when it does not run, or when it says that a
    wanted option is not in force.
  - When it does not come up, or comes up without a wanted option, the old file is put back, and the
    daemon started with it. The last lines of its journal are in RV(evidence).
  - A C(daemon.json) that is broken is refused, and left as it is.
extends_documentation_fragment:
  - vcompare.lab.attributes
options:
  options:
    description:
      - Options by their names in C(daemon.json). Dictionaries are merged with what is there, other
        values replace it, and null removes an option. C(log-opts) of another C(log-driver) go with it.
    type: dict
    default: {}
  config_file:
    description:
      - The daemon's configuration file.
    type: path
    default: /etc/docker/daemon.json
  socket:
    description:
      - The daemon's socket, which is asked what is in force.
    type: path
    default: /run/docker.sock
  timeout_s:
    description:
      - The longest that the daemon may take to start and to answer, in seconds. An emulated host needs minutes.
    type: float
    default: 900
  allow_restart:
    description:
      - Whether a daemon that carries containers may be restarted. Where it may not, the module fails before anything is
        changed, and names them.
    type: bool
    default: false
notes:
  - In check mode on a host without dockerd, the plan is that of a host on which Docker's package was just installed.
  - Needs systemd for changes. Without it, the module only tells whether the options are in force.
  - Containers stop at a restart, unless the daemon runs with C(live-restore).
seealso:
  - module: vcompare.lab.instance
"""

EXAMPLES = r"""
- name: Docker with a fixed cgroup driver, and address pools that meet nobody else's
  vcompare.lab.docker_engine:
    options:
      exec-opts: [native.cgroupdriver=systemd]
      default-address-pools:
        - base: 10.214.0.0/16
          size: 24
      log-opts:
        max-size: 10m
  become: true
  register: docker

- name: Remove an option
  vcompare.lab.docker_engine:
    options:
      registry-mirrors: null
  become: true
"""

RETURN = r"""
plan:
  description: What is, or would be, done; see M(vcompare.lab.host_packages).
  returned: success, and in check mode also where it is refused
  type: list
  elements: dict
version:
  description: Version of the daemon.
  returned: success, but not in check mode with a restart ahead (like all that the daemon tells)
  type: str
  sample: 20.10.24+dfsg1
api_version:
  description: Version of its interface.
  returned: as RV(version)
  type: str
  sample: "1.41"
storage_driver:
  description: What images and containers are kept with.
  returned: as RV(version)
  type: str
  sample: overlay2
cgroup_driver:
  description: What makes the cgroups of containers.
  returned: as RV(version)
  type: str
  sample: systemd
cgroup_version:
  description: Version of the cgroup interface.
  returned: as RV(version)
  type: str
  sample: "2"
security_options:
  description: What confines containers.
  returned: as RV(version)
  type: list
  elements: str
  sample: [name=apparmor, "name=seccomp,profile=default"]
live_restore:
  description: Whether containers outlive the daemon.
  returned: as RV(version)
  type: bool
default_address_pools:
  description: Where networks get their addresses from; empty for the daemon's own choice.
  returned: as RV(version)
  type: list
  elements: dict
options:
  description: The wanted options as the daemon tells them.
  returned: as RV(version)
  type: list
  elements: dict
  contains:
    name:
      description: Name of the option.
      type: str
    wanted:
      description: What was given.
      type: raw
    observed:
      description: What the daemon says.
      type: raw
    in_force:
      description: Whether that agrees; null for an option that the daemon does not tell.
      type: bool
config:
  description: The whole configuration, merged.
  returned: success
  type: dict
restarted:
  description: Whether the daemon was, or would be, started anew.
  returned: success
  type: bool
why:
  description: Why; empty without a restart.
  returned: success
  type: str
  sample: the options change
checked_by:
  description: What checked the options, V(dockerd) or V(names); null when nothing was to be written.
  returned: success
  type: str
backup_file:
  description: Copy of the file before the change; null without one.
  returned: success
  type: str
evidence:
  description: The last lines of the daemon's journal, or what was wrong with the file.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import carried
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import Api
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_engine import Engine
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_plan import (
    before_installation,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    Service,
    check_apparmor,
    find_dockerd,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "options": {"type": "dict", "default": {}},
            "config_file": {"type": "path", "default": "/etc/docker/daemon.json"},
            "socket": {"type": "path", "default": "/run/docker.sock"},
            "timeout_s": {"type": "float", "default": 900},
            "allow_restart": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    steps = HostPlan()
    try:
        dockerd = find_dockerd(required=not module.check_mode)
        if not dockerd:
            # The task before this one has said that it would install it.
            planned = before_installation(wanted["config_file"], wanted["options"], steps)
            module.exit_json(**planned)
        if not module.check_mode:
            check_apparmor()
        engine = Engine(
            config_file=wanted["config_file"],
            wanted=wanted["options"],
            dockerd=dockerd,
            service=Service(wanted["timeout_s"]),
            api=Api(wanted["socket"]),
            timeout_s=wanted["timeout_s"],
            containers=lambda: carried.running(kinds=[carried.CONTAINER]),
            allow_restart=wanted["allow_restart"],
            records=HostJournal(),
            steps=steps,
        )
        result = engine.converge(module.check_mode)
    except VcompareError as error:
        module.fail_json(**error.as_result(), **(steps.result() if module.check_mode else {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
