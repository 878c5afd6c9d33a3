# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions and builds with Docker: ``docker commit`` and a Dockerfile."""

from __future__ import annotations

import dataclasses
import io
import os
import tarfile
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.making import Sources
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)

if t.TYPE_CHECKING:
    from ansible_collections.vcompare.lab.plugins.module_utils._arms.docker import Docker

DOCKERFILE = """\
FROM {base}
COPY installed /usr/src/installed
RUN sh /usr/src/installed/install.sh
COPY compiled /usr/src/compiled
RUN sh /usr/src/compiled/compile.sh
"""


class _Images:
    """Images of one instance, which go with it.

    :param docker: the arm.
    :param spec: of the instance.
    """

    def __init__(self, docker: Docker, spec: InstanceSpec) -> None:
        if spec.image is None:
            raise NotPossible(f"{spec.name} has no image")
        self.docker, self.spec, self.image = docker, spec, spec.image

    def _repository(self) -> str:
        return f"vcompare/{self.spec.name}"

    def _reference(self, tag: str) -> str:
        """Return an image's name as the engine knows it."""
        return f"{self._repository()}:{tag}"

    def _noted(self, tag: str) -> str:
        """Have it in the instance's record before it is made; return its name."""
        reference = self._reference(tag)
        self.docker.note_image(self.spec.name, reference)
        return reference

    def changes(self, tag: str = "") -> dict[str, t.Any]:
        """Return what a specification is changed by for an instance of one of these images."""
        if not tag:
            return {}
        # No archive: it is there already, and nowhere else.
        image: Image = dataclasses.replace(
            self.image, reference=self._reference(tag), container="", digest="", quick_digest=""
        )
        return {"image": image}


class DockerVersions(_Images):
    """Versions as images: each container is begun from the version before, and committed."""

    begin = "mkdir -p /srv/vcompare"
    place = "/srv/vcompare"
    goes_on = False

    def keep(self, name: str, version: str, timeout_s: float) -> None:
        """Commit a container; the daemon halts it for that."""
        self._noted(version)
        with self.docker.errors(f"{name}: committing it"):
            self.docker.client(timeout_s).commit(
                name, repository=self._repository(), tag=version, message=f"{version}: its state"
            )

    def size(self, version: str) -> int:
        """Return what its topmost layer takes, in the folder of the storage driver or else by the daemon's own word."""
        reference = self._reference(version)
        with self.docker.errors(f"{reference}: looking at its layers"):
            found = self.docker.client().inspect_image(reference)
            upper = ((found.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
            if not upper or not os.path.isdir(upper):
                said = self.docker.client().history(reference)[0].get("Size")
                # A layer that was committed holds something; containerd's image store may not say how much.
                if not said:
                    raise NotPossible(
                        f"Docker does not say how large the topmost layer of {reference} is"
                    )
                return int(said)
        return sum(
            os.lstat(os.path.join(folder, name)).st_blocks * 512
            for folder, folders, files in os.walk(os.path.dirname(upper))
            for name in [*folders, *files]
        )

    def listed(self, version: str) -> list[str]:
        """Return the messages of the image's history."""
        with self.docker.errors(f"{version}: listing its history"):
            return [
                str(entry.get("Comment") or "")
                for entry in self.docker.client().history(self._reference(version))
            ]

    def moved(self, version: str, timeout_s: float) -> tuple[str, str]:
        """Save an image, remove it with all versions, load it: its id and the digests of its layers."""
        reference = self._reference(version)
        path = f"{self.docker.store.folder(self.spec.name)}/moved.tar"
        before = self._digest(reference)
        with self.docker.errors(f"{reference}: saving and loading it"):
            with open(path, "wb") as archive:
                for chunk in self.docker.client(timeout_s).get_image(reference):
                    archive.write(chunk)
            self.docker.drop_images(self.spec.name)
            if self.docker.has_image(reference):
                raise BackendError(f"{reference} is still there after it was removed")
            with open(path, "rb") as archive:
                client = self.docker.client(timeout_s)
                for progress in client.load_image(archive, quiet=True) or ():
                    if "error" in progress:
                        raise BackendError(f"loading {reference}: {progress['error']}")
        os.unlink(path)
        return before, self._digest(reference)

    def _digest(self, reference: str) -> str:
        with self.docker.errors(f"{reference}: asking for its digest"):
            found = self.docker.client().inspect_image(reference)
        return " ".join([found["Id"], *found["RootFS"]["Layers"]])


class DockerBuilder(_Images):
    """Builds by a Dockerfile, with the daemon's own builder."""

    recipe = DOCKERFILE

    def build(self, tag: str, sources: Sources, *, clean: bool, timeout_s: float) -> None:
        """Build an image; ``clean`` is without the cache."""
        reference = self._noted(tag)
        context = _context(self.recipe.format(base=self.image.reference), sources)
        with self.docker.errors(f"{reference}: building it"):
            for progress in self.docker.client(timeout_s).build(
                fileobj=context,
                custom_context=True,
                tag=reference,
                nocache=clean,
                rm=True,
                forcerm=True,
                decode=True,
                # No label: it would be one more step, and has no counterpart in another arm's recipe. Whose
                # the image is, its name says, and the record of the instance.
                network_mode="none",
            ):
                if "error" in progress:
                    raise BackendError(f"building {reference}: {progress['error'].strip()}")
        if not self.docker.has_image(reference):
            raise BackendError(f"building {reference} said no error, and there is no such image")


def _context(recipe: str, sources: Sources) -> io.BytesIO:
    """Return the archive that the daemon builds from."""
    files = {"Dockerfile": recipe}
    for folder in ("installed", "compiled"):
        files |= {f"{folder}/{path}": text for path, text in getattr(sources, folder).items()}
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    return context
