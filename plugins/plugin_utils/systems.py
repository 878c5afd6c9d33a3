# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's catalogue of systems that os-variety starts: read and checked before anything is made."""

from __future__ import annotations

import hashlib
import re
import typing as t
from pathlib import Path

import yaml

Entry = dict[str, t.Any]

# Field → its type, and what it may be where not everything goes (plugins/module_utils/_arms/protocol.py, System).
_FIELDS: dict[str, type] = {
    "name": str,
    "path": str,
    "url": str,
    "sha256": str,
    "console": str,
    "boot": str,
    "firmware": str,
    "cmdline": str,
    "linux": bool,
    "memory_mib": int,
    "ready_s": int,
}
_NEEDED = ("name", "sha256", "console")
_CHOICES = {"boot": ("disk", "kernel"), "firmware": ("bios", "uefi")}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class SystemsError(Exception):
    """A catalogue can't be used; the message names file, entry and remedy."""


def read(path: Path) -> list[Entry]:
    """Read a catalogue: a list of systems, each with ``name``, ``path`` or ``url``, ``sha256`` and ``console``.

    :returns: the entries, each with ``boot`` and, where it has a path, that one made absolute (relative ones are looked
        for beside the catalogue) and ``there``: whether the file is.
    :raises SystemsError: it can't be read, or an entry says what nobody can start.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SystemsError(f"{path} can't be read: {error}") from error
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise SystemsError(f"{path} is not a list of systems; docs/systems.yml is one")
    entries = [_checked(path, entry) for entry in data]
    names = [_file_name(entry) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise SystemsError(f"{path}: two systems are called {name}: name each differently")
    return entries


def verify(entry: Entry) -> None:
    """Hold a file that is there against its digest.

    :raises SystemsError: it is another file.
    """
    with open(entry["path"], "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise SystemsError(
            f"{entry['name']}: {entry['path']} has the sha256 {found}, and the catalogue says {entry['sha256']}: "
            "get the file again, or correct the catalogue"
        )


def _file_name(entry: Entry) -> str:
    return re.sub(r"[^a-z0-9]+", "-", entry["name"].lower()).strip("-")


def _checked(path: Path, entry: Entry) -> Entry:
    name = str(entry.get("name", "without a name"))

    def wrong(what: str) -> SystemsError:
        return SystemsError(f"{path}: {name}: {what}")

    unknown = sorted(set(map(str, entry)) - set(_FIELDS))
    if unknown:
        raise wrong(f"nobody knows {', '.join(unknown)}; there are {', '.join(_FIELDS)}")
    for field, value in entry.items():
        # True is a number to Python, and no size of a memory.
        if not isinstance(value, _FIELDS[field]) or (
            isinstance(value, int) and _FIELDS[field] is int and (value is True or value < 1)
        ):
            raise wrong(f"{field} is {value!r}, and must be {_FIELDS[field].__name__}")
        if field in _CHOICES and value not in _CHOICES[field]:
            raise wrong(f"{field} is {value!r}; it may be {' or '.join(_CHOICES[field])}")
    missing = [field for field in _NEEDED if not entry.get(field)]
    if missing:
        raise wrong(f"{' and '.join(missing)} must be given (sha256sum prints the digest)")
    if not _NAME.fullmatch(name):
        raise wrong("the name may have letters, digits, blanks and . _ + -, 41 of them at most")
    if not _SHA256.fullmatch(entry["sha256"]):
        raise wrong(f"sha256 is {entry['sha256']!r}, and must be 64 hexadecimal digits")
    if bool(entry.get("path")) == bool(entry.get("url")):
        raise wrong("either path or url must be given")
    if entry.get("url") and not entry["url"].startswith(("https://", "http://", "file://")):
        raise wrong(f"url is {entry['url']!r}, and must begin with https://")
    try:
        re.compile(entry["console"])
    except re.error as error:
        raise wrong(f"console is not a regular expression: {error}") from error
    # An empty value says no more than none.
    given = {field: value for field, value in entry.items() if value != ""}
    checked: Entry = {"boot": "disk", **given, "file": _file_name(entry)}
    if entry.get("path"):
        file = (path.parent / Path(entry["path"]).expanduser()).absolute()
        checked |= {"path": str(file), "there": file.is_file()}
    return checked
