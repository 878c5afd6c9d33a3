# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Whether a bundle is still what was written: the chain of hashes, and the raw texts.

Each line of ``blocks.jsonl`` has the sha256 over the hash of the line before it, the exact bytes of
its block's samples and proofs, and itself (docs/contracts.md, "Bundle"). What does not fit is named
with its file and line, and what it belongs to is not used. A manifest that was changed afterwards
makes the whole bundle unusable: it says what was to be shown before anything was measured.

As long as all is well, files are only read and hashed: the lines are counted off, not parsed. A
chain does not protect from someone who makes it anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t
from pathlib import Path

from vcompare_runner._contract.encoding import canonical, digest
from vcompare_runner._contract.reasons import RECORD, Reason
from vcompare_runner.bundle.integrity_lines import Lines, by_key, counted, what_differs
from vcompare_runner.core import edges
from vcompare_runner.core.errors import BundleError

# What is written into a manifest after the first block.
MANIFEST_LATER = ("finished_at", "stopped", "last_block_sha256")

# Begins the reason why something is not used.


def not_as_written(detail: str) -> Reason:
    """Say that a record was changed after it had been written."""
    return Reason(RECORD, f"not as it was written: {detail}", detail)


BLOCKS, SAMPLES, PROOFS, RAW = "blocks.jsonl", "samples.jsonl", "proofs.jsonl", "raw"

_PARTS = ((SAMPLES, "samples"), (PROOFS, "proofs"))

Record = dict[str, t.Any]
Place = tuple[int, str]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written.

    :param code: machine-readable kind, like ``changed-line`` or ``missing-raw``.
    :param file: within the bundle; ``line`` counts from 1, None when it is about the whole file.
    """

    code: str
    file: str
    line: int | None
    text: str


@dataclasses.dataclass
class Integrity:
    """What was found out.

    :param chained: whether the bundle has a chain at all; one of an older version has none.
    :param untrusted: why a (block, host) is not used.
    :param bad_raw: raw texts that are missing or changed, with why; the arms whose samples name them
        are not used.
    :param ignored: numbers of lines of ``blocks.jsonl`` that are copies of others.
    """

    chained: bool
    findings: list[Finding] = dataclasses.field(default_factory=list)
    untrusted: dict[Place, Reason] = dataclasses.field(default_factory=dict)
    bad_raw: dict[str, str] = dataclasses.field(default_factory=dict)
    raw_of: dict[Place, frozenset[str]] = dataclasses.field(default_factory=dict)
    ignored: set[int] = dataclasses.field(default_factory=set)

    def add(
        self, code: str, file: str, line: int | None, text: str, place: Place | None = None
    ) -> None:
        """Note a finding; with a place, what belongs to that block of that host is not used."""
        where = f"{file}, line {line}" if line else file
        said = f"{where}: {text}"
        self.findings.append(Finding(code, file, line, said))
        if place is not None:
            self.untrusted.setdefault(place, not_as_written(said))


@dataclasses.dataclass
class _Line:
    """A line of ``blocks.jsonl``."""

    number: int
    text: bytes
    record: Record
    whole: bool = False

    @property
    def place(self) -> Place:
        return (self.record["block"], self.record["host"])

    @property
    def name(self) -> str:
        return f"block {self.record['block']} of {self.record['host']}"

    @property
    def sha256(self) -> str | None:
        own = self.record.get("sha256")
        return own if isinstance(own, str) and own else None

    @property
    def chain(self) -> Record:
        chain = self.record.get("chain")
        return chain if isinstance(chain, dict) else {}

    @property
    def reference(self) -> str:
        """What the next line refers to: a line of an older version has no hash of its own."""
        return self.sha256 or hashlib.sha256(self.text).hexdigest()


def check(folder: Path) -> Integrity:
    """Check the records of a bundle, without its raw texts (see ``check_raw``).

    :raises BundleError: the manifest is not the one that the run began with.
    """
    lines = _read_blocks(folder / BLOCKS)
    found = Integrity(chained=any(line.sha256 for line in lines))
    _check_times(lines, found)
    if not found.chained:
        return found
    lines = _without_old_ones(lines, found)
    _check_contents(folder, lines, found)
    lines = _without_copies(lines, found)
    _check_manifest(folder, lines)
    _check_links(folder, lines, found)
    for line in lines:
        raw = line.chain.get("raw")
        if line.whole and isinstance(raw, list):
            found.raw_of[line.place] = frozenset(map(str, raw))
    return found


def _read_blocks(path: Path) -> list[_Line]:
    found = []
    with edges.open_lines(path) as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix(b"\n")
            try:
                record = edges.parse_json(text)
                if isinstance(record["block"], int) and isinstance(record["host"], str):
                    found.append(_Line(number, text, record))
            except (ValueError, KeyError, TypeError):
                # What is not a block's line is the loader's to name.
                continue
    return found


def _check_times(lines: t.Sequence[_Line], found: Integrity) -> None:
    """A block whose own times can't be has nothing to be trusted in it."""
    for line in lines:
        for key in ("controller_elapsed_s", "host_elapsed_s"):
            value = line.record.get(key)
            if isinstance(value, (int, float)) and not (edges.is_plausible(value) and value >= 0):
                text = f"{line.name}: impossible {key} {value!r}"
                found.add("impossible-value", BLOCKS, line.number, text, line.place)


def _without_old_ones(lines: t.Sequence[_Line], found: Integrity) -> list[_Line]:
    """Return the chained lines: an older version may have begun the run, never have ended it."""
    first = next(number for number, line in enumerate(lines) if line.sha256)
    for line in lines[first:]:
        if not line.sha256:
            text = f"{line.name} has lost its hash: it was changed since it was written"
            found.add("changed-line", BLOCKS, line.number, text, line.place)
    if first:
        names = f"{first} {'block was' if first == 1 else 'blocks were'}"
        text = f"{names} written without a hash, by an older version: they can't be checked"
        found.add("no-chain", BLOCKS, None, text)
    return [line for line in lines if line.sha256]


def _is_whole(line: _Line, samples: Lines | None, proofs: Lines | None) -> bool:
    """Say whether a block's line, samples and proofs give its hash."""
    own = {key: value for key, value in line.record.items() if key != "sha256"}
    digest = hashlib.sha256(str(line.chain.get("previous")).encode() + b"\n")
    for there in (samples, proofs):
        for piece in there.pieces() if there else ():
            digest.update(piece)
    try:
        digest.update(canonical(own))
    except ValueError:
        return False
    return digest.hexdigest() == line.sha256


def _check_contents(folder: Path, lines: t.Sequence[_Line], found: Integrity) -> None:
    """Check each block's content by its own hash, and name what differs.

    In a bundle in which nothing was changed, samples and proofs lie one block after the other.
    """
    quick = [
        counted(folder / name, [(line.place, line.chain.get(key)) for line in lines])
        for name, key in _PARTS
    ]
    if all(part is not None for part in quick):
        samples, proofs = t.cast("list[dict[Place, Lines]]", quick)
        for line in lines:
            line.whole = _is_whole(line, samples.get(line.place), proofs.get(line.place))
        if all(line.whole for line in lines):
            return
    parts = [by_key(folder / name) for name, _key in _PARTS]
    for line in lines:
        there = [part.get(line.place, Lines()) for part in parts]
        line.whole = _is_whole(line, *there)
        if not line.whole:
            _name_differences(line, there, found)


def _name_differences(line: _Line, there: t.Sequence[Lines], found: Integrity) -> None:
    named = False
    for (name, key), lines in zip(_PARTS, there, strict=True):
        sums = line.chain.get(f"{key}_crc32")
        if not isinstance(sums, str):
            continue
        expected = [sums[place : place + 8] for place in range(0, len(sums), 8)]
        for code, number, text in what_differs(expected, lines):
            named = True
            found.add(code, name, number, f"{text} ({line.name})", line.place)
    if not named:
        text = f"{line.name} was changed since it was written"
        found.add("changed-line", BLOCKS, line.number, text, line.place)


def _without_copies(lines: t.Sequence[_Line], found: Integrity) -> list[_Line]:
    """Leave out lines for a block that is there already: the first one that is whole counts."""
    chosen: dict[Place, _Line] = {}
    for line in lines:
        other = chosen.get(line.place)
        if other is None or (line.whole and not other.whole):
            chosen[line.place] = line
    for line in lines:
        keeper = chosen[line.place]
        if line is not keeper:
            found.ignored.add(line.number)
            text = f"{line.name} is there already, in line {keeper.number}; left out"
            found.add("duplicate-block", BLOCKS, line.number, text)
    return [line for line in lines if line.number not in found.ignored]


def _check_manifest(folder: Path, lines: t.Sequence[_Line]) -> None:
    path = folder / "manifest.json"
    manifest = edges.parse_json(edges.read_bytes(path))
    fixed = {key: value for key, value in manifest.items() if key not in MANIFEST_LATER}
    try:
        own = digest(fixed)
    except ValueError:
        own = "unknown"
    for line in lines:
        if line.whole and line.chain.get("manifest") not in (None, own):
            raise BundleError(
                f"{path} was changed after the run had begun: it is not the one that {BLOCKS}, line "
                f"{line.number} ({line.name}) was written under",
                "restore the file from a copy of the bundle, or measure again: what a run was to "
                "show is declared before it, and nothing can be judged by another declaration",
            )


def _check_links(folder: Path, lines: t.Sequence[_Line], found: Integrity) -> None:
    """Check that each line follows the one that it was written after."""
    run = edges.parse_json(edges.read_bytes(folder / "manifest.json"))
    known = {line.reference: line for line in lines} | {str(run.get("run")): None}
    old = [line for line in _read_blocks(folder / BLOCKS) if not line.sha256]
    before = old[-1].reference if old and lines and old[-1].number < lines[0].number else None
    before = before or str(run.get("run"))
    for line in lines:
        stated = str(line.chain.get("previous"))
        if line.whole and stated != before:
            if stated in known:
                other = known[stated]
                after = f"line {other.number} ({other.name})" if other else "the beginning"
                text = f"{line.name} is not where it was written: that was after {after}"
                found.add("moved-line", BLOCKS, line.number, text, line.place)
            else:
                text = f"a line before it is missing: {line.name} was written after another one"
                found.add("missing-line", BLOCKS, line.number, text)
        before = line.reference
    last = run.get("last_block_sha256")
    if last and lines and str(last) not in known:
        text = "its last line is missing: the run ended with another block"
        found.add("missing-line", BLOCKS, lines[-1].number + 1, text)


def check_raw(folder: Path, found: Integrity, named: t.Collection[str]) -> None:
    """Check the raw texts: each is named by the sha256 of its bytes.

    :param named: the evidence that samples name.
    """
    raw = folder / RAW
    wanted = set(named).union(*found.raw_of.values())
    if not wanted:
        return
    if not edges.is_there(raw):
        if found.chained:
            found.bad_raw = dict.fromkeys(
                wanted, f"{RAW}: the folder with the raw texts is missing"
            )
        found.add("missing-raw", RAW, None, "the folder with the raw texts is missing")
        return
    there = {name.removesuffix(".txt") for name in os.listdir(raw)}
    for key in sorted(wanted):
        file = f"{RAW}/{key}.txt"
        if key not in there:
            found.bad_raw[key] = f"{file} is missing"
            found.add("missing-raw", file, None, "the raw text is missing")
        elif _digest(raw / f"{key}.txt") != key:
            found.bad_raw[key] = f"{file} was changed"
            found.add("changed-raw", file, None, "the raw text was changed since it was written")
    for place, keys in found.raw_of.items():
        for key in sorted(keys.intersection(found.bad_raw).difference(named)):
            # No sample names it, so there is no telling whose it was.
            found.untrusted.setdefault(place, not_as_written(found.bad_raw[key]))


def _digest(path: Path) -> str:
    with edges.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
