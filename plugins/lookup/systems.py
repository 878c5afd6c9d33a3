# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: systems
short_description: Systems of a user's own that os-variety starts
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Reads catalogues of systems (C(docs/systems.yml) is one) and checks every field, and the digest of every file that
    is there. An entry whose file is not there is left out.
options:
  _terms:
    description:
      - Catalogues on the controller. A relative name is looked for as by the lookup P(ansible.builtin.file#lookup).
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show which systems are there
  ansible.builtin.debug:
    msg: "{{ query('vcompare.lab.systems', 'systems.yml') | map(attribute='name') }}"
"""

RETURN = r"""
_raw:
  description: The systems, as they are in the catalogue; C(file) is the name that each is kept by.
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.vcompare.lab.plugins.plugin_utils.systems import (
    Entry,
    SystemsError,
    read,
    verify,
)

display = Display()


class LookupModule(LookupBase):
    """A user's systems."""

    def run(self, terms: t.Any, variables: t.Any = None, **kwargs: t.Any) -> list[Entry]:
        """Return the systems whose files are there, or have an address to be had from."""
        self.set_options(var_options=variables, direct=kwargs)
        found: list[Entry] = []
        for name in (str(term).strip() for term in self._flatten(terms)):
            if not name:
                continue
            path = self.find_file_in_search_path(variables, "files", name, ignore_missing=True)
            if not path:
                raise AnsibleError(
                    f"vcompare_systems: there is no file {name}. Name it with its whole path."
                )
            try:
                for entry in read(Path(path)):
                    if not entry.get("there", True):
                        display.warning(
                            f"vcompare_systems: {entry['name']} is left out: there is no {entry['path']}"
                        )
                        continue
                    if "path" in entry:
                        verify(entry)
                    found.append(entry)
            except SystemsError as error:
                raise AnsibleError(f"vcompare_systems: {error}") from None
        return found
