# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chain of hashes that ties a bundle's records together (docs/contracts.md, "Bundle").

Each block's line has the sha256 over the hash of the line before it, the exact bytes of the block's
samples and proofs, and the line itself. So a record that is changed, taken out, added or moved
afterwards is found, and by the checksum of each line, which one. It protects from accidents and from
quiet corrections, not from someone who makes the whole chain again.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
import zlib

from ansible_collections.vcompare.lab.plugins.module_utils._contract.encoding import canonical
from ansible_collections.vcompare.lab.plugins.module_utils._contract.encoding import (
    digest as digest_of,
)

Record = dict[str, t.Any]

# What is written into a manifest after the first block.
MANIFEST_LATER = ("finished_at", "stopped", "last_block_sha256")


def manifest_hash(manifest: t.Mapping[str, t.Any]) -> str:
    """Return the hash of all that a manifest says before the first block."""
    fixed = {key: value for key, value in manifest.items() if key not in MANIFEST_LATER}
    return digest_of(fixed)


def checksums(lines: bytes) -> str:
    """Return the CRC-32 of each line, eight hexadecimal digits each, one after the other."""
    return "".join(f"{zlib.crc32(line):08x}" for line in lines.splitlines(keepends=True))


def previous_of(last_line: bytes | None, run: str) -> str:
    """Return what the next block's line refers to.

    :param last_line: the last line of ``blocks.jsonl``, without its end; None when there is none.
        A line of an older version has no hash of its own, so that of its bytes is taken.
    """
    if last_line is None:
        return run
    own = json.loads(last_line).get("sha256")
    return str(own) if own else hashlib.sha256(last_line).hexdigest()


def chained(
    line: Record,
    previous: str,
    samples: bytes,
    proofs: bytes,
    raw: t.Collection[str],
    manifest: t.Mapping[str, t.Any],
) -> Record:
    """Return a block's line with its link of the chain.

    :param line: the block's line, without ``chain`` and ``sha256``.
    :param samples: the block's lines in ``samples.jsonl``, byte by byte; ``proofs`` likewise.
    :param raw: the names of its raw texts.
    """
    linked = {
        **line,
        "chain": {
            "previous": previous,
            "manifest": manifest_hash(manifest),
            "samples": samples.count(b"\n"),
            "proofs": proofs.count(b"\n"),
            "samples_crc32": checksums(samples),
            "proofs_crc32": checksums(proofs),
            "raw": sorted(raw),
        },
    }
    digest = hashlib.sha256(previous.encode() + b"\n" + samples + proofs + canonical(linked))
    return {**linked, "sha256": digest.hexdigest()}
