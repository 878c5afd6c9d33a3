# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes that every module states in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    """``vcompare.lab.attributes`` for modules that change something, ``.info`` for readers."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in check mode, and then says what would change without changing it.
  diff_mode:
    support: full
    description: >-
      Shows what is or would be changed, from the same comparison that decides
      RV(ignore:changed).
  idempotent:
    support: full
    description: A second run with the same parameters changes nothing.
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Changes nothing, so check mode does the same.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
"""
