# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages of a host: a real apt and a real dpkg, with a root folder and an archive of their own."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import packages
from ansible_collections.vcompare.lab.plugins.module_utils._engines.packages import Apt
from ansible_collections.vcompare.lab.plugins.module_utils._engines.systems import Need
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from host_tables import system as system_of

# Of which no program is looked for: what this machine has must not count.
DOCKER = Need("Docker's daemon", ("docker.io",), ("docker-ce", "moby-engine"))
SDK = Need("Docker's SDK", ("python3-docker",))
QEMU = Need("QEMU", ("qemu-system-x86",), ("pve-qemu-kvm",))
TOOLS = Need("QEMU's image tools", ("qemu-utils",))

# As Debian and vendors have them, made small. The second version of a name is the older one.
ARCHIVE = [
    ("docker.io", "20.10", "Depends: containerd, runc\nConflicts: docker-ce\n"),
    ("containerd", "1.6", "Conflicts: containerd.io\n"),
    ("runc", "1.1", "Conflicts: containerd.io\n"),
    ("docker-ce", "27.0", "Depends: containerd.io\nConflicts: docker.io\n"),
    ("containerd.io", "1.7", "Conflicts: containerd, runc\n"),
    ("moby-engine", "27.0", ""),
    ("python3-docker", "5.0", "Depends: python3-requests\n"),
    ("python3-requests", "2.28", ""),
    ("proxmox-ve", "8", "Depends: pve-qemu-kvm\n"),
    ("pve-qemu-kvm", "9", "Conflicts: qemu-system-x86\nProvides: qemu-utils\n"),
    ("qemu-system-x86", "7.2", ""),
    ("qemu-utils", "7.2", "Depends: shared (= 1)\n"),
    ("shared", "1", ""),
    ("shared", "2", ""),
]


@dataclasses.dataclass
class System:
    root: Path
    apt: Apt
    journal: HostJournal

    def ensure(
        self,
        *needs: Need,
        install: bool = True,
        check_mode: bool = False,
        on: str = "debian-12",
    ) -> dict[str, t.Any]:
        return packages.ensure(
            needs,
            install=install,
            check_mode=check_mode,
            system=system_of(on),
            apt=self.apt,
            journal=self.journal,
        )

    def give(self, *names: str) -> None:
        """Install what an administrator had before."""
        self.apt.install(list(names))

    def installed(self) -> set[str]:
        return set(packages.versions([name for name, *_rest in ARCHIVE], str(self.root)))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    index = ""
    for name, version, fields in ARCHIVE:
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: test <t@example.org>\n"
            f"{fields}Description: made for a test\n"
        )
        tree = folder / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control)
        deb = folder / f"{name}_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)],
            check=True,
            capture_output=True,
        )
        content = deb.read_bytes()
        index += (
            f"{control}Filename: ./{deb.name}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n"
        )
    (folder / "Packages").write_text(index)
    return folder


@pytest.fixture
def system(tmp_path: Path, archive: Path) -> System:
    root = tmp_path / "root"
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d"):
        (root / name).mkdir(parents=True)
    for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial"):
        (root / name).mkdir(parents=True)
    for name in ("var/cache/apt/archives/partial", "var/log/apt", "etc/apt/trusted.gpg.d"):
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text("")
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    # Another user may not read a test's folders.
    apt = Apt(str(root), ["APT::Sandbox::User=root"])
    subprocess.run(["apt-get", "-q", *apt._options, "update"], check=True, capture_output=True)
    return System(root, apt, HostJournal(str(tmp_path / "journal.jsonl")))


def test_what_is_missing_is_installed_and_recorded_before(system: System) -> None:
    planned = system.ensure(DOCKER, check_mode=True)
    assert planned["changed"]
    assert set(planned["added"]) == {"docker.io", "containerd", "runc"}
    assert (system.installed(), system.journal.entries()) == (set(), [])

    done = system.ensure(DOCKER)
    assert done["changed"]
    assert system.installed() == {"docker.io", "containerd", "runc"}
    assert {entry.name for entry in system.journal.entries()} == system.installed()
    assert system.ensure(DOCKER)["changed"] is False
    assert len(system.journal.entries()) == 3


@pytest.mark.parametrize("daemon", ["docker-ce", "moby-engine"])
def test_any_docker_is_docker_and_stays(system: System, daemon: str) -> None:
    system.give(daemon)
    before = system.installed()
    assert system.ensure(DOCKER)["changed"] is False
    done = system.ensure(DOCKER, SDK)
    assert done["missing"] == ["Docker's SDK"]
    assert system.installed() == before | {"python3-docker", "python3-requests"}


@pytest.mark.parametrize(
    ("had", "need", "named"),
    [
        # As asked for by one package's name: the engine would go, with all of its containers.
        ("docker-ce", Need("Docker", ("docker.io",)), ("docker-ce", "containerd.io")),
        ("proxmox-ve", Need("QEMU", ("qemu-system-x86",)), ("proxmox-ve", "pve-qemu-kvm")),
        ("docker.io", Need("Docker", ("docker-ce",)), ("docker.io", "containerd", "runc")),
    ],
)
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_plan_that_removes_is_refused_by_name(
    system: System, had: str, need: Need, named: tuple[str, ...], check_mode: bool
) -> None:
    system.give(had)
    before = system.installed()
    with pytest.raises(VcompareError) as caught:
        system.ensure(need, check_mode=check_mode)
    for name in named:
        assert f"remove {name} " in caught.value.message
    assert "Nothing was changed" in caught.value.message
    assert caught.value.remedy
    assert system.installed() == before
    assert system.journal.entries() == []


def test_a_plan_that_downgrades_is_refused_by_name(system: System) -> None:
    system.give("shared=2")
    # What apt does where an administrator's pin says so.
    (system.root / "etc/apt/preferences.d/pin").write_text(
        "Package: shared\nPin: version 1\nPin-Priority: 1001\n"
    )
    with pytest.raises(VcompareError, match="downgrade shared from 2 to 1"):
        system.ensure(TOOLS)
    assert packages.versions(["shared"], str(system.root)) == {"shared": "2"}


def test_a_proxmox_host_keeps_its_emulator(system: System) -> None:
    system.give("proxmox-ve")
    assert system.ensure(QEMU)["changed"] is False


def test_what_may_not_be_installed_is_named(system: System) -> None:
    with pytest.raises(VcompareError) as caught:
        system.ensure(DOCKER, SDK, install=False)
    for word in ("Docker's daemon", "docker.io", "Docker's SDK", "vcompare_provision"):
        assert word in caught.value.text
    assert system.installed() == set()


def test_ubuntu_is_provisioned_with_the_same_apt(system: System) -> None:
    assert system.ensure(DOCKER, on="ubuntu-24.04")["changed"]
    assert "docker.io" in system.installed()


@pytest.mark.parametrize("on", ["fedora", "rocky", "leap", "arch", "alpine"])
def test_on_a_system_of_another_kind_nothing_is_installed(system: System, on: str) -> None:
    with pytest.raises(VcompareError) as caught:
        system.ensure(DOCKER, on=on)
    assert "installed on Debian and Ubuntu alone" in caught.value.message
    assert "vcompare_provision to false" in caught.value.remedy
    assert system.installed() == set()
    assert system.journal.entries() == []


def test_a_capability_that_a_host_has_no_use_for_is_not_missing(tmp_path: Path) -> None:
    need = Need("AppArmor's parser", (), only_with=str(tmp_path / "apparmor"))
    assert packages.missing([need]) == []
    (tmp_path / "apparmor").mkdir()
    assert packages.missing([need]) == [need]


def test_a_package_that_no_archive_has_is_an_error(system: System) -> None:
    with pytest.raises(VcompareError, match="nowhere"):
        system.ensure(Need("something", ("nowhere",)))


def test_programs_and_modules_count_wherever_they_come_from() -> None:
    assert packages.missing([Need("a shell", ("no-such-package",), programs=("sh",))]) == []
    assert packages.missing([Need("json", ("no-such-package",), python_modules=("json",))]) == []
    half = Need("half", ("no-such-package",), programs=("sh", "no-such-program"))
    none = Need("none", ("no-such-package",), python_modules=("json", "no_such_module"))
    assert packages.missing([half, none]) == [half, none]
    either = Need("either", ("no-such-package",), programs=("no-such-program|sh", "ls"))
    neither = Need("neither", ("no-such-package",), programs=("no-such-program|nor-this", "ls"))
    assert packages.missing([either, neither]) == [neither]


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder, with its time and content."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def steps_of(result: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Without sizes: what was fetched has none left."""
    return [{key: step[key] for key in step if key != "bytes"} for step in result["plan"]]


@pytest.mark.parametrize("had", [(), ("moby-engine",), ("shared=1", "qemu-system-x86")])
def test_the_plan_of_a_check_is_what_is_then_done(system: System, had: tuple[str, ...]) -> None:
    if had:
        system.give(*had)
    needs = (DOCKER, SDK, QEMU)
    planned = system.ensure(*needs, check_mode=True)
    before = system.installed()
    done = system.ensure(*needs)
    assert steps_of(planned) == steps_of(done)
    assert planned["diff"] == done["diff"]
    assert {step["name"] for step in done["plan"]} == system.installed() - before
    assert all(step["bytes"] > 0 for step in planned["plan"])


def test_an_upgrade_is_planned_with_both_versions(system: System) -> None:
    (system.root / "etc/apt/preferences.d/pin").write_text(
        "Package: shared\nPin: version 1\nPin-Priority: 1001\n"
    )
    system.give("shared")
    (system.root / "etc/apt/preferences.d/pin").unlink()
    result = system.ensure(Need("shared", ("shared=2", "runc")), check_mode=True)
    rows = [(step["action"], step["name"], step["detail"]) for step in result["plan"]]
    assert rows == [("add", "runc", "1.1"), ("upgrade", "shared", "2")]
    assert result["diff"][0]["before"] == "shared 1\n"
    assert result["diff"][0]["after"] == "runc 1.1\nshared 2\n"


@pytest.mark.parametrize("lists", ["fresh", "old", "none", "empty"])
def test_a_check_writes_nothing_and_has_the_lists_that_the_run_would_fetch(
    system: System, lists: str
) -> None:
    folder = system.root / "var/lib/apt/lists"
    if lists == "old":
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (1e9, 1e9))
    elif lists != "fresh":
        shutil.rmtree(folder)
        if lists == "empty":
            (folder / "partial").mkdir(parents=True)
            (folder / "lock").touch()
    before = tree(system.root)
    planned = system.ensure(DOCKER, check_mode=True)
    assert {step["name"] for step in planned["plan"]} == {"docker.io", "containerd", "runc"}
    assert tree(system.root) == before
    assert steps_of(system.ensure(DOCKER)) == steps_of(planned)


def test_descriptions_that_the_host_has_are_kept_when_lists_are_fetched(system: System) -> None:
    folder = system.root / "var/lib/apt/lists"
    theirs = folder / "deb.example.org_dists_stable_main_i18n_Translation-en"
    theirs.write_text("theirs\n")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (1e9, 1e9))
    system.ensure(DOCKER)
    assert theirs.read_text() == "theirs\n"
    assert max(path.stat().st_mtime for path in folder.iterdir()) > 1e9


def test_services_that_packages_start_are_planned_and_then_seen(system: System) -> None:
    need = dataclasses.replace(DOCKER, services=("docker.service", "containerd.service"))
    state = {"docker.service": False, "containerd.service": True}

    def ensure(check_mode: bool, after: bool) -> list[str]:
        asked: list[str] = []

        def active(unit: str) -> bool:
            asked.append(unit)
            return state[unit] or (after and asked.count(unit) > 1)

        result = packages.ensure(
            [need],
            install=True,
            check_mode=check_mode,
            system=system_of("debian-12"),
            apt=system.apt,
            journal=system.journal,
            active=active,
        )
        return [step["name"] for step in result["plan"] if step["kind"] == "service"]

    assert ensure(True, False) == ["docker.service"]
    assert ensure(False, True) == ["docker.service"]


def test_a_service_that_a_policy_keeps_from_starting_is_not_said_to_be_started(
    system: System,
) -> None:
    need = dataclasses.replace(DOCKER, services=("docker.service",))
    result = packages.ensure(
        [need],
        install=True,
        check_mode=False,
        system=system_of("debian-12"),
        apt=system.apt,
        journal=system.journal,
        active=lambda _unit: False,
    )
    assert {step["kind"] for step in result["plan"]} == {"package"}
