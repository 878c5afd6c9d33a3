#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_plan
short_description: Show what was planned for a host
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - Collects the steps that earlier tasks of the play registered for the host (C(plan) in the results of
    M(vcompare.lab.host_packages), M(vcompare.lab.docker_engine), M(vcompare.lab.kvm_engine), M(vcompare.lab.xen_boot),
    M(vcompare.lab.networks), M(vcompare.lab.image) and M(vcompare.lab.image_install)), each once, and prints them.
  - In check mode they are what would be done. An action plugin does it; nothing runs on the host.
options: {}
attributes:
  check_mode:
    support: full
    description: Nothing is changed, so check mode does the same.
  diff_mode:
    support: none
    description: Nothing is changed. Without diff mode, the lines show the difference in each file.
  idempotent:
    support: full
    description: Nothing is changed.
"""

EXAMPLES = r"""
- name: Show the plan
  vcompare.lab.host_plan:
  when: ansible_check_mode
"""

RETURN = r"""
plan:
  description:
    - The steps, each with C(kind), C(action), C(name) and C(detail). What has to be transferred has C(bytes).
    - A step that C(vcompare_allow) does not permit has C(needs).
  returned: success
  type: list
  elements: dict
lines:
  description: The same in words, with the difference in each file.
  returned: success
  type: list
  elements: str
"""
