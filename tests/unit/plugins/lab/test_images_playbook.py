# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who builds the image for servers: the playbook itself, in check mode, with hosts that are this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._images import builder

ROOT = Path(next(iter(collection.__path__)))
LOCAL = f"ansible_connection=local ansible_python_interpreter={sys.executable}"


def run(folder: Path, inventory: str) -> subprocess.CompletedProcess[str]:
    (folder / "hosts.ini").write_text(inventory)
    return subprocess.run(
        [
            *(sys.executable, "-m", "ansible.cli.playbook", "--check"),
            *("-i", str(folder / "hosts.ini"), str(ROOT / "playbooks" / "images.yml")),
            *("-e", json.dumps({"vcompare_home": str(folder / "home")})),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(folder / "ansible")},
    )


def builders(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The hosts of the play that builds."""
    said = done.stdout.partition("image: build the image of all arms")[2].partition("PLAY RECAP")[0]
    return sorted(set(re.findall(r"^(?:ok|changed): \[([^\]]+)\]", said, re.MULTILINE)))


@pytest.mark.parametrize(
    ("inventory", "expected"),
    [
        # The controller, where nobody is named.
        (f"[bare_hosts]\nserver {LOCAL}\n", ["localhost"]),
        (f"[docker_hosts]\nserver {LOCAL}\n[image_builders]\nmaker {LOCAL}\n", ["maker"]),
        (f"[kvm_peers]\nserver {LOCAL}\n[image_builders]\nserver\n", ["server"]),
        # Nodes of a nested lab get the image as disks.
        (f"[bare_hosts]\nnode {LOCAL}\n[lab_nodes]\nnode\n", []),
    ],
)
def test_the_image_is_built_by_the_one_who_is_named_or_the_controller(
    tmp_path: Path, inventory: str, expected: list[str]
) -> None:
    done = run(tmp_path, inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert builders(done) == expected


@pytest.mark.parametrize("name", ["local", "metal", "turns"])
def test_an_inventory_that_is_shipped_gives_hosts_to_build_for(name: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible.cli.inventory", "--list"),
            *("-i", str(ROOT / "inventories" / name)),
        ],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    found = json.loads(done.stdout)
    assert found["bare_hosts"]["hosts"] == found["docker_hosts"]["hosts"]
    assert "lab_nodes" not in found


@pytest.mark.parametrize(
    ("content", "user", "expected"),
    [
        ("ann:100000:65536\nbob:165536:65536\n", "bob", True),
        ("ann:100000:65536\n", "bob", False),
        ("bobby:100000:65536\n", "bob", False),
        ("nonsense\n", "bob", False),
        (None, "bob", False),
    ],
)
def test_subordinate_ids_are_those_of_the_user(
    tmp_path: Path, content: str | None, user: str, expected: bool
) -> None:
    if content is not None:
        for name in ("subuid", "subgid"):
            (tmp_path / name).write_text(content)
    assert builder.has_subordinate_ids(user, str(tmp_path)) is expected


def test_what_is_missing_is_named() -> None:
    found = builder.inspect(path="/nonexistent")
    assert set(found["missing_programs"]) == set(builder.PROGRAMS)
    assert found["reason"] in ("packages", "rights", "release")


@pytest.mark.parametrize(("root", "reason"), [(False, "rights"), (True, "packages")])
def test_a_password_of_sudo_that_ansible_has_makes_a_builder(
    monkeypatch: pytest.MonkeyPatch, root: bool, reason: str
) -> None:
    monkeypatch.setattr(builder, "may_become_root", lambda: False)
    monkeypatch.setattr(builder, "has_subordinate_ids", lambda user: True)
    monkeypatch.setattr(builder.apt, "codename_or_nothing", lambda: "trixie")
    found = builder.inspect(path="/nonexistent", root=root)
    assert (found["reason"], found["able"]) == (reason, root)
