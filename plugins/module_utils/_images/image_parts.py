# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An image on its way to hosts: packed once where it was built, sent in parts, unpacked and verified on each host.

The image's disk and its container archive hold the same files. One zstd stream with a window that reaches from one to
the other stores them once, so that the host derives the second from the first, bit for bit: 410 MB become 63 MB.
The stream is stored in parts of a fixed size. A part that arrived needs not be sent again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images.packages import sha256

PART_BYTES = 8 * 1024 * 1024
# 256 MiB: a host needs so much memory to unpack. An image whose container archive is larger is stored with more bytes.
_WINDOW = "--long=28"
_LEVEL = "-10"
_INDEX = "parts.json"
# Stamps of verified files, so that an unchanged file of hundreds of megabytes is read once.
_VERIFIED = "verified.json"
_ZSTD_REMEDY = "Install the packages tar and zstd on that machine."
_FREE_SPARE_BYTES = 64 * 1024 * 1024


def pack(folder: str, names: t.Sequence[str], check_mode: bool = False) -> dict[str, t.Any]:
    """Pack files of an image into parts, or return the parts that an earlier call made.

    :param folder: of the image, with its ``image.json``.
    :param names: the files that hosts need.
    :param check_mode: nothing is packed; parts that are not there yet are missing from the result.
    :returns: folder, parts (each with name, bytes, sha256), bytes (of all parts), unpacked_bytes, changed.
    :raises VcompareError: a file is missing, or a program failed.
    """
    with open(os.path.join(folder, "image.json"), encoding="utf-8") as text:
        files = json.load(text)["files"]
    if unknown := sorted(set(names) - set(files)):
        raise VcompareError(f"The image in {folder} has no {', '.join(unknown)}.")
    ordered = sorted(names, key=_order)
    wanted = {name: files[name] for name in ordered}
    digest = hashlib.sha256(json.dumps([PART_BYTES, wanted]).encode()).hexdigest()[:16]
    target = os.path.join(folder, f"parts-{digest}")
    if check_mode and not os.path.exists(os.path.join(target, _INDEX)):
        return {"folder": target, "parts": [], "changed": True, **_unpacked(folder, ordered)}
    with open(target + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        index = os.path.join(target, _INDEX)
        changed = not os.path.exists(index)
        if changed:
            _write_parts(folder, ordered, target)
    with open(index, encoding="utf-8") as text:
        return {**json.load(text), "folder": target, "changed": changed}


def _order(name: str) -> tuple[bool, str]:
    # The container archive and the disk share their content, and the window must reach from one to the other.
    return name not in ("container.tar", "rootfs.ext4"), name


def _write_parts(folder: str, names: t.Sequence[str], target: str) -> None:
    partial = target + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial, mode=0o755)
    archive = ["tar", "--create", "--sparse", "--file=-", "--mtime=@0", "--owner=0", "--group=0"]
    archive += ["--numeric-owner", "--mode=0644", "--sort=none", *names]
    stages = [
        archive,
        ["zstd", "--quiet", "--threads=0", _LEVEL, _WINDOW, "-"],
        [
            *("split", f"--bytes={PART_BYTES}", "--numeric-suffixes", "--suffix-length=4", "-"),
            os.path.join(partial, "part-"),
        ],
    ]
    _pipe(stages, folder, "packing the image")
    parts: list[dict[str, t.Any]] = [
        {
            "name": name,
            "bytes": os.path.getsize(path := os.path.join(partial, name)),
            "sha256": sha256(path),
        }
        for name in sorted(os.listdir(partial))
    ]
    meta = {
        "parts": parts,
        "bytes": sum(part["bytes"] for part in parts),
        **_unpacked(folder, names),
    }
    with open(os.path.join(partial, _INDEX), "w", encoding="utf-8") as text:
        json.dump(meta, text, indent=1)
        text.flush()
        os.fsync(text.fileno())
    shutil.rmtree(target, ignore_errors=True)
    os.rename(partial, target)


def _unpacked(folder: str, names: t.Sequence[str]) -> dict[str, int]:
    return {"unpacked_bytes": sum(os.path.getsize(os.path.join(folder, name)) for name in names)}


def _pipe(stages: t.Sequence[t.Sequence[str]], cwd: str, what: str) -> None:
    """Run programs, each of which reads what the one before it writes.

    :raises VcompareError: one of them is missing or fails; says which, with its last lines.
    """
    environment = {**os.environ, "PATH": command.search_path(), "LC_ALL": "C.UTF-8"}
    running: list[subprocess.Popen[bytes]] = []
    source: t.Any = subprocess.DEVNULL
    try:
        for stage in stages:
            last = stage is stages[-1]
            process = subprocess.Popen(
                stage,
                cwd=cwd,
                env=environment,
                stdin=source,
                stdout=subprocess.DEVNULL if last else subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            if source is not subprocess.DEVNULL:
                source.close()
            running.append(process)
            source = process.stdout
    except FileNotFoundError as error:
        for process in running:
            process.kill()
            process.wait()
        raise VcompareError(
            f"{what}: the program {error.filename} is not on this machine.", _ZSTD_REMEDY
        ) from error
    # Each writes a few lines at most, so that reading one after the other can't block.
    said = [process.stderr.read() if process.stderr else b"" for process in running]
    codes = [process.wait() for process in running]
    # The last one that failed has the reason: those before it lost their reader.
    for stage, code, text in reversed(list(zip(stages, codes, said, strict=True))):
        if code:
            raise VcompareError(
                f"{what}: {stage[0]} ended with code {code}.",
                "See whether the disk is full.",
                command.tail(text),
            )


def verified(folder: str, files: t.Mapping[str, str]) -> bool:
    """Say whether a host has these files, with these digests.

    A file is read again only where its size, times or inode differ from those of its last verification.

    :param files: name → sha256.
    """
    try:
        with open(os.path.join(folder, "image.json"), encoding="utf-8") as text:
            if not set(files.items()) <= set(json.load(text)["files"].items()):
                return False
        with open(os.path.join(folder, _VERIFIED), encoding="utf-8") as text:
            stamps = json.load(text)
    except FileNotFoundError:
        stamps = {}
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    if not os.path.exists(os.path.join(folder, "image.json")):
        return False
    for name, digest in files.items():
        path = os.path.join(folder, name)
        try:
            if stamps.get(name) != [digest, *_stamp(path)] and sha256(path) != digest:
                return False
        except OSError:
            return False
    return True


def _stamp(path: str) -> list[int]:
    found = os.stat(path)
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def install(source: str, parts: t.Sequence[str], target: str, image: dict[str, t.Any]) -> None:
    """Unpack the parts into a folder, verify every file, and write ``image.json`` last.

    :param source: folder of the parts.
    :param parts: their names, in order.
    :param image: content of ``image.json``; its ``files`` are those that are unpacked, with their sha256.
    :raises VcompareError: too little disk space, a program failed, or a digest differs; the folder is then as before.
    """
    files: dict[str, str] = image["files"]
    partial = target + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    _make_passable(partial)
    _make_passable(os.path.dirname(target))
    try:
        _pipe(
            [
                ["cat", *(os.path.join(source, name) for name in parts)],
                ["zstd", "--quiet", "--decompress", "--stdout", _WINDOW, "-"],
                # Only what was asked for, whatever else an archive may hold.
                ["tar", "--extract", "--no-same-owner", "--file=-", *files],
            ],
            partial,
            "unpacking the image",
        )
        stamps = {}
        for name, digest in files.items():
            path = os.path.join(partial, name)
            if os.path.islink(path) or sha256(path) != digest:
                raise VcompareError(
                    f"The file {name} of the image has another digest than where it was built.",
                    "Start again: the parts are sent again. If it stays so, check that machine's memory and disk.",
                )
            stamps[name] = digest
        _make_passable(target)
        for name in files:
            os.replace(os.path.join(partial, name), os.path.join(target, name))
        written = {
            name: [digest, *_stamp(os.path.join(target, name))] for name, digest in stamps.items()
        }
        for name, content in ((_VERIFIED, written), ("image.json", image)):
            _write_json(os.path.join(target, name), content)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_passable(folder: str) -> None:
    # QEMU runs as a user of its own, and passes through.
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o711)  # noqa: S103


def _write_json(path: str, content: t.Any) -> None:
    with open(path + ".partial", "w", encoding="utf-8") as text:
        json.dump(content, text, indent=1, sort_keys=True)
        text.flush()
        os.fsync(text.fileno())
    os.replace(path + ".partial", path)


def require_space(target: str, unpacked_bytes: int) -> None:
    """Refuse an image that does not fit.

    :raises VcompareError: names the folder, what is needed and what is free.
    """
    existing = target
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(existing).free
        needed = unpacked_bytes + _FREE_SPARE_BYTES
        if free < needed:
            raise VcompareError(
                f"The image needs {needed >> 20} MiB in {target}, and {free >> 20} MiB are free there.",
                "Free some space on that host, then start again.",
            )
