# Copyright: the vcompare contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of modules that take the tables of the role host_packages."""

from __future__ import annotations


class ModuleDocFragment:
    """``vcompare.lab.host_needs``: capabilities, and what their packages are called on each system."""

    DOCUMENTATION = r"""
options:
  needs:
    description:
      - The capabilities. Each is there when all of its C(packages), any of C(provided_by), all of its C(programs) or
        all of its C(python_modules) are there.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Its key in O(systems).
        type: str
      name:
        description: What it is, for messages.
        type: str
        required: true
      used_by:
        description: The technologies that need it (V(docker), V(kvm) and so on).
        type: list
        elements: str
        default: []
      packages:
        description: Packages that bring it; by default those of the host's system in O(systems).
        type: list
        elements: str
        default: []
      provided_by:
        description: Other packages, each of which brings it.
        type: list
        elements: str
        default: []
      programs:
        description: Programs that bring it together; V(one|other) where either will do.
        type: list
        elements: str
        default: []
      python_modules:
        description: Modules of the system's Python that bring it together.
        type: list
        elements: str
        default: []
      services:
        description: Units of systemd that its packages start when they are installed, for the plan.
        type: list
        elements: str
        default: []
      only_with:
        description: A path; a host without it has no use for this capability.
        type: path
  systems:
    description:
      - Distributions, each with C(ids) (ID or ID_LIKE of C(/etc/os-release)), C(tested) (values of VERSION_ID),
        C(installed_by_us), C(command) (which installs packages), C(packages) and C(provided_by) (by the id of a
        capability), and C(releases) (by VERSION_ID, packages that have another name there). Without any, packages are
        taken for those of apt.
    type: list
    elements: dict
    default: []
"""
