# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which system a host has, and what its packages are called there."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._engines import systems
from ansible_collections.vcompare.lab.plugins.module_utils._host import os_release
from host_tables import CAPABILITIES, TABLES, needs_of, system


@pytest.mark.parametrize(
    ("name", "tested", "installed_by_us", "install"),
    [
        ("debian-12", True, True, "apt-get install docker.io"),
        ("debian-13", True, True, "apt-get install docker.io"),
        ("debian-11", False, True, "apt-get install docker.io"),
        ("debian-testing", False, True, "apt-get install docker.io"),
        # A derivative has its relative's names, and not its tests.
        ("devuan", False, True, "apt-get install docker.io"),
        ("ubuntu-22.04", False, True, "apt-get install docker.io"),
        ("ubuntu-24.04", False, True, "apt-get install docker.io"),
        ("mint", False, True, "apt-get install docker.io"),
        ("fedora", False, False, "dnf install moby-engine"),
        # Closer to RHEL than to Fedora, which it names as well.
        ("rocky", False, False, "dnf install docker-ce"),
        ("rhel", False, False, "dnf install docker-ce"),
        ("eurolinux", False, False, "dnf install docker-ce"),
        ("leap", False, False, "zypper install docker"),
        ("tumbleweed", False, False, "zypper install docker"),
        ("sles", False, False, "zypper install docker"),
        ("arch", False, False, "pacman -S docker"),
    ],
)
def test_a_system_is_recognised(
    name: str, tested: bool, installed_by_us: bool, install: str
) -> None:
    found = system(name)
    assert (found.tested, found.installed_by_us) == (tested, installed_by_us)
    docker = [need for need in needs_of("docker", found) if need.id == "docker"]
    assert found.install(docker) == install
    assert found.notice == ("" if tested else f"This collection was not tested on {found.name}.")


def test_an_unknown_system_is_not_provisioned_and_its_needs_are_named() -> None:
    found = system("alpine")
    assert not found.installed_by_us
    assert "Docker's daemon" in found.install(needs_of("docker", found))
    assert "Alpine Linux v3.19" in found.notice
    assert systems.of_host(list(TABLES.values()), {}).name == "an unknown system"


def test_a_release_may_have_another_name() -> None:
    names = {
        release: [
            need.packages for need in needs_of("xen", system(release)) if need.id == "qemu-xen"
        ]
        for release in ("ubuntu-22.04", "ubuntu-24.04")
    }
    assert names == {
        "ubuntu-22.04": [("qemu-system-x86-xen",)],
        "ubuntu-24.04": [("qemu-system-xen",)],
    }


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_names_capabilities_that_there_are(name: str) -> None:
    known = {one["id"] for one in CAPABILITIES}
    table = TABLES[name]
    assert set(table["packages"]) <= known
    assert set(table.get("provided_by", {})) <= known
    assert all(set(names) <= known for names in table.get("releases", {}).values())
    if table["installed_by_us"]:
        # What is installed must have a package.
        assert set(table["packages"]) == known


def test_names_without_a_system_are_those_of_apt() -> None:
    found = systems.of_host([], {"ID": "debian", "PRETTY_NAME": "Debian"})
    assert (found.tested, found.installed_by_us, found.notice) == (True, True, "")


def test_os_release_is_read_as_the_shell_reads_it(tmp_path: Path) -> None:
    text = '# a comment\nID=x\nPRETTY_NAME=\'A "B" C\'\nBROKEN="open\nNAME=D\nnothing\n'
    assert os_release.parse(text) == {"ID": "x", "PRETTY_NAME": 'A "B" C', "NAME": "D"}
    file = tmp_path / "os-release"
    file.write_text("ID=x\n")
    assert os_release.read([str(tmp_path / "missing"), str(file)]) == {"ID": "x"}
    assert os_release.read([str(tmp_path / "missing")]) == {}
    # This machine's own.
    assert os_release.read()["ID"]
