# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The claims that a run is judged by: those that it declared before its first sample.

A run's manifest holds them as they were then (docs/contracts.md, "Bundle"), with their sha256, so
that a margin that was moved afterwards is noticed. A bundle from before that, which declared none,
is judged by the claims that come with this package; the report says so.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from pathlib import Path

from vcompare_runner._contract.encoding import digest
from vcompare_runner.bundle.schema import Manifest, Note
from vcompare_runner.core.errors import BundleError, UsageError
from vcompare_runner.verdict import schema

SHIPPED = Path(__file__).with_name("catalogue.yml")
# How the role names the same file.
SHIPPED_NAME = "claims.yml"


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Claims in the order of their files.

    :param files: names of the files, the shipped one first.
    :param sha256: of the claims in canonical JSON; see ``digest``.
    :param declared: whether the run declared them; else they are the shipped ones.
    """

    claims: tuple[schema.Claim, ...]
    files: tuple[str, ...]
    sha256: str
    declared: bool

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a reader must know about where the claims come from."""
        if self.declared:
            return ()
        return (
            Note(
                "claims-not-declared",
                "the run declared no claims before it began; it is judged by those of this "
                f"version ({self.sha256[:12]})",
            ),
        )


@functools.cache
def shipped() -> Catalogue:
    """Return the claims that come with this package."""
    claims = schema.read_claims(SHIPPED)
    declared = [claim.model_dump(exclude_unset=True) for claim in claims]
    return Catalogue(claims, (SHIPPED_NAME,), digest(declared), declared=False)


def catalogue_of(manifest: Manifest) -> Catalogue:
    """Return the claims that a run is judged by.

    :raises BundleError: what the manifest declares is broken, or not what it was when it was
        declared.
    """
    declared = manifest.claims
    if declared is None:
        return shipped()
    try:
        found = digest(declared.claims)
    except ValueError:
        found = "no digest: it has what is not JSON in it"
    if found != declared.sha256:
        raise BundleError(
            f"the manifest of {manifest.run} was changed: its claims are not those that were "
            "declared before the run began (their sha256 differs)",
            "restore manifest.json from a copy of the bundle",
        )
    try:
        claims = schema.parse_claims(
            {"schema": schema.SCHEMA, "claims": declared.claims}, "manifest.json"
        )
    except UsageError as error:
        raise BundleError(
            f"the claims of {manifest.run} can't be read: {error.message}",
            "install the version of vcompare_runner that made it",
        ) from error
    return Catalogue(claims, tuple(declared.files), declared.sha256, declared=True)


def check_files(files: t.Sequence[Path]) -> tuple[schema.Claim, ...]:
    """Check files of a user's claims, before anything is made.

    :returns: their claims.
    :raises UsageError: one of them is wrong, or has an id that is taken, or speaks of what nobody
        measures.
    """
    by_file: dict[str, t.Sequence[schema.Claim]] = {SHIPPED_NAME: shipped().claims}
    for path in files:
        name = str(path)
        if name in by_file:
            raise UsageError(f"{name} is named twice", "name it once")
        by_file[name] = schema.read_claims(path)
    everything = schema.merge(by_file)
    for name, claims in by_file.items():
        schema.check_words(claims, shipped().claims, name)
    return everything[len(shipped().claims) :]
