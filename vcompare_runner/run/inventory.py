# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What an inventory says: which hosts there are, and which arms they carry."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import typing as t
from pathlib import Path

from vcompare_runner._contract.arms import ARMS_OF_GROUP, XEN_GROUP, arm_order
from vcompare_runner._contract.turns import XEN_SUFFIX
from vcompare_runner.core.edges import is_plausible, parse_json, shown_number
from vcompare_runner.core.errors import UsageError
from vcompare_runner.run.environment import ansible_environment
from vcompare_runner.run.hints import hints
from vcompare_runner.run.project import Project, ansible_program

_TIMEOUT_S = 120
# As Ansible's filter bool has it.
_TRUE = ("1", "on", "t", "true", "y", "yes")
_REMEDY = (
    "name an inventory with -i: inventories/nested makes its own lab, inventories/metal is an "
    "example for servers"
)


@dataclasses.dataclass(frozen=True)
class Inventory:
    """A parsed inventory.

    :param groups: group → its hosts, those of its children too.
    :param host_vars: host → its variables.
    """

    source: Path
    groups: t.Mapping[str, tuple[str, ...]]
    host_vars: t.Mapping[str, t.Mapping[str, t.Any]]

    @property
    def arms(self) -> list[tuple[str, str]]:
        """All (arm, host), in the usual order: the arms of a host follow from its groups.

        A host that takes turns has Xen's arms under its name with ``+xen``, as in a bundle.
        """
        pairs = {
            (arm, f"{host}{XEN_SUFFIX}" if group == XEN_GROUP and host in self.sharing else host)
            for group, arms in ARMS_OF_GROUP.items()
            for host in self.groups.get(group, ())
            for arm in arms
        }
        return sorted(pairs, key=lambda pair: (arm_order(pair[0]), pair[1]))

    @property
    def sharing(self) -> list[str]:
        """The hosts that take turns between plain Linux and Xen (``xen_shares_host``)."""
        return [
            host
            for host in self.groups.get(XEN_GROUP, ())
            if str(self.host_vars.get(host, {}).get("xen_shares_host", "")).lower() in _TRUE
        ]


def read_inventory(
    source: Path,
    project: Project,
    extra_vars: t.Mapping[str, t.Any],
    environment: t.Mapping[str, str],
) -> Inventory:
    """Read an inventory of hosts to compare.

    :raises UsageError: as ``list_inventory``, or no host of it carries an arm.
    """
    inventory = list_inventory(source, project, extra_vars, environment)
    if not inventory.arms:
        groups = ", ".join(ARMS_OF_GROUP)
        raise UsageError(
            f"--inventory: no host of {source} carries an arm",
            f"put hosts into at least one of the groups {groups}",
        )
    return inventory


def list_inventory(
    source: Path,
    project: Project,
    extra_vars: t.Mapping[str, t.Any],
    environment: t.Mapping[str, str],
) -> Inventory:
    """Read an inventory with ``ansible-inventory``, as Ansible will.

    :raises UsageError: it is missing or can't be parsed (also in part).
    """
    if not source.exists():
        raise UsageError(f"--inventory: there is no {source}", _REMEDY)
    command = [str(ansible_program("ansible-inventory")), "-i", str(source), "--list"]
    command += [
        "--playbook-dir",
        str(project.root / "playbooks"),
        "-e",
        json.dumps(dict(extra_vars)),
    ]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            # Without a terminal, nothing asks for a password there.
            start_new_session=True,
            env={**os.environ, **ansible_environment(project), **environment},
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"--inventory: {source} was not read within {_TIMEOUT_S} s", _REMEDY
        ) from error
    if result.returncode != 0 or "unable to parse" in result.stderr.lower():
        remedy = "; ".join((*hints([result.stderr]), _REMEDY))
        raise UsageError(f"--inventory: {source} can't be read: {_said(result.stderr)}", remedy)
    try:
        listed = parse_json(result.stdout)
    except ValueError as error:
        why = _said(result.stderr) if result.stderr.strip() else str(error)
        raise UsageError(f"--inventory: {source} can't be read: {why}", _REMEDY) from error
    variables = listed.get("_meta", {}).get("hostvars", {})
    check_numbers(source, project, variables)
    return Inventory(source, _flatten(listed), variables)


def check_numbers(
    source: Path, project: Project, variables: t.Mapping[str, t.Mapping[str, t.Any]]
) -> None:
    """Check the numbers in our variables, which are in no role's hands before something was made.

    :raises UsageError: one of them is nothing that could be set.
    """
    ours = tuple(f"{name}_" for name in ("vcompare", *project.roles))
    for host, of_host in variables.items():
        todo = [(name, value) for name, value in of_host.items() if name.startswith(ours)]
        while todo:
            name, value = todo.pop()
            if isinstance(value, dict):
                todo += [(f"{name}.{key}", each) for key, each in value.items()]
            elif isinstance(value, list):
                todo += [(f"{name}[{number}]", each) for number, each in enumerate(value)]
            elif isinstance(value, (int, float)) and not is_plausible(value):
                raise UsageError(
                    f"--inventory: {source}: {host}: {name} is {shown_number(value)}",
                    f"correct {name}, or leave it out for its default",
                )


def _said(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return " ".join(lines[-4:]) or "ansible-inventory gave no reason"


def _flatten(listed: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    def hosts(group: str, above: frozenset[str]) -> list[str]:
        if group in above:
            return []
        entry = listed.get(group) or {}
        found = list(entry.get("hosts") or ())
        for child in entry.get("children") or ():
            found += hosts(child, above | {group})
        return found

    return {
        group: tuple(dict.fromkeys(hosts(group, frozenset())))
        for group in listed
        if group != "_meta"
    }
