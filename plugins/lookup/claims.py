# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: claims
short_description: The claims that a run is judged by
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Reads the claims that come with the collection (C(roles/measure/files/claims.yml)) and those of further files,
    for O(vcompare.lab.bundle#module:claims).
  - Where the requirements of the collection (its C(requirements.txt)) are installed on the controller, every field is
    checked, since a wrong one would come to light after hours of measuring. Without them, only what the bundle needs is
    checked.
options:
  _terms:
    description:
      - Files of claims, beside those of the collection. A relative name is looked for as by the lookup
        P(ansible.builtin.file#lookup).
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Open the bundle, with claims of our own
  vcompare.lab.bundle:
    claims: "{{ query('vcompare.lab.claims', 'ours.yml') }}"
    # …
"""

RETURN = r"""
_raw:
  description: For each file its name (C(file)) and what it says (C(claims)); the collection's own comes first.
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.vcompare.lab.plugins.plugin_utils import runner

SHIPPED = Path(__file__).resolve().parents[2] / "roles" / "measure" / "files" / "claims.yml"


class LookupModule(LookupBase):
    """The claims of the collection and of a user."""

    def run(self, terms: t.Any, variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, t.Any]]:
        """Return one entry for each file."""
        self.set_options(var_options=variables, direct=kwargs)
        names = [str(term).strip() for term in self._flatten(terms)]
        paths = [self._find(variables, name) for name in names if name]
        try:
            runner.load("verdict.declared").check_files(paths)
        except ImportError:
            # Nothing is needed to measure; the report, which is made then, says what is wrong with them.
            pass
        except Exception as error:
            remedy = getattr(error, "remedy", "")
            # Not `from error`: Ansible would print all that led to it as well.
            raise AnsibleError(
                f"vcompare_claims: {error}{f'; {remedy}' if remedy else ''}"
            ) from None
        return [{"file": path.name, "claims": read(path)} for path in (SHIPPED, *paths)]

    def _find(self, variables: t.Any, name: str) -> Path:
        path = self.find_file_in_search_path(variables, "files", name, ignore_missing=True)
        if not path:
            raise AnsibleError(
                f"vcompare_claims: there is no file {name}. Name it with its whole path, or put it beside the playbook."
            )
        return Path(path)


def read(path: Path) -> list[t.Any]:
    """Read a file of claims, as far as the bundle needs to know what is in it."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AnsibleError(f"vcompare_claims: {path} can't be read: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != 1:
        raise AnsibleError(f"vcompare_claims: {path} is not a file of claims: it has no schema: 1")
    if not isinstance(data.get("claims"), list):
        raise AnsibleError(f"vcompare_claims: {path} has no list of claims")
    return t.cast(list[t.Any], data["claims"])
