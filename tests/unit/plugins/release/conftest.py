# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host in a folder: real files; systemctl and modprobe of the test record what they are told."""

from __future__ import annotations

import os
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import cgroup
from ansible_collections.vcompare.lab.plugins.module_utils._engines import carried, xen_boot
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils._release import (
    boot,
    host,
    instances,
    units,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import access

SYSTEMCTL = """\
#!/bin/sh
verb=$1; shift
case $verb in
is-active) grep -qx "$1" {root}/active && echo active || echo inactive; exit;;
is-enabled) grep -qx "$1" {root}/enabled && echo enabled || echo disabled; exit;;
esac
echo "$verb $*" >>{root}/told
for unit; do
    case $verb in stop) sed -i "/^$unit$/d" {root}/active;; disable) sed -i "/^$unit$/d" {root}/enabled;; esac
done
"""
MODPROBE = '#!/bin/sh\necho "modprobe $*" >>{root}/told\nrm -r {root}/modules/$2\n'


class Host:
    """The host of a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.journal = HostJournal(str(self.state / "host-journal.jsonl"))
        for name in ("told", "active", "enabled", "authorized_keys"):
            (root / name).touch()
        (root / "bin").mkdir()
        (root / "modules").mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("modprobe", MODPROBE)):
            (root / "bin" / name).write_text(text.format(root=root))
            (root / "bin" / name).chmod(0o755)

    def told(self) -> list[str]:
        return (self.root / "told").read_text().splitlines()

    def wrote(self, name: str, text: str = "# vcompare\n") -> Path:
        path = self.root / name
        self.journal.file(str(path), text.encode())
        path.write_text(text)
        return path

    def unit(self, unit: str, *, was_enabled: bool = False, was_active: bool = False) -> None:
        """A unit that we enabled and started."""
        words = ("enabled" if was_enabled else "disabled", "active" if was_active else "inactive")
        self.journal.unit(unit, *words)
        for name in ("active", "enabled"):
            with (self.root / name).open("a") as file:
                file.write(f"{unit}\n")

    def module(self, name: str, users: int = 0) -> None:
        self.journal.note("kernel-module", name, {"loaded": False})
        (self.root / "modules" / name).mkdir()
        (self.root / "modules" / name / "refcnt").write_text(f"{users}\n")

    def release(
        self, *allow: str, check_mode: bool = False, lab_home: str = ""
    ) -> dict[str, t.Any]:
        return host.release(Account(check_mode, allow), str(self.state), lab_home)

    def tree(self) -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name != "told"
        }


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Containers and machines that run and are not ours."""
    found: list[str] = []
    monkeypatch.setattr(
        carried,
        "running",
        lambda kinds=(), **_more: [one for one in found if one.rpartition(" ")[0] in kinds],
    )
    return found


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[str]) -> Host:
    found = Host(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(
        instances, "_DAEMONS", dict.fromkeys(("docker", "podman", "kvm"), lambda: False)
    )
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(access, "AUTHORIZED_KEYS", (tmp_path / "authorized_keys",))
    monkeypatch.setattr(units, "_SYS_MODULE", str(tmp_path / "modules"))
    monkeypatch.setattr(boot, "XEN_SETTINGS", str(tmp_path / "xen.cfg"))
    monkeypatch.setattr(xen_boot, "SETTINGS", str(tmp_path / "grub.d" / "vcompare.cfg"))
    if not shutil.which("grub-editenv"):
        pytest.skip("grub-common is not on this machine")
    return found
