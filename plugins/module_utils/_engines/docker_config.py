# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker's daemon.json: read without loss, merged, checked before use, replaced in one step."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Sequence

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

_SHORT_FLAGS = {
    "D": "debug",
    "G": "group",
    "H": "host",
    "b": "bridge",
    "g": "data-root",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
}
# Keys of the file that are not flags, or are flags of quite another name.
_KEYS_WITHOUT_FLAG = {"builder", "features", "proxies", "runtimes"}
_FLAG_OF_KEY = {
    "insecure-registries": "insecure-registry",
    "runtimes": "add-runtime",
}


# Option → the options that have a meaning for its value alone.
_DEPENDENT = {"log-driver": "log-opts", "storage-driver": "storage-opts"}
# The value that a daemon takes where none is given.
_DEFAULTS = {"log-driver": "json-file"}


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """What is on disk.

    :param content: the bytes, None when there is no file.
    :param values: what they say.
    """

    path: str
    content: bytes | None
    values: dict[str, t.Any]


def load(path: str) -> ConfigFile:
    """Read the file, which stays as it is.

    :raises VcompareError: when it is not a JSON object; says where it breaks.
    """
    path = os.path.realpath(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        return ConfigFile(path, None, {})
    except OSError as error:
        raise VcompareError(
            f"{path} can't be read: {error.strerror}.", "Run as root (become)."
        ) from error
    if not content.strip():
        return ConfigFile(path, content, {})
    try:
        values = json.loads(content)
    except json.JSONDecodeError as error:
        lines = error.doc.splitlines()
        line = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
        raise VcompareError(
            f"{path} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            "Correct it by hand or move it away; it was left as it is.",
            line.rstrip(),
        ) from error
    except UnicodeDecodeError as error:
        raise VcompareError(
            f"{path} is not UTF-8 text (byte {error.start}).",
            "Correct it by hand or move it away; it was left as it is.",
        ) from error
    if not isinstance(values, dict):
        raise VcompareError(
            f"{path} holds no JSON object but a {type(values).__name__}.",
            "Correct it by hand or move it away; it was left as it is.",
        )
    return ConfigFile(path, content, values)


def merge(current: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The current options with the wanted ones in them.

    Mappings are merged, key by key; everything else is replaced; a wanted None removes its key. Options whose meaning
    depends on another one, such as those of a log driver, go with what they were for.
    """
    merged = dict(copy.deepcopy(dict(current)))
    for key, dependent in _DEPENDENT.items():
        default = _DEFAULTS.get(key)
        if key in wanted and (wanted[key] or default) != (current.get(key) or default):
            merged.pop(dependent, None)
    for key, value in wanted.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def render(values: t.Mapping[str, t.Any]) -> bytes:
    """The file's text; keys keep their order, so that a diff shows what changed."""
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def check(values: t.Mapping[str, t.Any], dockerd: str, flags: Sequence[str]) -> str:
    """Have the options checked before they are written.

    :param flags: the arguments that the daemon is started with.
    :returns: what checked them: ``dockerd`` itself (since 23.0), or ``names`` for our own look
        at the names, with a daemon that can't check.
    :raises VcompareError: when the daemon would not start with them.
    """
    help_text = _run([dockerd, "--help"]).stdout
    if "--validate" in help_text:
        _check_by_daemon(values, dockerd, flags)
        return "dockerd"
    _check_names(values, help_text, flags)
    return "names"


def replace(path: str, content: bytes, like: str | None = None) -> None:
    """Write the file in one step; it keeps its mode and owner.

    :param like: another file, whose mode and owner it gets instead.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".daemon.json.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            try:
                before = os.stat(like or path)
            except FileNotFoundError:
                os.fchmod(stream.fileno(), 0o644)
            else:
                os.fchmod(stream.fileno(), before.st_mode & 0o7777)
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def back_up(file: ConfigFile, record: t.Callable[[str, bytes], None]) -> str:
    """Keep a copy beside the file; its path, or an empty text when there is nothing to keep.

    :param record: is told of the copy before it is made.
    """
    if file.content is None:
        return ""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    backup = f"{file.path}.{stamp}~"
    record(backup, file.content)
    # It may hold secrets, and be unreadable to others for that.
    replace(backup, file.content, like=file.path)
    return backup


def restore(file: ConfigFile) -> None:
    """Put back what was on disk, or nothing when there was nothing."""
    if file.content is None:
        if os.path.exists(file.path):
            os.unlink(file.path)
    else:
        replace(file.path, file.content)


def _check_by_daemon(values: t.Mapping[str, t.Any], dockerd: str, flags: Sequence[str]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".json") as candidate:
        candidate.write(render(values))
        candidate.flush()
        done = _run([dockerd, "--validate", "--config-file", candidate.name, *flags])
        if done.returncode:
            said = (done.stderr or done.stdout).strip().replace(candidate.name, "daemon.json")
            raise VcompareError(
                f"Docker refuses these options: {said}",
                "Nothing was changed. Correct the options.",
                said,
            )


def _check_names(values: t.Mapping[str, t.Any], help_text: str, flags: Sequence[str]) -> None:
    known = set(re.findall(r"--([a-z0-9][a-z0-9-]*)", help_text))
    unknown = [
        key for key in values if key not in _KEYS_WITHOUT_FLAG and not {key, _flag(key)} & known
    ]
    if unknown:
        raise VcompareError(
            f"Docker does not know these options: {', '.join(sorted(unknown))}.",
            "Nothing was changed. Correct the names.",
        )
    given = flag_names(flags)
    twice = [key for key in values if {key, _flag(key)} & given]
    if twice:
        raise VcompareError(
            "These options are given to the daemon as flags, too, so it would not start:"
            f" {', '.join(sorted(twice))}.",
            "Nothing was changed. Leave them to the flags (see systemctl cat docker.service).",
        )


def flag_names(flags: Sequence[str]) -> set[str]:
    """The long names of flags in an argument list."""
    names = set()
    for flag in flags:
        if flag.startswith("--"):
            names.add(flag[2:].split("=", 1)[0])
        elif flag.startswith("-") and len(flag) > 1 and flag[1] in _SHORT_FLAGS:
            names.add(_SHORT_FLAGS[flag[1]])
    return names


def _flag(key: str) -> str:
    """The flag of a key: lists have the singular there."""
    return _FLAG_OF_KEY.get(key) or key.removesuffix("s")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    except subprocess.TimeoutExpired as error:
        raise VcompareError(f"{' '.join(command[:2])} did not end within 300 s.") from error
    except OSError as error:
        raise VcompareError(f"{command[0]} can't be started: {error.strerror}.") from error
