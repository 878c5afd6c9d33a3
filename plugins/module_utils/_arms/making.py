# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an arm can make beside instances: versions of a state, and images by a recipe.

What is made belongs to an instance, lies in its folder or stands in its record, and goes when that is destroyed.
"""

from __future__ import annotations

import dataclasses
import typing as t


class Versions(t.Protocol):
    """Named versions of a state, each kept on top of the one before.

    :ivar begin: for a shell in an instance that stands on a version: what makes ``place`` ready.
    :ivar place: the folder inside that the state is written to.
    :ivar goes_on: whether the instance whose state was kept writes on into the next version; otherwise that begins
        with an instance that stands on the one just kept.
    """

    begin: str
    place: str
    goes_on: bool

    def changes(self, version: str = "") -> dict[str, t.Any]:
        """Return what a specification is changed by for an instance that stands on a version; ``""``: on none."""

    def keep(self, name: str, version: str, timeout_s: float) -> None:
        """Keep the state of a running instance; return when it could write on without changing what was kept."""

    def size(self, version: str) -> int:
        """Return the bytes that a version takes on the host's disk, without those that it stands on."""

    def listed(self, version: str) -> list[str]:
        """Return what the technology says of a version and of those that it stands on, the latest first."""

    def moved(self, version: str, timeout_s: float) -> tuple[str, str]:
        """Take a version out and in again; return its digest before and after. No instance stands on it."""


@dataclasses.dataclass(frozen=True)
class Sources:
    """What is built: files by their paths.

    :param installed: rarely changed, with ``install.sh``; ``compiled``: one's own, with ``compile.sh``.
    """

    installed: t.Mapping[str, str]
    compiled: t.Mapping[str, str]


class Builder(t.Protocol):
    """Builds images by a recipe.

    :ivar recipe: the text that somebody would have to write.
    """

    recipe: str

    def build(self, tag: str, sources: Sources, *, clean: bool, timeout_s: float) -> None:
        """Make an image: the root file system with ``sources`` installed and compiled.

        :param clean: without what earlier builds left.
        """

    def changes(self, tag: str) -> dict[str, t.Any]:
        """Return what a specification is changed by for an instance of an image that was built."""


def lines(recipe: str) -> int:
    """Return how many lines a recipe has that say something."""
    return sum(
        1 for line in recipe.splitlines() if line.strip() and not line.lstrip().startswith("#")
    )
