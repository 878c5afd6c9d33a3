# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: home
short_description: The folder that keeps labs, images and runs
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Gives the absolute path of the home on the controller, E(VCOMPARE_HOME), or else the folder C(vcompare) in the
    XDG data folder (E(XDG_DATA_HOME), C(~/.local/share)).
options: {}
"""

EXAMPLES = r"""
- name: Show where things are kept
  ansible.builtin.debug:
    msg: "{{ lookup('vcompare.lab.home') }}"
"""

RETURN = r"""
_raw:
  description: The path.
  type: list
  elements: str
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import default_home


class LookupModule(LookupBase):
    """Where this controller keeps what it keeps."""

    def run(self, terms: t.Any, variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        """Return the path as the only element."""
        self.set_options(var_options=variables, direct=kwargs)
        return [default_home()]
