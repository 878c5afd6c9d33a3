# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said twice is said alike."""

from __future__ import annotations

import pathlib
import re
import tomllib
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]


def project() -> dict[str, t.Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def read_yaml(name: str) -> t.Any:
    return yaml.safe_load((ROOT / name).read_text())


def by_name(requirements: list[str]) -> dict[str, str]:
    return {re.split(r"[><=~! ]", line)[0].lower(): line for line in requirements}


def test_every_module_is_in_the_action_group() -> None:
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py")}
    assert set(read_yaml("meta/runtime.yml")["action_groups"]["lab"]) == modules


def test_versions_are_one() -> None:
    assert read_yaml("galaxy.yml")["version"] == project()["project"]["version"]


def test_oldest_ansible_is_one() -> None:
    (ansible,) = (
        line for line in project()["project"]["dependencies"] if line.startswith("ansible-core")
    )
    oldest = read_yaml("meta/runtime.yml")["requires_ansible"]
    assert oldest.startswith(ansible.removeprefix("ansible-core"))


def test_execution_environment_has_the_packages_of_the_report() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = by_name([line for line in lines if line and not line.startswith("#")])
    declared = by_name(project()["project"]["dependencies"])
    # The rest is the command line's, or ansible's own in every execution environment.
    elsewhere = {"ansible-core", "ansible-runner", "rich", "typer"}
    assert named == {name: line for name, line in declared.items() if name not in elsewhere}


def test_execution_environment_names_files_that_are_there() -> None:
    for name in read_yaml("meta/execution-environment.yml")["dependencies"].values():
        assert (ROOT / name).is_file()


def test_link_leads_to_this_checkout() -> None:
    link = ROOT / "playbooks/collections/ansible_collections/vcompare/lab"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT
