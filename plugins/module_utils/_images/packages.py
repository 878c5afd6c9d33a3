# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages that images were made of, kept by their hash, so that an image can be built again from the very same ones.

Each image's folder has ``packages.json``: what was installed, with the lines that the mirror's index had about it
(priority and section are the index's, and decide what is installed). The packages themselves lie once a home, in
``packages/<sha256>.deb``. From both a repository is laid out that holds nothing else, so that the resolver has nothing
to choose from, and no mirror is asked.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import os
import re
import shutil
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

LIST = "packages.json"
# Inside the tree while it is built: what comes out of it by mmdebstrap's own hooks.
_ARCHIVES, AVAILABLE = "/var/cache/apt/archives", "vcompare-available"
_KERNEL = "linux-image-amd64"
# Fields of a stanza that are about the mirror's own layout.
_PLACE = re.compile(r"^(?:Filename|Description-md5): .*\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Package:
    """One package file.

    :param sha256: of the file, and its name in the store.
    :param stanza: what the mirror's index said about it.
    :param kept: whether its file was fetched; of the kernel's metapackage only the index is read.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    stanza: str = ""
    kept: bool = True

    @property
    def words(self) -> str:
        return f"{self.name} {self.version} {self.architecture}"


def store(home: str) -> str:
    """Folder of the packages that a home keeps."""
    return os.path.join(home, "packages")


def hooks(work: str) -> tuple[list[str], list[str]]:
    """Return mmdebstrap's options by which package files and index come out of a tree: first ones, and last one.

    :param work: folder that they come to (:func:`kept`).
    """
    os.makedirs(f"{work}/archives")
    first = [
        # Those of the first stage would be removed when they are installed.
        "--skip=essential/unlink",
        f"--customize-hook=sync-out {_ARCHIVES} {work}/archives",
        f'--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-cache dumpavail > "$1"/{AVAILABLE}',
        f"--customize-hook=copy-out /{AVAILABLE} {work}",
    ]
    return first, [f'--customize-hook=rm "$1"/{AVAILABLE}']


def stanzas(text: str) -> t.Iterator[tuple[dict[str, str], str]]:
    """Read an index: for each stanza the fields that stand on a line of their own, and its text."""
    for stanza in text.split("\n\n"):
        fields = {
            key: value.strip()
            for key, sep, value in (
                line.partition(":") for line in stanza.splitlines() if line[:1] not in (" ", "\t")
            )
            if sep
        }
        if "Package" in fields:
            yield fields, stanza.strip("\n") + "\n"


def keep(home: str, work: str, folder: str, also: t.Sequence[str] = ()) -> str:
    """Keep the package files of a build, and write down what they are; return that as one hash.

    :param work: where the hooks brought them; further ``*.deb`` may lie in ``also``, folders.
    :param folder: of the image.
    :raises VcompareError: a file is not what the index says.
    """
    target = store(home)
    os.makedirs(target, mode=0o711, exist_ok=True)
    files = {
        sha256(path): path
        for place in (f"{work}/archives", *also)
        for path in sorted(glob.glob(f"{place}/*.deb"))
    }
    found: list[Package] = []
    with open(f"{work}/{AVAILABLE}", encoding="utf-8", errors="replace") as text:
        for fields, stanza in stanzas(text.read()):
            digest = fields.get("SHA256", "")
            if digest in files or fields["Package"] == _KERNEL:
                found.append(
                    Package(
                        fields["Package"],
                        fields["Version"],
                        fields["Architecture"],
                        digest,
                        _PLACE.sub("", stanza),
                        digest in files,
                    )
                )
    if unknown := sorted(set(files) - {each.sha256 for each in found}):
        raise VcompareError(
            f"The package {os.path.basename(files[unknown[0]])} is not in the mirror's index with that SHA-256.",
            "Build it again; if that does not help, see what the mirror serves.",
        )
    for digest, path in files.items():
        _put(path, os.path.join(target, f"{digest}.deb"))
    shutil.rmtree(f"{work}/archives")
    os.unlink(f"{work}/{AVAILABLE}")
    write(folder, found)
    return pins(found)


def _put(path: str, target: str) -> None:
    if os.path.exists(target):
        return
    partial = f"{target}.{os.getpid()}.partial"
    shutil.copyfile(path, partial)
    os.chmod(partial, 0o644)
    os.replace(partial, target)


def write(folder: str, found: t.Iterable[Package]) -> None:
    """Write down what an image was made of."""
    ordered = sorted(found, key=lambda each: (each.name, each.architecture, each.version))
    with open(os.path.join(folder, LIST), "w", encoding="utf-8") as text:
        json.dump([dataclasses.asdict(each) for each in ordered], text, indent=0, sort_keys=True)


def read(folder: str) -> list[Package]:
    """Read what an image was made of.

    :raises VcompareError: that was not written down.
    """
    try:
        with open(os.path.join(folder, LIST), encoding="utf-8") as text:
            return [Package(**each) for each in json.load(text)]
    except (OSError, ValueError, TypeError) as error:
        raise VcompareError(
            f"What packages the image {os.path.basename(folder)} was made of is not known ({error}).",
            "Take that folder away and build the lab again.",
        ) from None


def pins(packages: t.Iterable[Package]) -> str:
    """Return what packages there are as one hash."""
    text = "".join(sorted(f"{each.words} {each.sha256}\n" for each in packages))
    return hashlib.sha256(text.encode()).hexdigest()


def _place_of(places: t.Sequence[str], package: Package) -> str | None:
    paths = (os.path.join(place, f"{package.sha256}.deb") for place in places)
    return next((path for path in paths if os.path.exists(path)), None)


def require(places: t.Sequence[str], packages: t.Sequence[Package]) -> dict[str, str]:
    """Return where each package file is, by its hash.

    :param places: folders with kept packages.
    :raises VcompareError: one is not kept, or is not what its name says.
    """
    # What was read from the index and never fetched has no file.
    wanted = [each for each in packages if each.kept]
    paths = {each.sha256: _place_of(places, each) for each in wanted}
    if missing := [each for each in wanted if paths[each.sha256] is None]:
        raise VcompareError(
            f"{len(missing)} of {len(wanted)} packages of the lock are not kept here, {missing[0].words} among them "
            f"(looked in {', '.join(places)}).",
            "Bring the folder packages of the home where the lock was written, and name it "
            "(vcompare_packages, --packages).",
        )
    found = {digest: path for digest, path in paths.items() if path is not None}
    for each in wanted:
        if sha256(found[each.sha256]) != each.sha256:
            raise VcompareError(
                f"The kept package {found[each.sha256]} ({each.words}) is not what it was: its SHA-256 is another one.",
                "Take that file away, and bring it again from where the lock was written.",
            )
    return found


def lay_out(
    places: t.Sequence[str], packages: t.Sequence[Package], folder: str, release: str
) -> str:
    """Lay out a repository of exactly these packages; return its line for a sources.list.

    :param folder: to make, where mmdebstrap can read.
    :param release: Debian code name; mmdebstrap chooses what is required among packages of that name.
    :raises VcompareError: see :func:`require`.
    """
    found = require(places, packages)
    os.makedirs(folder, mode=0o755)
    for digest, path in found.items():
        link = os.path.join(folder, f"{digest}.deb")
        try:
            os.link(path, link)
        except OSError:
            shutil.copyfile(path, link)
            os.chmod(link, 0o644)
    index = {
        each.stanza.rstrip("\n") + f"\nFilename: ./{each.sha256}.deb\n": None for each in packages
    }
    with open(os.path.join(folder, "Packages"), "w", encoding="utf-8") as text:
        text.write("\n".join(index))
    digest, size = sha256(f"{folder}/Packages"), os.path.getsize(f"{folder}/Packages")
    with open(os.path.join(folder, "Release"), "w", encoding="utf-8") as text:
        text.write(
            f"Suite: {release}\nCodename: {release}\nDate: Wed, 01 Jan 2025 00:00:00 UTC\n"
            f"SHA256:\n {digest} {size} Packages\n"
        )
    # Each file was held against the lock's hash just now, which is more than a signature says.
    return f"deb [trusted=yes] copy://{os.path.abspath(folder)} ./"


def sha256(path: str) -> str:
    """Digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
