#!/usr/bin/python
# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Open or close the bundle of a run
version_added: 0.1.0
author:
  - The vcompare contributors (@vcompare)
description:
  - A bundle is the folder with all that a run is and measured. It is opened before the first block,
    and closed after the last one.
  - Opening a bundle that is there resumes its run, if everything that would make its figures
    another experiment is the same as before.
  - All of it happens on the controller; the host is not contacted.
options:
  home:
    description:
      - The folder that everything is kept in; the bundle is C(runs/<run>) below it.
    type: path
    required: true
  run:
    description:
      - Name of the run. Without it, a new one is made from the time of day.
      - Required with O(state=closed) and O(state=turned).
    type: str
  state:
    description:
      - What the bundle shall be. With V(turned), an open one gets a record of a host that was booted into its other
        system.
    type: str
    choices: [open, turned, closed]
    default: open
  turn:
    description:
      - For O(state=turned), the C(host), the system that it shall have been booted into (C(boot), V(linux) or
        V(xen)), when that C(began) in seconds since 1970, the C(reason) where it failed, and the C(facts) of the host
        in that system, if they are known.
    type: dict
  profile:
    description:
      - What is measured, with C(name), C(blocks) and C(scenarios) at least.
      - C(blocks) is the number of blocks. With a greater C(max_blocks) it is the least number, and
        M(vcompare.lab.measure_next) decides whether there are more.
    type: dict
  budget:
    description:
      - How long may be measured, like V(20m), V(2h), V(1h30m), or a number of seconds. The least
        number of blocks is measured in any case.
    type: str
  stopped:
    description:
      - Why there are no more blocks, as M(vcompare.lab.measure_next) says; it is noted with
        O(state=closed).
    type: str
    choices: ['', blocks, narrow, budget]
  seed:
    description:
      - What the order of the arms is drawn from. Without it, one is drawn, or the resumed run's is
        taken.
    type: int
  hosts:
    description:
      - The hosts of the run by name, each with its C(arms), its C(substrate), whether it is C(planned)
        to be measured, the C(reason) when it is not, and its C(facts); see
        M(vcompare.lab.host_facts).
      - C(unsupported) are arms that the host was asked for and can't carry, each with the reason.
      - C(boots) are the systems that a host is booted into in turns, C(linux) and C(xen), where it is. The manifest
        has its arms of Xen under its name with C(+xen).
    type: dict
  lab:
    description:
      - What the hosts are part of, with C(nested) at least.
    type: dict
  image:
    description:
      - The image's description, as in its C(image.json).
    type: dict
  instance:
    description:
      - The size of an instance, C(vcpus) and C(memory_mib).
    type: dict
  claims:
    description:
      - The claims that the run shall be judged by, a file each, with its name (C(file)) and its C(claims);
        see the lookup P(vcompare.lab.claims#lookup). They become part of the manifest before anything
        is measured.
      - A run that goes on keeps those that it began with; claims of later files that are not among them
        are refused, since margins can't be chosen with results at hand.
      - Without them, the report judges by the claims of whoever makes it, and says so.
    type: list
    elements: dict
attributes:
  check_mode:
    support: full
    description: Says whether a bundle would be made.
  diff_mode:
    support: none
    description: A bundle is only ever added to.
  idempotent:
    support: full
    description: A bundle that is there is resumed.
  action:
    support: full
    description: All of it happens on the controller.
"""

EXAMPLES = r"""
- name: Open the bundle
  vcompare.lab.bundle:
    home: ~/.local/share/vcompare
    profile: {name: quick, blocks: 5, scenarios: [startup, cpu]}
    hosts:
      lab-linux: {arms: [bare, docker], substrate: nested-tcg, planned: true}
    lab: {nested: true, name: default}
    image: "{{ host.image }}"
    instance: {vcpus: 1, memory_mib: 256}
    claims: "{{ query('vcompare.lab.claims') }}"
  register: opened

- name: Close it
  vcompare.lab.bundle:
    home: ~/.local/share/vcompare
    run: "{{ opened.run }}"
    state: closed
"""

RETURN = r"""
run:
  description: Name of the run.
  returned: success
  type: str
  sample: 20261124-101500-ab12cd
path:
  description: The bundle's folder.
  returned: success
  type: str
seed:
  description: What the order of the arms is drawn from.
  returned: when open
  type: int
resumed:
  description: Whether the bundle was there before.
  returned: when open
  type: bool
elapsed_s:
  description: How long the boot took, in seconds.
  returned: when turned
  type: float
finished_at:
  description: When the run came to its end; null while blocks are missing.
  returned: when closed
  type: str
missing:
  description: Blocks that were planned and are not in the bundle.
  returned: when closed
  type: list
  elements: str
  sample: [block 2 of lab-xen]
"""
