# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guest image and the node image have in common: recipe, cache, Debian tree."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils.lab import apt, command

# Stamped on everything that is made, so that the same packages give the same bytes: 2025-01-01.
EPOCH = 1735689600
# Raised when a builder changes in a way that its recipe doesn't show.
BUILDER = 6
_SUBDIRS = (
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/share/info/*",
    "var/cache/debconf/*-old",
)


@dataclasses.dataclass(frozen=True)
class File:
    """A file of ours in an image; a link when ``link`` is set."""

    path: str
    content: str = ""
    mode: int = 0o644
    link: str = ""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image.

    :param kind: ``guest`` or ``node``.
    :param release: Debian code name.
    :param packages: what is installed beside the essential packages.
    :param files: files of ours.
    :param early_hooks: shell lines that run before packages are configured; ``$1`` is the tree.
    :param hooks: shell lines that run at the end; ``$1`` is the tree.
    :param size_mib: size of its file system.
    :param settings: anything else that its builder reads.
    """

    kind: str
    release: str
    packages: tuple[str, ...]
    files: tuple[File, ...] = ()
    early_hooks: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    size_mib: int = 1024
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

    def key(self) -> str:
        """Name of its folder in the cache: the same recipe, the same folder."""
        text = json.dumps([BUILDER, dataclasses.asdict(self)], sort_keys=True)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def cached(images: str, recipe: Recipe) -> dict[str, t.Any] | None:
    """The finished image of this recipe, or None."""
    try:
        with open(os.path.join(images, recipe.key(), "image.json"), encoding="utf-8") as text:
            meta = json.load(text)
    except (OSError, ValueError):
        return None
    return {**meta, "folder": os.path.join(images, recipe.key())}


def build(
    images: str, recipe: Recipe, make: t.Callable[[Recipe, str, str], dict[str, t.Any]]
) -> dict[str, t.Any]:
    """Make an image in a scratch folder and move it into the cache in one step.

    A build that fails or is killed leaves at most a scratch folder, which the next build of the
    recipe takes away; two builds of one recipe wait for each other.

    :param make: gets the recipe, the scratch folder and a folder for trees; returns the meta data.
    """
    os.makedirs(images, mode=0o711, exist_ok=True)
    target = os.path.join(images, recipe.key())
    with open(target + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cached(images, recipe)
        if done:
            return done
        scratch = target + ".partial"
        remove_tree(scratch)
        remove_tree(target)
        os.mkdir(scratch, 0o711)
        work = os.path.join(scratch, "work")
        os.mkdir(work)
        try:
            meta = make(recipe, scratch, work)
            remove_tree(work)
            with open(os.path.join(scratch, "image.json"), "w", encoding="utf-8") as text:
                json.dump(meta, text, indent=1, sort_keys=True)
                text.flush()
                os.fsync(text.fileno())
            os.rename(scratch, target)
        except BaseException:
            # Why the build failed matters more than what is left of it, which the next one takes away.
            with contextlib.suppress(VcompareError, OSError):
                remove_tree(scratch)
            raise
    return {**meta, "folder": target}


def as_builder() -> list[str]:
    """Prefix of commands that handle a Debian tree: nothing for root, a user namespace for others.

    Its root is the user, and its other users are the user's subordinate ones (/etc/subuid): what root
    of a tree owns is the user's own outside, so that one owner can write and remove all of it.
    """
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]


def remove_tree(path: str) -> None:
    """Remove a folder, also one with files of a user namespace's other users."""
    if not os.path.lexists(path):
        return
    if os.geteuid() == 0:
        shutil.rmtree(path)
    else:
        command.run([*as_builder(), "rm", "-rf", "--one-file-system", path], f"removing {path}")


def debian_tar(recipe: Recipe, tar: str, work: str, *, keep_apt: bool) -> None:
    """Make the root file system of a recipe as a tar archive, from this machine's own apt sources.

    :param keep_apt: whether the image keeps those sources and options, for machines that install more.
    :raises VcompareError: with the mirror's or dpkg's last lines.
    """
    config = os.path.join(work, "apt.conf")
    sources = os.path.join(work, "sources.list")
    overlay = os.path.join(work, "overlay.tar")
    with open(config, "w", encoding="utf-8") as text:
        text.write(apt.options() + 'APT::Install-Recommends "false";\n')
    with open(sources, "w", encoding="utf-8") as text:
        text.writelines(source.line() + "\n" for source in apt.sources(recipe.release))
    write_overlay(overlay, recipe.files)
    argv = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(recipe.packages)}",
    ]
    argv += [f"--aptopt={config}", *(f"--dpkgopt=path-exclude=/{path}" for path in _SUBDIRS)]
    # A build that a power cut interrupts is begun anew.
    argv.append("--dpkgopt=force-unsafe-io")
    # The configuration of machines that boot must hold when their packages are configured (initrd, services).
    argv += [f"--essential-hook={line}" for line in (f"tar-in {overlay} /", *recipe.early_hooks)]
    argv += [f"--customize-hook={line}" for line in (f"tar-in {overlay} /", *recipe.hooks)]
    if not keep_apt:
        # A proxy's password or a company's mirror must not travel with an image.
        argv.append(
            '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list'
        )
    argv.append(
        '--customize-hook=rm -rf "$1"/etc/ssh/ssh_host_* "$1"/var/cache/ldconfig; find "$1"/var/log -type f -delete'
    )
    argv.append('--customize-hook=: > "$1"/etc/machine-id')
    argv += ["--skip=output/dev", recipe.release, tar, sources]
    command.run(
        argv,
        f"building the Debian {recipe.release} tree of the {recipe.kind} image",
        remedy="If a package could not be fetched: see that this machine's own apt works (apt-get update), "
        "its mirror and proxy settings are used as they are.",
        env={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": work},
        timeout_s=7200,
    )
    # Device nodes can't be made in a user namespace and every arm mounts its own; the folder is needed.
    have_folder(tar, "./dev")


def have_folder(tar: str, name: str) -> None:
    """Append an empty folder to a tar archive, unless it is there: Docker refuses an image that has a path twice.

    What mmdebstrap makes of ``--skip=output/dev`` differs: Debian 12's leaves the folder out, Debian 13's keeps it.
    """
    with tarfile.open(tar, "a", format=tarfile.GNU_FORMAT) as archive:
        if name in archive.getnames():
            return
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, EPOCH
        archive.addfile(folder)


def write_overlay(path: str, files: t.Sequence[File]) -> None:
    """Write files of ours into a tar archive that always has the same bytes."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(files, key=lambda one: one.path):
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.mtime = EPOCH
            entry.mode = file.mode
            if file.link:
                entry.type = tarfile.SYMTYPE
                entry.linkname = file.link
                tar.addfile(entry)
            else:
                data = file.content.encode()
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


def unpack(tar: str, tree: str) -> None:
    """Unpack a tar archive with owners and attributes as they are in it."""
    os.makedirs(tree, exist_ok=True)
    command.run(
        [
            *as_builder(),
            "tar",
            "--extract",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-p",
            "-f",
            tar,
            "-C",
            tree,
        ],
        "unpacking a root file system",
        remedy="See whether the disk that holds the home is full.",
        timeout_s=1800,
    )


def make_initrd(path: str, init: str, files: t.Mapping[str, bytes | str]) -> None:
    """Write a small initrd (newc, gzip without a time stamp).

    :param init: text of ``/init``.
    :param files: path in the archive → content, or the name of a file to take it from.
    """
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as tree:
        for name, source in {**files, "init": init.encode()}.items():
            target = os.path.join(tree, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if isinstance(source, bytes):
                with open(target, "wb") as file:
                    file.write(source)
            else:
                shutil.copyfile(source, target)
            os.chmod(target, 0o755)  # noqa: S103 - programs and data of an archive
        names = []
        for folder, folders, entries in os.walk(tree):
            for name in [*folders, *entries]:
                full = os.path.join(folder, name)
                os.utime(full, (EPOCH, EPOCH))
                names.append(os.path.relpath(full, tree))
        archive = command.run_bytes(
            ["cpio", "--quiet", "-o", "-H", "newc", "--reproducible", "-R", "0:0"],
            "packing the initrd",
            stdin="\n".join(sorted(names)).encode(),
            cwd=tree,
        )
    packed = command.run_bytes(["gzip", "-9n"], "compressing the initrd", stdin=archive)
    # Padded to four bytes: an instance's own small archive is appended to it.
    with open(path, "wb") as file:
        file.write(packed + b"\0" * (-len(packed) % 4))


def sha256(path: str) -> str:
    """Digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def used_mib(tree_kib: int, spare: float) -> int:
    """Size of a file system for a tree of that many KiB."""
    return max(64, int(tree_kib / 1024 * spare) + 32)


def tree_kib(tree: str) -> int:
    """Size of a tree as it lies on disk."""
    return int(command.run([*as_builder(), "du", "-sk", tree], "measuring a tree").split()[0])
