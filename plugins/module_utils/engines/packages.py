# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host must be able to do, and the packages that bring what it lacks.

A capability is not one name of a package: the daemon of Docker comes as docker.io, docker-ce or moby-engine. Only what
is missing is installed. The plan of apt is read first: one that removes or downgrades a package is refused.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.engines.systems import Need, System
from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils.lab import command

_SYSTEM_PYTHON = "/usr/bin/python3"
_LISTS_MAX_AGE_S = 3600
# apt-get(8), --simulate: "Inst name [installed version] (new version archive [architecture])", "Remv name [version]".
_INSTALL = re.compile(r"^Inst (\S+) (?:\[([^\]]*)\] )?\((\S+)")
_REMOVE = re.compile(r"^(?:Remv|Purg) (\S+)(?: \[([^\]]*)\])?")
_QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    # It would restart the host's services, whoever they serve.
    "NEEDRESTART_SUSPEND": "1",
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What apt would do, each package with its version.

    :param upgraded: package → installed and new version; ``downgraded`` likewise.
    """

    added: dict[str, str]
    upgraded: dict[str, tuple[str, str]]
    downgraded: dict[str, tuple[str, str]]
    removed: dict[str, str]


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
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.split())


class Apt:
    """apt-get of this host.

    :param root: a folder with a system of its own, with its own sources and status; empty for the running one.
    """

    def __init__(self, root: str = "") -> None:
        self.root = root
        options = (f"Dir={root}", f"Dpkg::Options::=--root={root}") if root else ()
        self._options = [word for option in options for word in ("-o", option)]

    def available(self) -> bool:
        """Whether this host has apt at all."""
        return _program("apt-get")

    def refresh(self) -> None:
        """Fetch the lists of packages, unless they were fetched a short time ago."""
        stamp = f"{self.root}/var/lib/apt/lists"
        if os.path.isdir(stamp):
            newest = max((entry.stat().st_mtime for entry in os.scandir(stamp)), default=0.0)
            if time.time() - newest < _LISTS_MAX_AGE_S:
                return
        self._run(
            ["update"],
            "fetching the lists of packages",
            "See that apt works on this host: apt-get update.",
        )

    def plan(self, names: t.Sequence[str]) -> Plan:
        """Return what installing these packages would do; nothing is changed.

        :raises VcompareError: apt finds no plan.
        """
        text = self._run(
            ["--simulate", "--no-install-recommends", "install", *names],
            f"planning the installation of {', '.join(names)}",
            "See that apt works on this host (apt-get update), and that its archives have these packages.",
        )
        return _read_plan(text, self._older)

    def install(self, names: t.Sequence[str]) -> None:
        """Install packages; never removes or downgrades one, and keeps changed configuration files."""
        self._run(
            [
                "--yes",
                "--no-remove",
                "--no-install-recommends",
                *("-o", "DPkg::Lock::Timeout=300"),
                *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
                "install",
                *names,
            ],
            f"installing {', '.join(names)}",
            "See that apt works on this host: apt-get update && apt-get check.",
        )

    @staticmethod
    def _older(one: str, other: str) -> bool:
        done = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False)
        return done.returncode == 0

    def _run(self, arguments: t.Sequence[str], what: str, remedy: str) -> str:
        return command.run(
            ["apt-get", "--quiet", *self._options, *arguments],
            what,
            remedy=remedy,
            env=_QUIET,
            timeout_s=3600,
        )


def _read_plan(text: str, older: t.Callable[[str, str], bool]) -> Plan:
    plan = Plan({}, {}, {}, {})
    for line in text.splitlines():
        if found := _INSTALL.match(line):
            name, installed, new = found.groups()
            if installed is None:
                plan.added[name] = new
            elif older(new, installed):
                plan.downgraded[name] = (installed, new)
            else:
                plan.upgraded[name] = (installed, new)
        elif found := _REMOVE.match(line):
            plan.removed[found.group(1)] = found.group(2) or ""
    return plan


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


def ensure(
    needs: t.Sequence[Need],
    *,
    install: bool,
    check_mode: bool,
    system: System,
    apt: Apt | None = None,
    journal: HostJournal | None = None,
) -> dict[str, t.Any]:
    """Install what is missing, and no more.

    :param install: whether packages may be installed; otherwise what is missing is an error.
    :param system: this host's, with the names of whose packages the needs are given.
    :returns: changed, missing (names of needs), added, upgraded (package → version).
    :raises VcompareError: something is missing that may not or can't be installed.
    """
    apt = apt or Apt()
    lacking = missing(needs, apt.root)
    result: dict[str, t.Any] = {
        "changed": bool(lacking),
        "missing": [need.name for need in lacking],
        "added": {},
        "upgraded": {},
    }
    if not lacking:
        return result
    packages = sorted({name for need in lacking for name in need.packages})
    refuse_to_install(lacking, system, install=install, apt=apt)
    if not check_mode:
        apt.refresh()
    plan = apt.plan(packages)
    refuse_harm(plan, lacking)
    result["added"] = plan.added
    result["upgraded"] = {name: new for name, (_old, new) in plan.upgraded.items()}
    if check_mode:
        return result
    (journal or HostJournal()).packages(sorted(plan.added))
    apt.install(packages)
    if still := missing(lacking, apt.root):
        raise VcompareError(
            f"The packages {', '.join(packages)} were installed, and this host still lacks "
            f"{', '.join(need.name for need in still)}.",
            "See whether the packages are complete: dpkg --audit.",
        )
    return result
