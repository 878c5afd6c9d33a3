# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's catalogue of systems: what is wrong with it is said before anything is made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.vcompare.lab.plugins.lookup import systems as lookup
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import System
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    systems as on_host,
)
from ansible_collections.vcompare.lab.plugins.plugin_utils import systems
from ansible_collections.vcompare.lab.plugins.plugin_utils.systems import SystemsError

ROOT = Path(__file__).parents[4]
ANSIBLE = shutil.which("ansible-playbook", path=os.path.dirname(sys.executable))
ENTRY = {"name": "My BSD", "path": "bsd.raw", "sha256": "a" * 64, "console": "login:"}
DOCS = ROOT / "docs" / "systems.yml"


def write(folder: Path, *entries: dict[str, t.Any]) -> Path:
    path = folder / "systems.yml"
    path.write_text(yaml.safe_dump(list(entries)))
    return path


def query(path: Path) -> list[dict[str, t.Any]]:
    plugin = lookup.LookupModule(loader=DataLoader())
    plugin.set_options = lambda **_kwargs: None
    return plugin.run([str(path)], variables={})


def test_what_is_there_is_taken_and_what_is_not_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "bsd.raw").write_bytes(b"a disk")
    digest = hashlib.sha256(b"a disk").hexdigest()
    path = write(tmp_path, {**ENTRY, "sha256": digest}, {**ENTRY, "name": "B", "path": "b.raw"})
    (entry,) = query(path)
    assert entry == {
        **ENTRY, "sha256": digest, "path": str(tmp_path / "bsd.raw"), "there": True, "boot": "disk",
        "file": "my-bsd",
    }  # fmt: skip


def test_another_file_under_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bsd.raw").write_bytes(b"another disk")
    with pytest.raises(
        AnsibleError, match=r"vcompare_systems: My BSD: .* has the sha256 [0-9a-f]+"
    ):
        query(write(tmp_path, ENTRY))


def test_the_example_is_a_catalogue() -> None:
    entries = systems.read(DOCS)
    assert [entry["name"] for entry in entries] == ["FreeBSD", "Alpine", "openSUSE", "Windows"]
    fields = System.__dataclass_fields__
    for entry in entries:
        # What a host is told of it must be what the arms know.
        System(**{key: value for key, value in entry.items() if key in fields})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": ""}, "sha256 must be given"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"console": "("}, "not a regular expression"),
        ({"console": None}, "console is None"),
        ({"url": "https://example.org/x"}, "either path or url"),
        ({"path": ""}, "either path or url"),
        ({"path": "", "url": "ftp://x"}, "must begin with https://"),
        ({"boot": "floppy"}, "it may be disk or kernel"),
        ({"memory_mib": True}, "memory_mib is True"),
        ({"ready_s": 0}, "ready_s is 0"),
        ({"colour": "red"}, "nobody knows colour"),
        ({"name": "../x"}, "the name may have"),
    ],
)
def test_what_nobody_can_start_is_refused(
    tmp_path: Path, change: dict[str, t.Any], says: str
) -> None:
    with pytest.raises(SystemsError, match=says):
        systems.read(write(tmp_path, {**ENTRY, **change}))


@pytest.mark.parametrize("text", ["{", "name: x", "[1]"])
def test_what_is_no_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "systems.yml"
    path.write_text(text)
    with pytest.raises(SystemsError, match=r"can't be read|is not a list"):
        systems.read(path)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemsError, match="two systems are called my-bsd"):
        systems.read(write(tmp_path, ENTRY, {**ENTRY, "name": "my  bsd"}))


@pytest.mark.skipif(ANSIBLE is None, reason="ansible's command line is not beside this Python")
def test_what_the_role_brings_is_what_a_host_reads(tmp_path: Path) -> None:
    catalogue = []
    for name, content in (("bsd.raw", b"a disk"), ("cd.iso", b"a cd")):
        (tmp_path / name).write_bytes(content)
        catalogue.append({**ENTRY, "name": name, "sha256": hashlib.sha256(content).hexdigest()})
    catalogue[0] |= {"path": "bsd.raw", "memory_mib": 512, "linux": True}
    catalogue[1] |= {"path": "", "url": f"file://{tmp_path}/cd.iso", "cmdline": "quiet"}
    host = tmp_path / "host"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "__measure_systems_files": [str(write(tmp_path, *catalogue))],
            "__measure_own_systems_folder": str(host),
            "measure_home": str(tmp_path / "home"),
        },
        "tasks": [
            {"ansible.builtin.include_tasks": str(ROOT / "roles/measure/tasks/own_systems.yml")}
        ],
    }
    (tmp_path / "home").mkdir()
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [str(ANSIBLE), str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    disk, cd = on_host.read(str(host))
    assert (disk.name, disk.boot, disk.memory_mib, disk.linux) == ("bsd.raw", "disk", 512, True)
    assert Path(disk.path).read_bytes() == b"a disk"
    assert (cd.cmdline, Path(cd.path).read_bytes()) == ("quiet", b"a cd")
