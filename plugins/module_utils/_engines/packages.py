# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host must be able to do, and the packages that bring what it lacks.

A capability is not one name of a package: the daemon of Docker comes as docker.io, docker-ce or moby-engine. Only what
is missing is installed. The plan of apt is read first: one that removes or downgrades a package is refused.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines.apt_get import Apt, Plan
from ansible_collections.vcompare.lab.plugins.module_utils._engines.systems import Need, System
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

_SYSTEM_PYTHON = "/usr/bin/python3"


def versions(names: t.Sequence[str], root: str = "") -> dict[str, str]:
    """Version of each of these packages that is installed; empty where there is no dpkg."""
    if not names:
        return {}
    try:
        done = subprocess.run(
            [
                "dpkg-query",
                f"--admindir={root}/var/lib/dpkg",
                "--show",
                "--showformat=${Package}\t${db:Status-Status}\t${Version}\n",
                *names,
            ],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return {}
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"}


def not_installed(names: t.Sequence[str]) -> list[str]:
    """Return the packages that are not installed."""
    there = versions(names)
    return [name for name in names if name not in there]


def missing(needs: t.Sequence[Need], root: str = "") -> list[Need]:
    """Return the needs that this host does not meet.

    :param root: where dpkg's status is, for a system that is not the running one.
    """
    names = {name for need in needs for name in (*need.packages, *need.provided_by)}
    there = versions(sorted(names), root)
    left = [
        need
        for need in needs
        if (not need.only_with or os.path.exists(need.only_with))
        and not (need.packages and set(need.packages) <= there.keys())
        and not set(need.provided_by) & there.keys()
        and not (need.programs and all(_program(name) for name in need.programs))
    ]
    modules = {name for need in left for name in need.python_modules}
    importable = _importable(modules) if modules else set()
    return [
        need
        for need in left
        if not need.python_modules or not set(need.python_modules) <= importable
    ]


def _program(names: str) -> bool:
    return any(
        shutil.which(name, path=command.search_path()) is not None for name in names.split("|")
    )


def _importable(modules: t.Collection[str]) -> set[str]:
    """Which modules the system's Python finds; the one that runs us may be of a virtual environment."""
    script = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    try:
        done = subprocess.run(
            [_SYSTEM_PYTHON, "-c", script, *sorted(modules)],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.split())


def refuse_harm(plan: Plan, needs: t.Sequence[Need]) -> None:
    """Refuse a plan that takes something from the host.

    :raises VcompareError: it removes or downgrades packages; names each, and what they were to make room for.
    """
    harm = [f"remove {name} {version}".strip() for name, version in sorted(plan.removed.items())]
    harm += [
        f"downgrade {name} from {before} to {after}"
        for name, (before, after) in sorted(plan.downgraded.items())
    ]
    if harm:
        lacks = ", ".join(need.name for need in needs)
        raise VcompareError(
            f"This host lacks {lacks}, and installing it would {'; '.join(harm)}. Nothing was changed.",
            "Install it in a way that fits this host, take the host out of the group, or leave the arm out (--arms).",
        )


def refuse_to_install(
    lacking: t.Sequence[Need], system: System, *, install: bool, apt: Apt
) -> None:
    """Refuse where packages may not or can't be installed.

    :raises VcompareError: with what is missing, and the command by which an administrator installs it.
    """
    lacks = ", ".join(need.name for need in lacking)
    how = system.install(lacking)
    if not install:
        raise VcompareError(
            f"This host lacks {lacks}, and nothing is installed on it (vcompare_provision is false).",
            f"Install it ({how}), or set vcompare_provision to true for this host.",
        )
    if not system.installed_by_us or not apt.available():
        raise VcompareError(
            f"This host lacks {lacks}, and packages are installed on Debian and Ubuntu alone; it runs {system.name}.",
            f"Install it ({how}), and set vcompare_provision to false for this host.",
        )


def _active(unit: str) -> bool:
    return command.state("systemctl", "is-active", unit) == "active"


def ensure(
    needs: t.Sequence[Need],
    *,
    install: bool,
    check_mode: bool,
    system: System,
    apt: Apt | None = None,
    journal: HostJournal | None = None,
    active: t.Callable[[str], bool] = _active,
) -> dict[str, t.Any]:
    """Install what is missing, and no more.

    :param install: whether packages may be installed; otherwise what is missing is an error.
    :param system: this host's, with the names of whose packages the needs are given.
    :param active: says whether a unit of systemd runs.
    :returns: changed, missing (names of needs), added, upgraded (package → version), plan and diff (`HostPlan`).
    :raises VcompareError: something is missing that may not or can't be installed.
    """
    apt = apt or Apt()
    lacking = missing(needs, apt.root)
    packages = sorted({name for need in lacking for name in need.packages})
    if lacking:
        refuse_to_install(lacking, system, install=install, apt=apt)
    if not lacking:
        plan, sizes = Plan({}, {}, {}, {}), {}
    elif check_mode:
        with apt.preview() as preview:
            plan, sizes = preview.plan(packages), preview.sizes(packages)
    else:
        apt.refresh()
        plan, sizes = apt.plan(packages), {}
    refuse_harm(plan, lacking)
    idle = [unit for need in lacking for unit in need.services if not active(unit)]
    if lacking and not check_mode:
        (journal or HostJournal()).packages(sorted(plan.added))
        apt.install(packages)
        _require(lacking, packages, apt)
        # Where a policy of the host forbids it, its packages start nothing.
        idle = [unit for unit in idle if active(unit)]
    return {
        "changed": bool(lacking),
        "missing": [need.name for need in lacking],
        "added": plan.added,
        "upgraded": {name: new for name, (_old, new) in plan.upgraded.items()},
        **_steps(plan, sizes, idle).result(),
    }


def _steps(plan: Plan, sizes: t.Mapping[str, int], started: t.Sequence[str]) -> HostPlan:
    steps = HostPlan()
    for name, version in sorted(plan.added.items()):
        steps.add("package", "add", name, version, bytes=sizes.get(name))
    for name, (before, version) in sorted(plan.upgraded.items()):
        steps.add("package", "upgrade", name, version, before=before, bytes=sizes.get(name))
    for unit in started:
        steps.add("service", "start", unit, "now and at boot")
    return steps


def _require(lacking: t.Sequence[Need], packages: t.Sequence[str], apt: Apt) -> None:
    if still := missing(lacking, apt.root):
        raise VcompareError(
            f"The packages {', '.join(packages)} were installed, and this host still lacks "
            f"{', '.join(need.name for need in still)}.",
            "See whether the packages are complete: dpkg --audit.",
        )
