# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""apt-get of a host: what it would do, and having it done."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command

_LISTS_MAX_AGE_S = 3600
# apt-get(8), --simulate: "Inst name [installed version] (new version archive [architecture])", "Remv name [version]".
_INSTALL = re.compile(r"^Inst (\S+) (?:\[([^\]]*)\] )?\((\S+)")
_REMOVE = re.compile(r"^(?:Remv|Purg) (\S+)(?: \[([^\]]*)\])?")
# --print-uris: 'URI' name_version_architecture.deb bytes digest.
_URI = re.compile(r"^'[^']*' ([^_\s]+)_\S* ([0-9]+)")
# Descriptions in other languages are a third of what `update` fetches and reads. Those that are there already are kept.
_LEAN = ("Acquire::Languages=none", "APT::Get::List-Cleanup=false")
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


class Apt:
    """apt-get of this host.

    :param root: a folder with a system of its own, with its own sources and status; empty for the running one.
    :param options: more settings of apt, each as name=value.
    """

    def __init__(self, root: str = "", options: t.Sequence[str] = ()) -> None:
        self.root = root
        self._more = tuple(options)
        own = (f"Dir={root}", f"Dpkg::Options::=--root={root}") if root else ()
        self._options = [word for option in (*own, *_LEAN, *options) for word in ("-o", option)]
        self._lists = f"{root}/var/lib/apt/lists"

    def available(self) -> bool:
        """Whether this host has apt at all."""
        return shutil.which("apt-get", path=command.search_path()) is not None

    def refresh(self) -> None:
        """Fetch the lists of packages, unless they were fetched a short time ago."""
        if not self._fresh():
            self._update()

    def _fresh(self) -> bool:
        if not os.path.isdir(self._lists):
            return False
        entries = list(os.scandir(self._lists))
        if not any(entry.is_file() and entry.name != "lock" for entry in entries):
            return False
        newest = max(entry.stat().st_mtime for entry in entries)
        return time.time() - newest < _LISTS_MAX_AGE_S

    def _update(self) -> None:
        self._run(
            ["update"],
            "fetching the lists of packages",
            "See that apt works on this host: apt-get update.",
        )

    @contextlib.contextmanager
    def preview(self) -> t.Iterator[Apt]:
        """Yield an apt for plans that writes nothing of this host, with lists as `refresh` would fetch them."""
        with tempfile.TemporaryDirectory(prefix="vcompare-apt-") as folder:
            # Read by the user _apt.
            os.chmod(folder, 0o755)  # noqa: S103
            options = [
                *self._more,
                # What apt computes of its lists takes half a minute on a slow host: once for all plans.
                f"Dir::Cache::pkgcache={folder}/pkgcache.bin",
                "Dir::Cache::srcpkgcache=",
                "Dir::Log::Planner=/dev/null",
            ]
            if self._fresh():
                yield Apt(self.root, options)
                return
            lists = os.path.join(folder, "lists")
            # What did not change is not fetched again.
            if os.path.isdir(self._lists):
                shutil.copytree(
                    self._lists, lists, ignore=shutil.ignore_patterns("lock", "partial")
                )
            os.makedirs(os.path.join(lists, "partial"))
            apt = Apt(self.root, [*options, f"Dir::State::lists={lists}"])
            apt._update()
            yield apt

    def sizes(self, names: t.Sequence[str]) -> dict[str, int]:
        """Return the bytes that installing these packages would fetch, by package; none for what is fetched already."""
        text = self._run(
            ["--print-uris", "--yes", "--no-install-recommends", "install", *names],
            f"asking for the size of {', '.join(names)}",
            "See that apt works on this host (apt-get update).",
        )
        found = map(_URI.match, text.splitlines())
        return {match[1]: int(match[2]) for match in found if match}

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
