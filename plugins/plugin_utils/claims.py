# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The claims in a run's manifest: declared before the first sample, and kept (docs/contracts.md)."""

from __future__ import annotations

import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract.encoding import digest

Record = dict[str, t.Any]


class ClaimsError(Exception):
    """Claims can't be declared; the text says which and why."""


def declare(catalogues: t.Sequence[Record]) -> Record:
    """Put catalogues together, as the manifest has them.

    :param catalogues: each a ``file`` and its ``claims`` (see the lookup ``claims``).
    :raises ClaimsError: one is not a catalogue, or two claims have the same id.
    """
    owner: dict[str, str] = {}
    claims: list[Record] = []
    for catalogue in catalogues:
        try:
            name, of_file = str(catalogue["file"]), list(catalogue["claims"])
            ids = [str(claim["id"]) for claim in of_file]
        except (KeyError, TypeError) as error:
            raise ClaimsError(
                f"claims: each needs file and claims, and each claim an id: {error!r}"
            ) from None
        for each in ids:
            if each in owner:
                raise ClaimsError(
                    f"claims: {name}: {owner[each]} has a claim with the id {each} already; give "
                    "yours another id"
                )
            owner[each] = name
        claims += of_file
    return {
        "sha256": digest(claims),
        "files": [str(catalogue["file"]) for catalogue in catalogues],
        "claims": claims,
    }


def undeclared(there: Record | None, catalogues: t.Sequence[Record]) -> list[str]:
    """Name the claims of a user that a run which goes on did not declare when it began.

    Margins can't be chosen with results at hand. The collection's own claims (the first catalogue)
    are not asked for: a newer collection may go on with a run, which keeps those that it began with.
    """
    known = {claim["id"]: claim for claim in (there or {"claims": []})["claims"]}
    return [
        claim["id"]
        for catalogue in catalogues[1:]
        for claim in catalogue["claims"]
        if known.get(claim["id"]) != claim
    ]
