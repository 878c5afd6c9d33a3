# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The playbooks by themselves: they mean the same under any ansible.cfg, and don't succeed with nothing done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
OF_THE_LAB = (
    "lab_doctor.yml",
    "lab_down.yml",
    "lab_lock.yml",
    "lab_ready.yml",
    "lab_rebuild.yml",
    "lab_status.yml",
    "lab_stop.yml",
    "lab_up.yml",
    "lab_verify.yml",
)


def plays() -> list[tuple[str, dict[str, object]]]:
    return [
        (path.name, play)
        for path in PLAYBOOKS
        for play in yaml.safe_load(path.read_text())
        if "hosts" in play
    ]


def test_every_playbook_of_the_lab_is_tried() -> None:
    found = {path.name for path in PLAYBOOKS if path.name.startswith("lab_")}
    assert found == {*OF_THE_LAB, "lab_required.yml"}


@pytest.mark.parametrize(
    ("name", "play"), plays(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_play_has_its_own_strategy(name: str, play: dict[str, object]) -> None:
    """With `strategy = free` in ansible.cfg, `run_once` would be ignored."""
    assert play.get("strategy") in ("ansible.builtin.linear", "ansible.builtin.free")
    if play["strategy"] == "ansible.builtin.free":
        assert "run_once" not in str(play), "the strategy `free` ignores it"


def play(
    name: str, tmp_path: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "VCOMPARE_"))}
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            str(ROOT / "playbooks" / name),
            *arguments,
        ],
        cwd=ROOT,
        env={**keep, "VCOMPARE_HOME": str(tmp_path / "home"), **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("name", OF_THE_LAB)
def test_a_playbook_of_the_lab_fails_without_a_lab_server(name: str, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.ini"
    hosts.write_text("[bare_hosts]\nserver-a\n")
    made = play(name, tmp_path, "-i", str(hosts))
    assert made.returncode == 2, made.stdout + made.stderr
    assert "no host in the group lab_servers" in made.stdout + made.stderr
    assert str(hosts) in made.stdout + made.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("-e", "vcompare_nodes=7"),
        ("-e", "vcompare_nodes=two"),
        ("-e", "vcompare_lab=NO/NAME"),
        ("-e", "vcompare_home=relative"),
    ],
    ids=lambda value: value[1],
)
def test_a_wrong_variable_is_named(tmp_path: Path, arguments: tuple[str, str]) -> None:
    made = play("lab_down.yml", tmp_path, *arguments)
    assert made.returncode == 2, made.stdout + made.stderr
    name, _equals, value = arguments[1].partition("=")
    assert f"{name} is {value}" in " ".join((made.stdout + made.stderr).split())


@pytest.mark.parametrize(
    "text", ["[lab_servers\nlocalhost\n", "", "plugin: vcompare.lab.nested\nnodes: [\n"]
)
def test_a_broken_inventory_is_no_success(tmp_path: Path, text: str) -> None:
    hosts = tmp_path / "nested_lab.yml"
    hosts.write_text(text)
    made = play("lab_down.yml", tmp_path, "-i", str(hosts))
    assert made.returncode == 2, made.stdout + made.stderr
    assert "no host in the group lab_servers" in made.stdout + made.stderr


@pytest.mark.parametrize("setting", ["ANSIBLE_RUN_TAGS", "ANSIBLE_SKIP_TAGS"])
@pytest.mark.parametrize("name", ["lab_down.yml", "lab_status.yml", "compare.yml"])
def test_tags_are_refused(name: str, tmp_path: Path, setting: str) -> None:
    made = play(name, tmp_path, "-e", "vcompare_arms=bare", **{setting: "nothing-has-this"})
    assert made.returncode == 2, made.stdout + made.stderr
    assert "tags leave tasks out" in made.stdout + made.stderr


@pytest.mark.parametrize("limit", ["server-a", "all", "lab_servers", "all:!localhost", "!server-a"])
@pytest.mark.parametrize("name", ["lab_down.yml", "lab_status.yml", "compare.yml"])
def test_a_limit_that_leaves_the_checks_out_is_no_success(
    name: str, tmp_path: Path, limit: str
) -> None:
    hosts = tmp_path / "hosts.ini"
    hosts.write_text("[bare_hosts]\nserver-a\n[lab_servers]\nserver-b\n")
    made = play(name, tmp_path, "-i", str(hosts), "--limit", limit)
    assert made.returncode != 0, made.stdout + made.stderr
    said = " ".join((made.stdout + made.stderr).split())
    assert f"--limit {limit} leaves out localhost" in said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["lab_down.yml", "lab_status.yml"])
def test_a_playbook_of_the_lab_is_about_all_of_it(name: str, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.ini"
    hosts.write_text("[lab_servers]\nserver-b\n")
    made = play(name, tmp_path, "-i", str(hosts), "--limit", "localhost,server-b")
    assert made.returncode == 2, made.stdout + made.stderr
    assert "Leave --limit out" in " ".join((made.stdout + made.stderr).split())


def test_a_comparison_needs_no_lab_server(tmp_path: Path) -> None:
    """compare.yml says so to the playbooks of the lab that it is made of, through two imports."""
    (imported,) = [
        entry
        for entry in yaml.safe_load((ROOT / "playbooks" / "compare.yml").read_text())
        if entry.get("ansible.builtin.import_playbook") == "lab_ready.yml"
    ]
    entry = {**imported, "ansible.builtin.import_playbook": str(ROOT / "playbooks/lab_ready.yml")}
    (tmp_path / "part.yml").write_text(yaml.safe_dump([entry]))
    (tmp_path / "hosts.ini").write_text("[others]\nserver-a\n")
    made = play(str(tmp_path / "part.yml"), tmp_path, "-i", str(tmp_path / "hosts.ini"))
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Check that all tasks are selected" in made.stdout
