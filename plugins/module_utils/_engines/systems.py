# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which distribution a host runs, what its packages are called, and whether they are installed by us.

The tables are variables of the role host_packages, one file a system; this module only looks things up in them.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._host import os_release

# Of the modules that take the tables; documented in the fragment vcompare.lab.host_needs.
OPTIONS: dict[str, t.Any] = {
    "needs": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "id": {"type": "str"},
            "name": {"type": "str", "required": True},
            "used_by": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "provided_by": {"type": "list", "elements": "str", "default": []},
            "programs": {"type": "list", "elements": "str", "default": []},
            "python_modules": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
            "only_with": {"type": "path"},
        },
    },
    "systems": {"type": "list", "elements": "dict", "default": []},
}


@dataclasses.dataclass(frozen=True)
class Need:
    """A capability of a host. It is there when any of the four ways to have it holds.

    :param name: what it is, for messages.
    :param packages: what is installed where it is missing; all of them being installed is one way to have it.
    :param provided_by: other packages, each of which brings it.
    :param programs: programs that bring it together; ``one|other`` where either will do.
    :param python_modules: modules of the system's Python that bring it together.
    :param services: units of systemd that the packages start when they are installed.
    :param only_with: a path; where it is missing, the host has no use for this capability.
    :param id: of the capability in the tables.
    """

    name: str
    packages: tuple[str, ...]
    provided_by: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    python_modules: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    only_with: str = ""
    id: str = ""


@dataclasses.dataclass(frozen=True)
class System:
    """The distribution of a host.

    :param name: as it calls itself.
    :param tested: whether this collection was tested on this release of it.
    :param installed_by_us: whether packages are installed on it; otherwise what is missing is only named.
    :param command: what an administrator installs packages with; empty where the system is unknown.
    :param packages: by the id of a capability; ``provided_by`` likewise, of which each brings it.
    """

    name: str
    tested: bool = False
    installed_by_us: bool = False
    command: str = ""
    packages: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    provided_by: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)

    @property
    def notice(self) -> str:
        """What a user must know of a system on which nothing was tested; empty for the others."""
        return "" if self.tested else f"This collection was not tested on {self.name}."

    def install(self, needs: t.Iterable[Need]) -> str:
        """Return the command that brings what is missing; for an unknown system, what it is."""
        lacking = list(needs)
        names = dict.fromkeys(name for need in lacking for name in need.packages)
        bare = [need.name for need in lacking if not need.packages]
        parts = [f"{self.command} {' '.join(names)}"] if names and self.command else []
        if bare:
            parts.append(f"install {', '.join(bare)} (no package of {self.name} is known for it)")
        return "; ".join(parts)


def of_host(
    tables: t.Sequence[t.Mapping[str, t.Any]], fields: t.Mapping[str, str] | None = None
) -> System:
    """Return this host's system.

    :param tables: of the systems that are known, as in the role's variables.
    :param fields: of /etc/os-release; None to read it.
    """
    said = os_release.read() if fields is None else fields
    name = said.get("PRETTY_NAME") or said.get("ID") or "an unknown system"
    release = said.get("VERSION_ID", "")
    if not tables:
        # The caller gave names of packages, and means apt's.
        return System(name, tested=True, installed_by_us=True, command="apt-get install")
    own = said.get("ID", "")
    # A derivative names its closest relative first.
    for ident in (own, *said.get("ID_LIKE", "").split()):
        for table in tables:
            if ident in table["ids"]:
                return System(
                    name,
                    tested=ident == own and release in table["tested"],
                    installed_by_us=table["installed_by_us"],
                    command=table["command"],
                    packages={
                        **table["packages"],
                        **(table.get("releases") or {}).get(release, {}),
                    },
                    provided_by=table.get("provided_by") or {},
                )
    return System(name)


def needs(given: t.Sequence[t.Mapping[str, t.Any]], system: System) -> list[Need]:
    """Return the needs of this host, with the names of its system; one with packages of its own keeps them."""
    return [
        Need(
            need["name"],
            packages=tuple(need["packages"] or system.packages.get(need["id"] or "", ())),
            provided_by=(*need["provided_by"], *system.provided_by.get(need["id"] or "", ())),
            programs=tuple(need["programs"]),
            python_modules=tuple(need["python_modules"]),
            services=tuple(need["services"]),
            only_with=need["only_with"] or "",
            id=need["id"] or "",
        )
        for need in given
    ]
