# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: contract
short_description: The tables that roles, modules and the report share
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Gives a table that follows from the rows of C(plugins/module_utils/_contract/).
options:
  _terms:
    description:
      - Name of one table.
      - V(arms) are the arms that a user chooses, V(choices) the same with the planted effect, V(measured) all.
      - V(arms_of_group), V(arms_of_peers) and V(arms_of_technology) are dictionaries of lists of arms.
      - V(not_by_default) are the arms that are measured only where they are named.
      - V(limited_by_cgroups) are the arms whose instances the host's control groups limit.
      - V(scenarios) are all scenarios, V(images_of_scenario) the further images of each.
      - V(timeout_factors) says of each substrate how much longer a step may take than on real hardware.
      - V(images_of_arm) are the further images, V(image_files_of_arm) the files of the guest image that an arm needs.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the arms of Xen hosts
  ansible.builtin.debug:
    msg: "{{ lookup('vcompare.lab.contract', 'arms_of_group').xen_hosts }}"
"""

RETURN = r"""
_raw:
  description: The table.
  type: list
  elements: raw
"""

import json
import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.vcompare.lab.plugins.module_utils._contract import (
    arms,
    scenarios,
    substrates,
)

TABLES: t.Mapping[str, t.Any] = {**arms.TABLES, **scenarios.TABLES, **substrates.TABLES}


class LookupModule(LookupBase):
    """A table of the contract."""

    def run(self, terms: t.Any, variables: t.Any = None, **kwargs: t.Any) -> list[t.Any]:
        """Return the table as the only element."""
        if len(terms) != 1 or terms[0] not in TABLES:
            raise AnsibleLookupError(
                f"vcompare.lab.contract: name one table of {', '.join(TABLES)}, not {', '.join(map(str, terms))}."
            )
        # Lists, where the rows have tuples.
        return [json.loads(json.dumps(TABLES[terms[0]]))]
