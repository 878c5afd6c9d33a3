# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""This machine's own apt configuration, for images that are made on it.

A company's mirror, proxy, keys and options are in it; so an image comes from
where the machine itself gets its packages, and no host name stands in our code.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import os_release
from ansible_collections.vcompare.lab.plugins.module_utils._images import release_files

# What decides how packages are fetched and trusted. The rest of a machine's apt
# configuration (hooks, recommendations, languages) must not shape an image.
_OPTIONS = re.compile(
    r"^(Acquire::(?!Changelogs|CompressionTypes|IndexTargets|Languages)|APT::Authentication::)"
)
# Debian's own parts of a release, by the Codename of each; backports and proposed updates are not among them.
_POCKETS = ("", "-updates", "-security")
# What an entry says of other architectures, languages and indexes is of no use to an image.
_NOT_KEPT = ("arch", "lang", "target")


@dataclasses.dataclass(frozen=True)
class Source:
    """One archive: where packages of one suite come from.

    :param suite: as apt's sources name it (``bookworm``, ``stable``).
    :param codename: what its Release file says of that; empty while nothing was asked.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    codename: str = ""

    def line(self) -> str:
        """One line of a sources.list."""
        options = " ".join(f"{key}={value}" for key, value in self.options)
        bracket = f"[{options}] " if options else ""
        return f"deb {bracket}{self.uri} {self.suite} {' '.join(self.components)}"


def codename(paths: t.Sequence[str] = os_release.PATHS) -> str:
    """The release of this machine (``bookworm``, ``trixie``).

    :raises VcompareError: this is not a Debian with a code name.
    """
    values = os_release.read(paths)
    if values.get("ID") != "debian" or not values.get("VERSION_CODENAME"):
        raise VcompareError(
            f"This machine runs {values.get('PRETTY_NAME', 'an unknown system')}; images are made on Debian 12 and 13.",
            "Use a Debian 12 or 13 machine as lab server (inventory group lab_servers).",
        )
    return values["VERSION_CODENAME"]


def sources(release: str, own: str | None = None) -> list[Source]:
    """The archives of Debian's ``release`` that this machine uses, first named first.

    Where it has none for that release, those of its own release with the other's name: a mirror of Debian has all
    releases side by side.

    :param own: this machine's release; None to look.
    :raises VcompareError: there are none; with what the archives that it has say of themselves.
    """
    entries = list(dict.fromkeys(_known()))
    said = release_files.known(entries)
    ours = _of_release(entries, said, release)
    if not ours:
        own = codename_or_nothing() if own is None else own
        ours = [
            dataclasses.replace(source, suite=pocket, codename=pocket)
            for source in (_of_release(entries, said, own) if own else [])
            for pocket in [release + source.codename[len(own) :]]
        ]
    if not any(source.codename == release for source in ours):
        raise VcompareError(
            f"apt on this machine has no archive of Debian {release}.",
            f"Add Debian's mirror that this machine shall use to /etc/apt (its Release file says Origin Debian and "
            f"Codename {release}), or choose the release that it has.",
            "\n".join(f"{line}: {found}" for line, found in said.items()),
        )
    return ours


def codename_or_nothing() -> str:
    """The release of this machine; empty where it is not Debian."""
    try:
        return codename()
    except (VcompareError, OSError):
        return ""


def _of_release(
    entries: list[Source], said: dict[str, release_files.Release], release: str
) -> list[Source]:
    """Debian's own among the entries, each with its codename."""
    wanted = {release + pocket for pocket in _POCKETS}
    found = []
    for entry in entries:
        about = said.get(entry.line(), release_files.Release())
        if about.origin == "Debian" and about.codename.lower() in wanted:
            found.append(
                dataclasses.replace(entry, components=("main",), codename=about.codename.lower())
            )
    return list(dict.fromkeys(found))


def _known() -> list[Source]:
    """All sources of this machine, from where apt reads them."""
    places = command.run(
        [
            "apt-config",
            "shell",
            "LIST",
            "Dir::Etc::sourcelist/f",
            "PARTS",
            "Dir::Etc::sourceparts/d",
        ],
        "asking apt for its folders",
    )
    place = dict(re.findall(r"^(\w+)='(.*)'$", places, re.MULTILINE))
    found: list[Source] = []
    for path in [place["LIST"], *sorted(glob.glob(os.path.join(place["PARTS"], "*")))]:
        if not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8", errors="replace") as text:
            if path.endswith(".sources"):
                found += parse_deb822(text.read())
            elif path.endswith(".list"):
                found += parse_lines(text.read())
    return found


def require_mirror(found: list[Source], release: str) -> None:
    """Fetch the release file of each archive of ``release``, the way apt fetches, and check that it is Debian's.

    :raises VcompareError: one could not be fetched (with apt's own words), or is another release by now.
    """
    said, error = release_files.fetched(found)
    if error is not None:
        raise error
    for source in found:
        about = said.get(source.line(), release_files.Release())
        if (about.origin, about.codename.lower()) != ("Debian", source.codename):
            raise VcompareError(
                f"{source.uri} {source.suite} is not Debian's {source.codename}, which an image of Debian {release} "
                f"needs; its Release file says: {about}.",
                f"Name the suite {source.codename} in /etc/apt, and run apt-get update.",
            )


def parse_lines(text: str) -> list[Source]:
    """Sources in the one-line style; see sources.list(5)."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if match:
            options = tuple(
                (key, value)
                for key, _sep, value in (word.partition("=") for word in (match[1] or "").split())
                if value and key not in _NOT_KEPT
            )
            found.append(Source(match[2], match[3], tuple(match[4].split()), options))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Sources in the deb822 style; see sources.list(5). Embedded keys are left out (a keyring file is needed)."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
                continue
            key, _sep, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
            "0",
        ):
            continue
        options = []
        if fields.get("signed-by", "").startswith("/"):
            options.append(("signed-by", fields["signed-by"]))
        for name in ("trusted", "check-valid-until", "check-date"):
            if name in fields:
                options.append((name, fields[name]))
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                found.append(
                    Source(uri, suite, tuple(fields.get("components", "").split()), tuple(options))
                )
    return found


def options() -> str:
    """apt's options about fetching and trust, as lines of an apt.conf."""
    dump = command.run(
        ["apt-config", "dump", "--no-empty"], "reading apt's configuration", timeout_s=60
    )
    return "".join(line + "\n" for line in dump.splitlines() if _OPTIONS.match(line))
