# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is missing on a host that is used as it is: real sockets, and programs of this test in place of the host's."""

from __future__ import annotations

import dataclasses
import http.server
import os
import shutil
import socket
import socketserver
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    kvm_engine,
    packages,
    requirements,
    xen_running,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    Service,
    ServiceState,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.requirements import Asked, Lack
from ansible_collections.vcompare.lab.plugins.module_utils._host import hardware
from host_tables import needs_of, system

ALL = ["docker", "image", "kvm", "podman", "xen"]
PROGRAMS = [
    *("tar", "zstd", "dockerd", "apparmor_parser", "iptables", "podman", "dnsmasq", "virsh"),
    *("libvirtd", "qemu-system-x86_64", "qemu-img", "brctl", "xl"),
]
DOM0 = {"dom0": True, "dom0_memory_mib": 1000}
NO_XEN = {"dom0": False, "dom0_memory_mib": None}


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class _Daemon(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"ApiVersion": "1.41"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Quiet."""


@dataclasses.dataclass
class Host:
    root: Path
    patch: pytest.MonkeyPatch
    listening: list[socket.socket] = dataclasses.field(default_factory=list)
    docker: _Server | None = None

    def has(self, *programs: str) -> None:
        for name in programs:
            path = self.root / "bin" / name
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)

    def lacks_program(self, name: str) -> None:
        (self.root / "bin" / name).unlink()

    def listen(self, name: str) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(self.root / name))
        server.listen(8)
        self.listening.append(server)

    def start_docker(self) -> None:
        def handler(request: t.Any, _client: t.Any, server: t.Any) -> None:
            _Daemon(request, ("docker", 0), server)

        self.docker = _Server(str(self.root / "docker.sock"), handler)
        threading.Thread(target=self.docker.serve_forever, daemon=True).start()

    def runs_everything(self) -> None:
        self.has(*PROGRAMS)
        self.start_docker()
        self.listen("podman.sock")
        self.listen("libvirt-sock")
        (self.root / "leases").mkdir()
        self.patch.setattr(packages, "_importable", set)
        self.patch.setattr(xen_running, "running", lambda: DOM0)

    def lacks(
        self, *names: str, on: str = "debian-12", provision: bool = False, **asked: t.Any
    ) -> list[Lack]:
        one = system(on)
        needs = {
            # The device model has fixed paths, which are this machine's.
            name: [need for need in needs_of(name, one) if need.id != "qemu-xen"]
            for name in names
        }
        return requirements.lacks(Asked(names, **asked), needs, one, provision)

    def close(self) -> None:
        for server in self.listening:
            server.close()
        if self.docker:
            self.docker.shutdown()
            self.docker.server_close()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    (tmp_path / "bin").mkdir()
    one = Host(tmp_path, monkeypatch)
    monkeypatch.setattr(command, "search_path", lambda: str(tmp_path / "bin"))
    # No package of this machine counts.
    monkeypatch.setattr(packages, "versions", lambda _names, _root="": {})
    monkeypatch.setattr(packages, "_importable", lambda _names: set())
    monkeypatch.setattr(requirements, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(requirements, "_PODMAN_SOCKET", str(tmp_path / "podman.sock"))
    sockets = (
        (str(tmp_path / "libvirt-sock"),),
        (str(tmp_path / "virtqemud-sock"), str(tmp_path / "virtnetworkd-sock")),
    )
    monkeypatch.setattr(requirements, "_LIBVIRT_SOCKETS", sockets)
    monkeypatch.setattr(requirements, "_DEVICE", "/dev/null")
    monkeypatch.setattr(kvm_engine, "LEASES", str(tmp_path / "leases"))
    monkeypatch.setattr(kvm_engine, "wanted_module", lambda: "kvm_intel")
    monkeypatch.setattr(kvm_engine, "loaded", lambda _module: True)
    monkeypatch.setattr(hardware, "cgroup_version", lambda: 2)
    monkeypatch.setattr(xen_running, "running", lambda: NO_XEN)
    monkeypatch.setattr(Service, "state", lambda _self: ServiceState(managed=True))
    yield one
    one.close()


def commands(found: list[Lack]) -> dict[str, str]:
    return {lack.code: lack.command for lack in found}


def test_a_host_that_has_everything_lacks_nothing(host: Host) -> None:
    host.runs_everything()
    for name in ALL:
        assert host.lacks(name) == [], name
    assert host.lacks(*ALL) == []


def test_everything_that_is_missing_is_said_at_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cgroup_version", lambda: 1)
    monkeypatch.setattr(kvm_engine, "loaded", lambda _module: False)
    found = host.lacks(*ALL)
    codes = [lack.code for lack in found]
    assert sorted(codes) == sorted(
        ["cgroups", "package", "service", "service", "service", "kernel-module", "directory", "xen"]
    )
    [names] = [lack.command for lack in found if lack.code == "package"]
    for package in ("docker.io", "python3-docker", "libvirt-daemon-system", "xen-system-amd64"):
        assert package in names.split()
    with pytest.raises(VcompareError) as caught:
        requirements.refuse(Asked(ALL), found, system("debian-12"), provision=False)
    for lack in found:
        assert f"- {lack.what}: {lack.command}" in caught.value.message.splitlines()
    assert "vcompare_provision" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("on", "command"),
    [
        ("debian-13", "apt-get install zstd"),
        ("ubuntu-24.04", "apt-get install zstd"),
        ("fedora", "dnf install zstd"),
        ("leap", "zypper install zstd"),
        ("arch", "pacman -S zstd"),
    ],
)
def test_a_program_is_named_with_the_system_s_command(host: Host, on: str, command: str) -> None:
    host.runs_everything()
    host.lacks_program("zstd")
    assert commands(host.lacks("image", on=on)) == {"package": command}


@pytest.mark.parametrize(
    ("state", "code", "command"),
    [
        (
            ServiceState(managed=True, active=False),
            "service",
            "systemctl enable --now docker.service",
        ),
        (ServiceState(managed=True, masked=True), "service", "systemctl unmask docker.service && "),
        (ServiceState(managed=True, active=True), "socket", "journalctl --unit docker.service"),
        (ServiceState(managed=False), "service", "systemctl enable --now docker.service"),
    ],
)
def test_a_docker_that_does_not_answer(
    host: Host, monkeypatch: pytest.MonkeyPatch, state: ServiceState, code: str, command: str
) -> None:
    host.has(*PROGRAMS)
    monkeypatch.setattr(packages, "_importable", set)
    monkeypatch.setattr(Service, "state", lambda _self: state)
    [lack] = host.lacks("docker")
    assert lack.code == code
    assert lack.command.startswith(command)
    host.start_docker()
    assert host.lacks("docker") == []


def test_a_docker_that_answers_is_there_wherever_its_program_is(host: Host) -> None:
    host.runs_everything()
    host.lacks_program("dockerd")
    assert host.lacks("docker") == []


def test_libvirt_may_be_one_daemon_or_several(host: Host) -> None:
    host.runs_everything()
    host.listening.pop().close()
    os.unlink(host.root / "libvirt-sock")
    assert commands(host.lacks("kvm")) == {"service": "systemctl enable --now libvirtd.socket"}
    host.lacks_program("libvirtd")
    host.has("virtqemud")
    host.listen("virtqemud-sock")
    # Machines, and no networks for them.
    wanted = "systemctl enable --now virtqemud.socket virtnetworkd.socket"
    assert commands(host.lacks("kvm")) == {"service": wanted}
    host.listen("virtnetworkd-sock")
    assert host.lacks("kvm") == []


def test_the_module_the_device_and_the_processor_are_different_things(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.runs_everything()
    monkeypatch.setattr(requirements, "_DEVICE", str(host.root / "kvm"))
    assert [lack.code for lack in host.lacks("kvm")] == ["device"]
    monkeypatch.setattr(kvm_engine, "loaded", lambda _module: False)
    assert commands(host.lacks("kvm")) == {"kernel-module": "modprobe kvm_intel"}
    monkeypatch.setattr(kvm_engine, "wanted_module", lambda: "")
    assert [lack.code for lack in host.lacks("kvm", kvm_required=True)] == ["processor"]
    # Not asked for by name: such a host is measured without KVM, and needs nothing for it.
    shutil.rmtree(host.root / "bin")
    assert host.lacks("kvm", kvm_required=False) == []


@pytest.mark.parametrize(
    ("now", "codes"),
    [
        (DOM0, []),
        (NO_XEN, ["xen"]),
        ({"dom0": True, "dom0_memory_mib": 512}, ["dom0-memory"]),
        ({"dom0": True, "dom0_memory_mib": 4096}, []),
    ],
)
def test_xen_is_a_dom0_with_memory(
    host: Host, monkeypatch: pytest.MonkeyPatch, now: dict[str, t.Any], codes: list[str]
) -> None:
    host.runs_everything()
    monkeypatch.setattr(xen_running, "running", lambda: now)
    found = host.lacks("xen")
    # A Xen that runs is installed; one that does not may be missing.
    assert [lack.code for lack in found] == (["package", *codes] if "xen" in codes else codes)


def test_a_dom0_without_tools(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.runs_everything()

    def fails() -> t.NoReturn:
        raise VcompareError("asking Xen what it is: the program xl is not on this machine.")

    monkeypatch.setattr(xen_running, "running", fails)
    assert "xl" in next(lack.what for lack in host.lacks("xen") if lack.code == "service")


def test_a_host_that_is_provisioned_lacks_only_what_that_can_not_bring(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("debian-12", "ubuntu-24.04"):
        assert host.lacks(*ALL, on=name, provision=True) == []
        requirements.refuse(Asked(ALL), [], system(name), provision=True)
    monkeypatch.setattr(hardware, "cgroup_version", lambda: 1)
    found = host.lacks(*ALL, provision=True)
    assert [lack.code for lack in found] == ["cgroups"]
    with pytest.raises(VcompareError, match="unified_cgroup_hierarchy=1"):
        requirements.refuse(Asked(ALL), found, system("debian-12"), provision=True)
    assert host.lacks(*ALL, provision=True, cgroups=False) == []


def test_a_system_without_apt_is_not_provisioned(host: Host) -> None:
    found = host.lacks(*ALL, on="rocky", provision=True)
    with pytest.raises(VcompareError) as caught:
        requirements.refuse(Asked(ALL), found, system("rocky"), provision=True)
    for word in ("Rocky Linux 9.4", "dnf install", "docker-ce", "libvirt-client"):
        assert word in caught.value.message
    assert "vcompare_provision to false" in caught.value.remedy
    # Also where nothing is missing: daemons and boot menus would be changed.
    host.runs_everything()
    assert host.lacks("docker", on="rocky", provision=True) == []
    with pytest.raises(VcompareError, match="only Debian and Ubuntu are provisioned"):
        requirements.refuse(Asked(["docker"]), [], system("rocky"), provision=True)
    requirements.refuse(Asked(["image"]), [], system("rocky"), provision=True)


def test_an_older_python_is_named() -> None:
    assert requirements._python((3, 11)) == requirements._python((3, 13)) == []
    [lack] = requirements._python((3, 10))
    assert "Python 3.10" in lack.what
    assert "ansible_python_interpreter" in lack.command


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ([], []),
        (["bare"], ["image"]),
        (["docker", "bare"], ["docker", "image"]),
        (["docker-in-kvm"], ["image", "kvm"]),
        (["docker-in-xen", "xen-hvm"], ["image", "xen"]),
        (["xen-dom0", "podman", "kvm"], ["image", "kvm", "podman", "xen"]),
    ],
)
def test_the_arms_decide_what_is_needed(arms: list[str], expected: list[str]) -> None:
    assert requirements.technologies(arms) == expected
