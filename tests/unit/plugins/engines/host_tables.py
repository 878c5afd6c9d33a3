# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tables of the role host_packages, and what distributions say of themselves."""

from __future__ import annotations

import typing as t
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import yaml
from ansible_collections.vcompare.lab.plugins.module_utils._engines import systems
from ansible_collections.vcompare.lab.plugins.module_utils._engines.systems import Need, System
from ansible_collections.vcompare.lab.plugins.module_utils._host import os_release

ROOT = Path(next(iter(collection.__path__)))
VARS = ROOT / "roles" / "host_packages" / "vars" / "main"
PREFIX = "__host_packages_"


def _loaded() -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for path in sorted(VARS.glob("*.yml")):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


LOADED = _loaded()
TABLES: dict[str, dict[str, t.Any]] = {
    name.removeprefix(PREFIX): value for name, value in LOADED.items() if isinstance(value, dict)
}
CAPABILITIES: list[dict[str, t.Any]] = [
    # As Ansible's module gets them.
    {
        "packages": [],
        "provided_by": [],
        "programs": [],
        "python_modules": [],
        "services": [],
        "only_with": None,
        **one,
    }
    for one in LOADED[PREFIX + "capabilities"]
]

# The lines of /etc/os-release that identify a system, as it writes them.
OS_RELEASE = {
    "debian-12": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
    "debian-13": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n',
    "debian-11": 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\nID=debian\n',
    "debian-testing": 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n',
    "devuan": 'PRETTY_NAME="Devuan GNU/Linux 5 (daedalus)"\nVERSION_ID="5"\nID=devuan\nID_LIKE=debian\n',
    "ubuntu-22.04": 'PRETTY_NAME="Ubuntu 22.04.4 LTS"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n',
    "ubuntu-24.04": 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n',
    "mint": 'PRETTY_NAME="Linux Mint 21.3"\nVERSION_ID="21.3"\nID=linuxmint\nID_LIKE="ubuntu debian"\n',
    "fedora": 'PRETTY_NAME="Fedora Linux 40 (Server Edition)"\nVERSION_ID=40\nID=fedora\n',
    "rocky": 'PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\nVERSION_ID="9.4"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
    "rhel": 'PRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"\nVERSION_ID="9.4"\nID="rhel"\nID_LIKE="fedora"\n',
    "eurolinux": 'PRETTY_NAME="EuroLinux 9.2"\nVERSION_ID="9.2"\nID="eurolinux"\nID_LIKE="rhel fedora centos"\n',
    "leap": 'PRETTY_NAME="openSUSE Leap 15.6"\nVERSION_ID="15.6"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n',
    "tumbleweed": 'PRETTY_NAME="openSUSE Tumbleweed"\nID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n',
    "sles": 'PRETTY_NAME="SUSE Linux Enterprise Server 15 SP6"\nVERSION_ID="15.6"\nID="sles"\nID_LIKE="suse"\n',
    "arch": 'PRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n',
    "alpine": 'PRETTY_NAME="Alpine Linux v3.19"\nVERSION_ID=3.19.8\nID=alpine\n',
}


def system(name: str) -> System:
    """The system that has this os-release."""
    return systems.of_host(list(TABLES.values()), os_release.parse(OS_RELEASE[name]))


def needs_of(technology: str, one: System) -> list[Need]:
    """What a technology needs there."""
    return systems.needs([need for need in CAPABILITIES if technology in need["used_by"]], one)
