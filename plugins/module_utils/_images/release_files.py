# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the archives of apt say of themselves: Origin, Label and Codename of their Release files.

A vendor may call its suite and component like Debian's, and Debian's suite may be called ``stable``: an archive is
what its Release file says, which apt has verified. apt itself says where it keeps those files and which indexes it
would fetch, so disabled entries, architectures, mirror lists and other places of its folders are apt's business.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

REMEDY = "See that apt works on this machine (apt-get update): its mirrors and proxies are used as they are."
_URI = re.compile(r"^'([^']*)/(InRelease|\S+)' (\S+)", re.MULTILINE)
_FIELD = re.compile(r"^(Origin|Label|Suite|Codename):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
# No hook of the machine runs, and nothing of the machine's own lists or caches changes.
_SCRATCH = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State::lists "{folder}/lists";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
"""
# Only Release files are fetched. Each that can't be is an error.
_UPDATE = """\
#clear Acquire::IndexTargets;
Acquire::Retries "1";
APT::Update::Error-Mode "any";
"""


class Entry(t.Protocol):
    """What is read of a source."""

    @property
    def uri(self) -> str:
        """Where the archive is."""

    @property
    def suite(self) -> str:
        """Its suite, as it is called in the sources."""

    def line(self) -> str:
        """One line of a sources.list."""


@dataclasses.dataclass(frozen=True)
class Release:
    """Who publishes an archive, and what release of it."""

    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""

    def __str__(self) -> str:
        """Return it as Release files have it."""
        said = (
            (field.name.capitalize(), getattr(self, field.name))
            for field in dataclasses.fields(self)
        )
        return ", ".join(f"{name} {value}" for name, value in said if value) or "no Release file"


def parse(text: str) -> Release:
    """Read the head of a Release or InRelease file; the first of each field counts, as in apt."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name.lower(), value)
    return Release(**fields)


def _base(entry: Entry) -> str:
    return f"{entry.uri.rstrip('/')}/dists/{entry.suite.strip('/')}"


def _stored(options: t.Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return apt's folder of lists, and the release file there of each archive that has main for this machine."""
    said = command.run(
        [
            "apt-config",
            *options,
            "shell",
            "LISTS",
            "Dir::State::lists/d",
            "ARCH",
            "APT::Architecture",
        ],
        "asking apt for its folders",
    )
    values = dict(re.findall(r"^(\w+)='(.*)'$", said, re.MULTILINE))
    uris = _URI.findall(
        command.run(
            ["apt-get", *options, "--print-uris", "update"],
            "asking apt for its archives",
            remedy=REMEDY,
        )
    )
    main = {
        base.removesuffix(f"/main/binary-{values['ARCH']}")
        for base, name, _file in uris
        if name.startswith("Packages")
    }
    return values["LISTS"], {
        base: file for base, name, file in uris if name == "InRelease" and base in main
    }


def _read(folder: str, file: str) -> Release:
    for name in (file, file.removesuffix("InRelease") + "Release"):
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as text:
                return parse(text.read(65536))
        except FileNotFoundError:
            continue
    return Release()


def known(entries: t.Iterable[Entry]) -> dict[str, Release]:
    """Return line → what its Release file says, of the archives that have packages for this machine in ``main``.

    What apt has not fetched yet is fetched into a scratch folder; one that can't be reached has an empty Release.
    """
    folder, stored = _stored(())
    found = {
        entry.line(): _read(folder, stored[_base(entry)])
        for entry in entries
        if _base(entry) in stored
    }
    missing = [line for line, release in found.items() if not release.codename]
    if missing:
        asked = {entry.line(): entry for entry in entries}
        found |= fetched([asked[line] for line in missing])[0]
    return found


def fetched(entries: t.Sequence[Entry]) -> tuple[dict[str, Release], VcompareError | None]:
    """Fetch the Release files of archives the way apt does it, signatures checked; nothing of the machine changes.

    :returns: line → what it says, empty where it could not be had; and apt's own words when one could not.
    """
    with tempfile.TemporaryDirectory(prefix="vcompare-apt-") as folder:
        # apt fetches as a user of its own.
        os.chmod(folder, 0o755)  # noqa: S103
        os.makedirs(f"{folder}/lists/partial")
        scratch, update = f"{folder}/scratch.conf", f"{folder}/update.conf"
        for path, text in (
            (scratch, _SCRATCH.format(folder=folder)),
            (update, _UPDATE),
            (f"{folder}/sources.list", "".join(entry.line() + "\n" for entry in entries)),
        ):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        error = None
        try:
            command.run(
                ["apt-get", "-c", scratch, "-c", update, "-q", "update"],
                f"asking {', '.join(dict.fromkeys(entry.uri for entry in entries))} for release files",
                remedy=REMEDY,
                timeout_s=300,
            )
        except VcompareError as failed:
            error = failed
        lists, stored = _stored(("-c", scratch))
        return {
            entry.line(): _read(lists, stored[_base(entry)])
            for entry in entries
            if _base(entry) in stored
        }, error
