# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: jump
short_description: The ssh option by which a host is reached through another one
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Gives the option C(-o ProxyCommand=…) of ssh, quoted for C(ansible_ssh_common_args), whose command connects to
    another host of the inventory and goes on from there.
  - How that host is reached is worked out by Ansible's own connection plugin ssh, so that every variable, setting and
    option of it counts, a jump host of its own included.
  - Nothing asks for a password or a passphrase there, since a command of ssh has no terminal.
options:
  _terms:
    description: Name of the host to go through.
    required: true
"""

EXAMPLES = r"""
- name: Show how a node of another machine's lab is reached
  ansible.builtin.debug:
    msg: "{{ lookup('vcompare.lab.jump', 'server-one') }}"
"""

RETURN = r"""
_raw:
  description: The option, one for each host that was named.
  type: list
  elements: str
"""

import os
import shlex
import typing as t

from ansible import constants
from ansible.errors import AnsibleLookupError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader
from ansible.plugins.lookup import LookupBase

_SSH = ("ssh", "smart", "ansible.builtin.ssh")
# A connection that another one goes through is not shared: it would outlive its own.
_FIRST = ("-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none")
_SECRETS = ("password", "private_key_passphrase", "pkcs11_provider")


def command(server: str, hostvars: t.Mapping[str, t.Any]) -> list[str]:
    """Return the command that connects standard input and output to ``%h:%p`` through a host.

    :param hostvars: that host's own variables.
    :raises AnsibleLookupError: it is not reached by ssh, or needs a secret that can't be given.
    """
    kind = str(hostvars.get("ansible_connection", "ssh"))
    if kind not in _SSH:
        raise AnsibleLookupError(
            f"{server} is reached by {kind}, and nodes can be reached through ssh only. "
            "Set ansible_connection=ssh for it, or run vcompare on it (lab_server: localhost)."
        )
    connection = connection_loader.get("ssh", PlayContext(), os.devnull)
    names = constants.config.get_plugin_vars("connection", connection._load_name)
    own = {name: hostvars[name] for name in names if name in hostvars}
    connection.set_options(var_options={"inventory_hostname": server, **own})
    for option in _SECRETS:
        if connection.has_option(option) and connection.get_option(option):
            raise AnsibleLookupError(
                f"{server} is reached with a secret ({option}), which can't be given to it as a jump host. "
                f"Use a key without a passphrase or an ssh agent for {server} (ansible_ssh_private_key_file)."
            )
    executable, *rest = (
        word.decode()
        for word in connection._build_command(
            connection.get_option("ssh_executable"),
            "ssh",
            "-W",
            "%h:%p",
            connection.get_option("host") or server,
        )
    )
    # ssh replaces its own marks only in what was written here.
    marked = [word if word == "%h:%p" else word.replace("%", "%%") for word in rest]
    return [executable.replace("%", "%%"), *_FIRST, *marked]


class LookupModule(LookupBase):
    """How hosts behind another one are reached."""

    def run(self, terms: t.Any, variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        """Return one option for each host."""
        self.set_options(var_options=variables, direct=kwargs)
        found = []
        for server in terms:
            if server not in variables["hostvars"]:
                raise AnsibleLookupError(
                    f"There is no host {server} in the inventory to go through."
                )
            words = command(str(server), variables["hostvars"][server])
            found.append(f"-o {shlex.quote(f'ProxyCommand={shlex.join(words)}')}")
        return found
