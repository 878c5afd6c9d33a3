#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the report of a bundle
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Writes a report out of what a run's bundle has, on the controller. Nothing is measured again,
    and no host is contacted.
requirements:
  - the packages of the collection's C(requirements.txt) on the controller
options:
  bundle:
    description:
      - The run's folder.
    type: path
    required: true
  output:
    description:
      - The folder to write to. By default, C(report) in the bundle.
    type: path
attributes:
  check_mode:
    support: full
    description: Says where the report would be.
  diff_mode:
    support: none
    description: A report is made as a whole.
  idempotent:
    support: partial
    description: The report of a bundle is always the same, and is written each time.
  action:
    support: full
    description: All of it happens on the controller.
"""

EXAMPLES = r"""
- name: Write the report
  vcompare.lab.report:
    bundle: ~/.local/share/vcompare/runs/20261124-101500-ab12cd
"""

RETURN = r"""
path:
  description: The report's first page.
  returned: success
  type: str
"""
