# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the guest image and the node image have in common: recipe, cache, Debian tree."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import mounts
from ansible_collections.vcompare.lab.plugins.module_utils._images import apt, packages
from ansible_collections.vcompare.lab.plugins.module_utils._images.packages import Package

# Stamped on everything that is made, so that the same packages give the same bytes: 2025-01-01.
EPOCH = 1735689600
# Raised when a builder changes in a way that its recipe doesn't show.
BUILDER = 10
# Where a guest's kernel is fetched to, in the tree and beside it.
KERNEL_AT = "/vcompare-kernel"
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
    :param pinned: the packages of a lock, which it is built of and of nothing else; empty: what the mirror has.
    :param places: folders where those are kept.
    """

    kind: str
    release: str
    packages: tuple[str, ...]
    files: tuple[File, ...] = ()
    early_hooks: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    size_mib: int = 1024
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    pinned: tuple[Package, ...] = ()
    places: tuple[str, ...] = ()

    def key(self) -> str:
        """Name of its folder in the cache: the same recipe of the same pinned packages, the same folder."""
        values = dataclasses.asdict(dataclasses.replace(self, pinned=()))
        del values["pinned"], values["places"]
        if self.pinned:
            values["pinned"] = packages.pins(self.pinned)
        text = json.dumps([BUILDER, values], sort_keys=True)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def plain_key(self) -> str:
        """The same for recipes that differ in nothing but what packages are pinned."""
        return dataclasses.replace(self, pinned=()).key()


def cached(images: str, recipe: Recipe) -> dict[str, t.Any] | None:
    """The finished image of this recipe, or None."""
    return _finished(os.path.join(images, recipe.key()))


def standing(folders: t.Sequence[str], recipe: Recipe) -> dict[str, t.Any] | None:
    """The image among those of a lab that is of this recipe, whatever packages were pinned for it, or None."""
    found = (_finished(folder) for folder in folders)
    return next((meta for meta in found if meta and meta.get("recipe") == recipe.plain_key()), None)


def _finished(folder: str) -> dict[str, t.Any] | None:
    try:
        with open(os.path.join(folder, "image.json"), encoding="utf-8") as text:
            return {**json.load(text), "folder": folder}
    except (OSError, ValueError):
        return None


def build(
    images: str,
    recipe: Recipe,
    make: t.Callable[[Recipe, str, str], dict[str, t.Any]],
    anew: bool = False,
) -> dict[str, t.Any]:
    """Make an image in a scratch folder and move it into the cache in one step.

    A build that fails or is killed leaves at most a scratch folder, which the next build of the
    recipe takes away; two builds of one recipe wait for each other.

    :param make: gets the recipe, the scratch folder and a folder for trees; returns the meta data.
    :param anew: whether one that is there is built again.
    """
    os.makedirs(images, mode=0o711, exist_ok=True)
    target = os.path.join(images, recipe.key())
    with open(target + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = None if anew else cached(images, recipe)
        if done:
            return done
        if anew:
            _require_unused(os.path.dirname(images), target)
        scratch = target + ".partial"
        remove_tree(scratch)
        os.mkdir(scratch, 0o711)
        work = os.path.join(scratch, "work")
        os.mkdir(work)
        try:
            meta = {**make(recipe, scratch, work), "recipe": recipe.plain_key()}
            if os.path.exists(f"{work}/{packages.AVAILABLE}"):
                meta["made_of"] = packages.keep(
                    os.path.dirname(images), work, scratch, also=(f"{work}{KERNEL_AT}",)
                )
            remove_tree(work)
            with open(os.path.join(scratch, "image.json"), "w", encoding="utf-8") as text:
                json.dump(meta, text, indent=1, sort_keys=True)
                text.flush()
                os.fsync(text.fileno())
            remove_tree(target)
            os.rename(scratch, target)
        except BaseException:
            # Why the build failed matters more than what is left of it, which the next one takes away.
            with contextlib.suppress(VcompareError, OSError):
                remove_tree(scratch)
            raise
    return {**meta, "folder": target}


def _require_unused(home: str, folder: str) -> None:
    """Refuse to make an image anew that the disks of a lab are based on."""
    for path in sorted(glob.glob(os.path.join(home, "labs", "*", "state.json"))):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as text:
            settings = json.load(text).get("settings") or {}
            if folder in (settings.get("node_image"), settings.get("guest_image")):
                name = os.path.basename(os.path.dirname(path))
                raise VcompareError(
                    f"The image {os.path.basename(folder)} can't be built anew: the lab {name} stands on it.",
                    f"Take that lab away (vcompare lab down --lab {name}), or use another home (VCOMPARE_HOME).",
                )


def as_builder() -> list[str]:
    """Prefix of commands that handle a Debian tree: nothing for root, a user namespace for others.

    Its root is the user, and its other users are the user's subordinate ones (/etc/subuid): what root
    of a tree owns is the user's own outside, so that one owner can write and remove all of it.
    """
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]


def remove_tree(path: str) -> None:
    """Remove a folder, also one with files of a user namespace's other users.

    A build of root's that was killed leaves this machine's own /proc, /sys and device files mounted there: they are
    unmounted, and what could not be unmounted is not removed.
    """
    if not os.path.lexists(path):
        return
    for mounted in mounts.below(path):
        command.run(["umount", mounted], f"unmounting {mounted}")
    command.run([*as_builder(), "rm", "-rf", "--one-file-system", path], f"removing {path}")


def debian_tar(recipe: Recipe, tar: str, work: str, *, keep_apt: bool) -> None:
    """Make the root file system of a recipe as a tar archive: from this machine's own apt sources, or what is pinned.

    :param keep_apt: whether the image keeps those sources and options, for machines that install more.
    :raises VcompareError: with the mirror's or dpkg's last lines.
    """
    config = os.path.join(work, "apt.conf")
    sources = os.path.join(work, "sources.list")
    overlay = os.path.join(work, "overlay.tar")
    with open(config, "w", encoding="utf-8") as text:
        text.write(apt.options() + 'APT::Install-Recommends "false";\n')
    fetched = own = [source.line() + "\n" for source in apt.sources(recipe.release)]
    if recipe.pinned:
        fetched = [
            packages.lay_out(recipe.places, recipe.pinned, f"{work}/repository", recipe.release)
            + "\n"
        ]
    for path, lines in ((sources, fetched), (f"{sources}.own", own)):
        with open(path, "w", encoding="utf-8") as text:
            text.writelines(lines)
    write_overlay(overlay, recipe.files)
    argv = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(recipe.packages)}",
    ]
    argv += [f"--aptopt={config}", *(f"--dpkgopt=path-exclude=/{path}" for path in _SUBDIRS)]
    first, last = packages.hooks(work)
    argv += first
    # A build that a power cut interrupts is begun anew.
    argv.append("--dpkgopt=force-unsafe-io")
    # The configuration of machines that boot must hold when their packages are configured (initrd, services).
    argv += [f"--essential-hook={line}" for line in (f"tar-in {overlay} /", *recipe.early_hooks)]
    argv += [f"--customize-hook={line}" for line in (f"tar-in {overlay} /", *recipe.hooks)]
    argv += last
    # mmdebstrap writes what it was given to either of them.
    argv.append(
        '--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/0000*'
    )
    if keep_apt:
        # The same whether it was built of the mirror's packages or of kept ones.
        argv.append(f"--customize-hook=upload {sources}.own /etc/apt/sources.list")
    else:
        # A proxy's password or a company's mirror must not travel with an image.
        argv.append('--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap')
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


def used_mib(tree_kib: int, spare: float) -> int:
    """Size of a file system for a tree of that many KiB."""
    return max(64, int(tree_kib / 1024 * spare) + 32)


def tree_kib(tree: str) -> int:
    """Size of a tree as it lies on disk."""
    return int(command.run([*as_builder(), "du", "-sk", tree], "measuring a tree").split()[0])
