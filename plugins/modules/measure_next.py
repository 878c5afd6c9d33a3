#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: measure_next
short_description: Decide whether a run needs another block
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - A run has a least number of blocks, and a greatest. Between the two, another block is measured
    while the interval of an open claim is wider than the claim's margin allows, and while the time
    budget has room for it. All three are in the manifest of the run's bundle; so is C(within_s), the
    seconds that a profile may have for the whole command, which count from O(began).
  - A block that an interrupted session began is always finished on the other hosts.
  - All of it happens on the controller; the host is not contacted.
requirements:
  - the packages of the collection's C(requirements.txt) on the controller, for a run that has more than its least
    number of blocks. Without them, there are no more than those, and the result says so; a profile with C(within_s)
    then goes by the time alone.
options:
  bundle:
    description:
      - The run's folder on the controller, opened by M(vcompare.lab.bundle).
    type: path
    required: true
  after:
    description:
      - Number of the last block; 0 at the beginning.
    type: int
    default: 0
  stopped:
    description:
      - Why there are no more blocks, when that was decided before; it stays decided then.
    type: str
    choices: ['', blocks, narrow, budget]
    default: ''
  began:
    description:
      - When the command began, in seconds since 1970. Without it, C(within_s) is not looked at.
    type: float
  hosts:
    description:
      - The hosts that are measured still. Needed with O(sharing).
    type: list
    elements: str
    default: []
  sharing:
    description:
      - Those of O(hosts) that take turns between plain Linux and Xen, each with the systems that it has arms
        for, V(linux) and V(xen).
      - Blocks are then measured in groups, in both systems, and a run ends with a group only.
    type: dict
    default: {}
  boot:
    description:
      - What the hosts of O(sharing) are booted into.
    type: str
    choices: [linux, xen]
    default: linux
  until:
    description:
      - Last block of the group that is measured, as the last answer has it; 0 at the beginning.
    type: int
    default: 0
  group:
    description:
      - How many blocks are measured before the hosts of O(sharing) are booted into the other system.
    type: int
    default: 5
attributes:
  check_mode:
    support: full
    description: Nothing is changed.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: The same bundle gives the same answer, as long as there is time.
  action:
    support: full
    description: All of it happens on the controller.
seealso:
  - module: vcompare.lab.measure
"""

EXAMPLES = r"""
- name: Choose the next block
  vcompare.lab.measure_next:
    bundle: "{{ opened.path }}"
    after: 5
  register: next
  run_once: true
"""

RETURN = r"""
go_on:
  description: Whether there is another block.
  returned: success
  type: bool
block:
  description: Its number; without another one, the number of the last.
  returned: success
  type: int
boot:
  description: What the hosts that take turns must be booted into for it.
  returned: success
  type: str
until:
  description: Last block of its group, for O(until).
  returned: success
  type: int
stopped:
  description: >-
    Why there is none: V(blocks), as many as there shall be; V(narrow), every open claim's interval
    is narrow enough; V(budget), the time is up. Empty when there is one.
  returned: success
  type: str
open:
  description: The claims that more blocks would help, each with how many about.
  returned: success
  type: list
  elements: dict
  sample: [{"claim": "near-native", "blocks_needed": 7, "why": "cpu of docker: known within 4.0%, not 2.5%"}]
"""
