# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The choices of options that take arms, from the rows of the contract."""

from __future__ import annotations

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import ARMS, CHOICES


class ModuleDocFragment:
    """``vcompare.lab.arms`` for an option ``arms``, ``.one`` for ``arm``, ``.asked`` for what a user may ask for."""

    # With their types: yamllint of ansible-test reads plain assignments, and no text that is put together.
    DOCUMENTATION: str = f"""
options:
  arms:
    type: list
    elements: str
    choices: [{", ".join(ARMS)}]
"""

    ONE: str = f"""
options:
  arm:
    type: str
    choices: [{", ".join(ARMS)}]
"""

    ASKED: str = f"""
options:
  arms:
    type: list
    elements: str
    choices: [{", ".join(CHOICES)}]
  required_arms:
    type: list
    elements: str
    choices: [{", ".join(CHOICES)}]
"""
