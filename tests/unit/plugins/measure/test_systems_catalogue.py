# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's catalogue of systems: what is wrong with it is said before anything is made."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.vcompare.lab.plugins.lookup import systems as lookup
from ansible_collections.vcompare.lab.plugins.module_utils.backends.protocol import System
from ansible_collections.vcompare.lab.plugins.plugin_utils import systems
from ansible_collections.vcompare.lab.plugins.plugin_utils.systems import SystemsError

ENTRY = {"name": "My BSD", "path": "bsd.raw", "sha256": "a" * 64, "console": "login:"}
DOCS = Path(__file__).parents[4] / "docs" / "systems.yml"


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
        ({"console": "("}, "no regular expression"),
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
    with pytest.raises(SystemsError, match=r"can't be read|is no list"):
        systems.read(path)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemsError, match="two systems are called my-bsd"):
        systems.read(write(tmp_path, ENTRY, {**ENTRY, "name": "my  bsd"}))
