# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of arms, and what must agree with them: backends, modules, inventories, documentation, roles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
import yaml
from ansible.errors import AnsibleLookupError
from ansible_collections.vcompare.lab.plugins.lookup.contract import TABLES, LookupModule
from ansible_collections.vcompare.lab.plugins.module_utils._arms import network, registry
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.registry import (
    EXPERIMENTS,
)

ROOT = Path(next(iter(collection.__path__)))


@pytest.mark.parametrize("name", arms.MEASURED_ARMS)
def test_the_backend_of_each_arm_is_what_its_row_says(name: str, tmp_path: Path) -> None:
    row = arms.BY_NAME[name]
    backend = registry.backend(name, state_dir=str(tmp_path))
    assert backend.arm == name
    assert type(backend).subnet == network.of_arm(name)
    assert backend.own_kernel == (row.instance in (arms.MACHINE, arms.CONTAINER_IN_MACHINE))


def test_the_arms_of_a_technology_are_those_of_its_group() -> None:
    assert arms.GROUPS == ("bare_hosts", "docker_hosts", "podman_hosts", "kvm_hosts", "xen_hosts")
    assert arms.PEER_GROUPS == ("docker_peers", "kvm_peers", "xen_peers")
    assert sum(map(len, arms.ARMS_OF_GROUP.values())) == len(arms.MEASURED_ARMS)
    assert arms.ARMS_OF_PEERS["xen_peers"] == ("xen-pv", "xen-pvh", "xen-hvm")
    assert {arms.BY_NAME[name].boot for name in arms.ARMS_OF_GROUP["xen_hosts"]} == {arms.XEN}
    assert {arms.BY_NAME[name].boot for name in arms.ARMS_OF_GROUP["kvm_hosts"]} == {arms.LINUX}


def test_the_tables_that_have_no_other_place() -> None:
    assert (arms.AGAIN in arms.CHOICES, arms.PLANTED in arms.CHOICES) == (False, True)
    assert arms.TABLES["not_by_default"] == (arms.PLANTED,)
    assert arms.WITHOUT_TECHNOLOGY == ("bare", "bare-again", "bare-planted", "xen-dom0")
    assert arms.OPTION_GROUPS["xen-hvm"] == "xen"
    assert sorted(["unknown", *arms.ARMS, arms.AGAIN], key=arms.arm_order)[-1] == "unknown"


def test_an_experiment_leaves_out_arms_that_there_are() -> None:
    for experiment in EXPERIMENTS.values():
        assert set(experiment.without) <= set(arms.MEASURED_ARMS)


@pytest.mark.parametrize(
    ("module", "option", "known"),
    [
        ("arms", "arms", arms.ARMS),
        ("instance", "arm", arms.ARMS),
        ("instance_info", "arms", arms.ARMS),
        ("networks", "arms", arms.ARMS),
        ("host_requirements", "arms", arms.CHOICES),
        ("host_requirements", "required_arms", arms.CHOICES),
    ],
)
def test_a_module_documents_every_arm(module: str, option: str, known: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-doc")), "--json", f"vcompare.lab.{module}"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections")},
    )
    documented = json.loads(done.stdout)[f"vcompare.lab.{module}"]["doc"]["options"][option]
    assert tuple(documented["choices"]) == known
    assert documented["description"]


@pytest.mark.parametrize("inventory", ["local", "metal", "turns"])
def test_an_inventory_has_the_groups_that_there_are(inventory: str) -> None:
    text = (ROOT / "inventories" / inventory / "hosts.ini").read_text()
    groups = set(re.findall(r"^\[(\w+)\]", text, re.MULTILINE))
    assert {name for name in groups if name.endswith("_hosts")} <= set(arms.GROUPS)
    assert set(re.findall(r"\[(\w+_peers)\]", text)) <= set(arms.PEER_GROUPS)


@pytest.mark.parametrize("playbook", ["provision", "images", "hosts", "release"])
def test_a_playbook_reaches_every_group(playbook: str) -> None:
    plays = yaml.safe_load((ROOT / f"playbooks/{playbook}.yml").read_text())
    hosts = {word for play in plays for word in re.split(r"[:\s'\"]", str(play.get("hosts", "")))}
    assert set(arms.GROUPS + arms.PEER_GROUPS) <= hosts


@pytest.mark.parametrize("page", ["README.md", "docs/contracts.md", "docs/servers.md"])
def test_a_page_names_every_arm_or_group(page: str) -> None:
    text = (ROOT / page).read_text()
    for word in arms.ARMS if page == "README.md" else arms.GROUPS:
        assert f"`{word}`" in text


def test_profiles_and_claims_name_arms_that_there_are() -> None:
    def named(value: t.Any) -> t.Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from inner if key in ("arms", "beside") and isinstance(inner, list) else ()
                yield from named(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from named(inner)

    for path in ("vars/profiles.yml", "files/claims.yml"):
        found = set(named(yaml.safe_load((ROOT / "roles/measure" / path).read_text())))
        assert found
        assert found <= set(arms.CHOICES)


def test_roles_read_the_same_tables() -> None:
    lookup = LookupModule()
    for name, table in TABLES.items():
        (value,) = lookup.run([name])
        assert value == json.loads(json.dumps(table))
        assert "(" not in str(value)
    for terms in (["armz"], [], ["arms", "choices"]):
        with pytest.raises(AnsibleLookupError, match="name one table of arms, "):
            lookup.run(terms)


def test_the_contract_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); from vcompare_runner._contract import arms; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} "
        "- sys.stdlib_module_names - {'vcompare_runner'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"
