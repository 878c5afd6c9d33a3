# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lab was made of, to the byte: written down as a lock, and held against a lab that was built from it.

Three levels: **A** the images, bit by bit; **B** what each provisioned node is made of (``node_manifest``); **C** the
facts that figures depend on. Each difference says where it is, what the lock has there, and what is there now.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import shutil
import subprocess
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import packages
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab

SCHEMA = 1
Lock = dict[str, t.Any]
# Files of an image that say how it was made, and are not part of it.
_ABOUT = frozenset({"image.json", packages.LIST})
_TOOLS: t.Mapping[str, tuple[str, ...]] = {
    "qemu": ("qemu-system-x86_64", "--version"),
    "libvirt": ("libvirtd", "--version"),
    "mmdebstrap": ("mmdebstrap", "--version"),
    "mke2fs": ("mke2fs", "-V"),
}
_ABSENT = "nothing"
_DIFFOSCOPE_S = 600


@dataclasses.dataclass(frozen=True)
class Difference:
    """One place where a lab is not as its lock says.

    :param level: ``A``, ``B`` or ``C``.
    :param where: a path in words.
    """

    level: str
    where: str
    locked: str
    found: str

    @property
    def words(self) -> str:
        return f"level {self.level}: {self.where} is {self.found}; the lock has {self.locked}"


def compose(lab: Lab, state: t.Mapping[str, t.Any], nodes: t.Mapping[str, t.Any]) -> Lock:
    """Write down a lab.

    :param state: what the lab knows of itself (``state.json``).
    :param nodes: by name, the result of M(vcompare.lab.node_manifest).
    :raises VcompareError: there is no provisioned lab, a node said nothing, or an image is of unknown packages.
    """
    settings = state.get("settings") or {}
    if not settings or not state.get("provisioned"):
        raise VcompareError(
            f"The lab {lab.name} is not there, or not provisioned.",
            "Bring it up first: vcompare lab up.",
        )
    if settings.get("outbound"):
        raise VcompareError(
            f"The nodes of the lab {lab.name} install their packages from a mirror, which a lock does not hold.",
            "Lock a lab that has them in its image (nested_lab_preinstalled: true).",
        )
    names = [node["name"] for node in state["nodes"]]
    if missing := [name for name in names if name not in nodes]:
        raise VcompareError(
            f"The node {missing[0]} did not say what it is made of.",
            "See why: vcompare lab status.",
        )
    return {
        "schema": SCHEMA,
        "lab": {
            "nodes": len(names),
            **{key: settings[key] for key in ("accel", "vcpus", "memory_mib")},
        },
        "tools": {name: _version(argv) for name, argv in _TOOLS.items()},
        "acceleration": {
            key: (state.get("acceleration") or {}).get(key)
            for key in ("accel", "nested", "kvm_cpu")
        },
        "images": {kind: image(settings[f"{kind}_image"]) for kind in ("node", "guest")},
        "nodes": {name: {key: nodes[name][key] for key in ("manifest", "facts")} for name in names},
        "left_out": nodes[names[0]]["left_out"],
    }


def image(folder: str) -> dict[str, t.Any]:
    """Say what an image is: its recipe, what it was made of, and the hash of each of its files."""
    with open(os.path.join(folder, "image.json"), encoding="utf-8") as text:
        meta = json.load(text)
    return {
        "recipe": meta.get("recipe"),
        "release": meta["release"],
        "files": {
            name: packages.sha256(os.path.join(folder, name))
            for name in sorted(os.listdir(folder))
            if name not in _ABOUT
        },
        "packages": [dataclasses.asdict(each) for each in packages.read(folder)],
    }


def _version(argv: t.Sequence[str]) -> str:
    if shutil.which(argv[0], path=command.search_path()) is None:
        return ""
    done = subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": command.search_path()},
    )
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def check(lock: t.Any) -> Lock:
    """Return a lock that can be worked with.

    :raises VcompareError: it is none, or of another schema.
    """
    if not isinstance(lock, dict) or not isinstance(lock.get("images"), dict):
        raise VcompareError(
            "That is not a lock of a lab (vcompare_lock, --lock).", "Write one: vcompare lab lock."
        )
    if lock.get("schema") != SCHEMA:
        raise VcompareError(
            f"The lock has schema {lock.get('schema')!r}, and this collection reads {SCHEMA}.",
            "Use the collection that wrote it.",
        )
    try:
        for kind in ("node", "guest"):
            for each in lock["images"][kind]["packages"]:
                packages.Package(**each)
            dict(lock["images"][kind]["files"])
        for node in lock["nodes"].values():
            dict(node["manifest"]), dict(node["facts"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VcompareError(
            f"The lock is damaged: {type(error).__name__}: {error}.",
            "Write it again: vcompare lab lock.",
        ) from None
    return lock


def images_differ(lock: Lock, now: Lock) -> list[Difference]:
    """Level A: recipe, packages and files of each image."""
    found = []
    for kind in ("node", "guest"):
        locked, is_now = lock["images"][kind], now["images"][kind]
        found += _compared("A", f"recipe of the {kind} image", locked["recipe"], is_now["recipe"])
        found += _compared(
            "A",
            f"{kind} image, package",
            {
                f"{each['name']}:{each['architecture']}": f"{each['version']} {each['sha256']}"
                for each in locked["packages"]
            },
            {
                f"{each['name']}:{each['architecture']}": f"{each['version']} {each['sha256']}"
                for each in is_now["packages"]
            },
        )
        found += _compared("A", f"{kind} image, file", locked["files"], is_now["files"])
    return found


def differences(lock: Lock, now: Lock) -> list[Difference]:
    """Return where a lab is not as its lock says, level by level."""
    found = images_differ(lock, now)
    found += _compared("A", "lab", lock["lab"], now["lab"])
    for level, part in (("B", "manifest"), ("C", "facts")):
        for name in sorted({*lock["nodes"], *now["nodes"]}):
            found += _compared(
                level,
                name,
                (lock["nodes"].get(name) or {}).get(part),
                (now["nodes"].get(name) or {}).get(part),
            )
    found += _compared("C", "acceleration", lock["acceleration"], now["acceleration"])
    return found


def _compared(level: str, where: str, locked: t.Any, found: t.Any) -> list[Difference]:
    if locked == found:
        return []
    if isinstance(locked, dict) and isinstance(found, dict):
        return [
            difference
            for key in sorted({*locked, *found})
            for difference in _compared(level, f"{where} {key}", locked.get(key), found.get(key))
        ]
    if isinstance(locked, list) and isinstance(found, list):
        gone = [each for each in locked if each not in found]
        come = [each for each in found if each not in locked]
        return [Difference(level, where, _short(gone), _short(come))]
    return [Difference(level, where, _short(locked), _short(found))]


def _short(value: t.Any) -> str:
    if value is None or value in ([], ""):
        return _ABSENT
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def evidence(
    lock: Lock, state: t.Mapping[str, t.Any], found: t.Sequence[Difference], images: str
) -> str:
    """Say more about an image that is not the lock's, where the one that is lies here too."""
    for kind in ("node", "guest"):
        for name, digest in lock["images"][kind]["files"].items():
            if not any(each.where == f"{kind} image, file {name}" for each in found):
                continue
            new = os.path.join(state["settings"][f"{kind}_image"], name)
            for old in sorted(glob.glob(os.path.join(images, f"{kind}-*", name))):
                if old != new and packages.sha256(old) == digest:
                    return f"{old} and {new}: {looked_into(old, new)}"
    return ""


def looked_into(one: str, other: str) -> str:
    """Say what two files differ in: by diffoscope where the machine has it, else from which byte on.

    :param one: the file as it was, where that is still here; ``other`` the new one.
    """
    if not (os.path.exists(one) and os.path.exists(other)):
        return ""
    program = shutil.which("diffoscope")
    if program is not None:
        done = subprocess.run(
            [program, "--max-report-size", "4000", one, other],
            check=False,
            capture_output=True,
            text=True,
            timeout=_DIFFOSCOPE_S,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout
    at = first_byte(one, other)
    return "" if at is None else f"they differ from byte {at} on (diffoscope would say more)"


def first_byte(one: str, other: str) -> int | None:
    """Return the offset of the first byte in which two files differ; None where they don't."""
    size = 1 << 20
    at = 0
    with open(one, "rb") as left, open(other, "rb") as right:
        while True:
            a, b = left.read(size), right.read(size)
            if a != b:
                return at + next(
                    (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y),
                    min(len(a), len(b)),
                )
            if not a:
                return None
            at += len(a)
