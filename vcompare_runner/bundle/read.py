# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Loading the bundle of a run; `schema` says what is in it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pydantic

from vcompare_runner._contract import reasons
from vcompare_runner._contract.reasons import Reason
from vcompare_runner.bundle import integrity
from vcompare_runner.bundle.conditions import noisy
from vcompare_runner.bundle.schema import (
    SCHEMA,
    BlockLine,
    Bundle,
    HostFacts,
    Manifest,
    Note,
    ProofLine,
    TurnLine,
    _Model,
)
from vcompare_runner.core import edges
from vcompare_runner.core.errors import BundleError
from vcompare_runner.core.lines import BROKEN_REMEDY, cut_off_text, is_cut_off

M = t.TypeVar("M", bound=_Model)
T = t.TypeVar("T")


def _explain(error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = error.error_count() - 1
    return f"{where + ': ' if where else ''}{first['msg']}" + (
        f" (and {more} more)" if more else ""
    )


def _read_document(path: Path, model: type[M], remedy: str) -> M:
    text = _reading(path, lambda: edges.read_bytes(path), remedy)
    try:
        return model.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise BundleError(f"{path} is broken: {_explain(error)}", remedy) from error


def _reading(path: Path, read: t.Callable[[], T], remedy: str = BROKEN_REMEDY) -> T:
    """Read a part of a bundle.

    :raises BundleError: it can't be read; the message names the file.
    """
    try:
        return read()
    except OSError as error:
        where = error.filename or path
        raise BundleError(f"{where} can't be read: {error.strerror}", remedy) from error


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` of a bundle.

    :raises BundleError: it is missing, is not a manifest, or has a schema that we don't know.
    """
    if not folder.is_dir():
        raise BundleError(
            f"there is no folder {folder}", "`vcompare runs` lists the runs that this machine has"
        )
    path = folder / "manifest.json"
    if not edges.is_there(path):
        raise BundleError(
            f"{folder} is not a bundle: it has no manifest.json",
            "name the folder of a run (runs/<run>); a run that stopped before its first block has "
            "no manifest yet: "
            "`vcompare compare --resume RUN` goes on with it",
        )
    manifest = _read_document(
        path, Manifest, "restore the file from a copy of the bundle; it is never rewritten by hand"
    )
    if manifest.schema_version != SCHEMA:
        raise BundleError(
            f"{path} has schema {manifest.schema_version}; this version reads schema {SCHEMA}",
            "install the version of vcompare_runner that made it",
        )
    return manifest


def _read_lines(
    path: Path, model: type[M], notes: list[Note], ignored: t.Collection[int] = ()
) -> list[M]:
    """Read a file of JSON lines, without those that are ignored, by number.

    A line that was cut off while it was being written is noted and left out.
    """
    records = []
    with edges.open_lines(path) as lines:
        for number, line in enumerate(lines, start=1):
            line = line.strip()
            if not line or number in ignored:
                continue
            try:
                records.append(model.model_validate_json(line))
            except pydantic.ValidationError as error:
                if is_cut_off(line):
                    notes.append(Note("cut-off-line", cut_off_text(path.name, number)))
                    continue
                raise BundleError(
                    f"{path}, line {number}, is broken: {_explain(error)}",
                    BROKEN_REMEDY,
                ) from error
    return records


def _of_this_run(records: list[t.Any], run: str, name: str, notes: list[Note]) -> list[t.Any]:
    strangers = sorted({record.run for record in records} - {run})
    for stranger in strangers:
        count = sum(record.run == stranger for record in records)
        notes.append(
            Note(
                "other-run",
                f"{name}: {count} of its lines are of another run ({stranger}); left out",
            )
        )
    return [record for record in records if record.run == run]


def _unique_blocks(blocks: list[BlockLine], notes: list[Note]) -> tuple[BlockLine, ...]:
    kept: dict[tuple[int, str], BlockLine] = {}
    for block in blocks:
        key = (block.block, block.host)
        if key in kept:
            notes.append(
                Note(
                    "duplicate-block",
                    f"blocks.jsonl: block {block.block} of {block.host} is there more than once; "
                    "the last one counts",
                )
            )
        kept[key] = block
    return tuple(sorted(kept.values(), key=lambda block: (block.block, block.host)))


def _finished_proofs(
    proofs: list[ProofLine], blocks: t.Sequence[BlockLine], notes: list[Note]
) -> tuple[ProofLine, ...]:
    finished = {(block.block, block.host) for block in blocks}
    kept: dict[tuple[int, str, str], ProofLine] = {}
    unfinished: set[tuple[int, str]] = set()
    for proof in proofs:
        if (proof.block, proof.host) in finished:
            # A block that was interrupted and done again has two lines: the later belongs to the
            # finished one.
            kept[proof.block, proof.host, proof.arm] = proof
        else:
            unfinished.add((proof.block, proof.host))
    for number, host in sorted(unfinished):
        notes.append(
            Note(
                "unfinished-block",
                f"proofs.jsonl: block {number} of {host} was not finished; its proofs are not used",
            )
        )
    return tuple(kept[key] for key in sorted(kept))


def _read_facts(folder: Path) -> dict[str, HostFacts]:
    facts = {}
    for path in edges.files_of(folder / "facts", ".json"):
        host = _read_document(path, HostFacts, "restore the file from a copy of the bundle")
        facts[host.host] = host
    return facts


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle.

    :param folder: ``runs/<run>`` or a copy of it, from any machine.
    :raises BundleError: it is missing or its record can't be trusted; the message names file and
        line.
    """
    manifest = read_manifest(folder)
    return _reading(folder, lambda: _load(folder, manifest))


def _load(folder: Path, manifest: Manifest) -> Bundle:
    notes: list[Note] = []
    checked = integrity.check(folder)
    blocks = _unique_blocks(
        _of_this_run(
            _read_lines(folder / "blocks.jsonl", BlockLine, notes, checked.ignored),
            manifest.run,
            "blocks.jsonl",
            notes,
        ),
        notes,
    )
    proofs = _finished_proofs(
        _of_this_run(
            _read_lines(folder / "proofs.jsonl", ProofLine, notes),
            manifest.run,
            "proofs.jsonl",
            notes,
        ),
        blocks,
        notes,
    )
    # With numpy, which takes half of the time in which a command starts.
    from vcompare_runner.bundle.samples import read_samples

    samples, findings = read_samples(folder / "samples.jsonl")
    notes += [Note("cut-off-line", text) for text in findings]
    integrity.check_raw(folder, checked, samples.evidence_keys())
    notes += _integrity_notes(checked, blocks)
    unusable = usable_arms(blocks, proofs)
    # What an arm said of itself is nearer to it than the conditions of its turn.
    unusable |= {place: why for place, why in noisy(blocks).items() if not unusable.get(place)}
    for block in blocks:
        if why := checked.untrusted.get((block.block, block.host)):
            unusable |= {(block.block, block.host, each.arm): why for each in block.arms}
    unusable |= {
        place: integrity.not_as_written(why)
        for place, why in samples.arms_of_evidence(checked.bad_raw).items()
    }
    notes += [
        Note(code, text)
        for code, text in samples.judge(run=manifest.run, usable=unusable, blocks=blocks)
    ]
    turns = _of_this_run(
        _read_lines(folder / "turns.jsonl", TurnLine, notes), manifest.run, "turns.jsonl", notes
    )
    return Bundle(
        manifest,
        _read_facts(folder),
        blocks,
        proofs,
        samples,
        tuple(notes),
        unusable,
        turns=tuple(turns),
    )


# More findings of one kind than this are summed up: a report is to be read.
_MOST_FINDINGS = 10


def _integrity_notes(
    checked: integrity.Integrity, blocks: t.Sequence[BlockLine]
) -> t.Iterator[Note]:
    """Tell the reader what is not as it was written."""
    if blocks and not checked.chained:
        yield Note(
            "no-chain",
            "the records of this run have no chain of hashes (an older version wrote them): a change "
            "that was made afterwards can't be found",
        )
    by_code: dict[str, list[str]] = {}
    for finding in checked.findings:
        by_code.setdefault(finding.code, []).append(finding.text)
    for code, texts in by_code.items():
        for text in texts[:_MOST_FINDINGS]:
            yield Note(code, text)
        if len(texts) > _MOST_FINDINGS:
            yield Note(code, f"and {len(texts) - _MOST_FINDINGS} more of the kind {code}")


def usable_arms(
    blocks: t.Iterable[BlockLine], proofs: t.Iterable[ProofLine]
) -> dict[tuple[int, str, str], Reason]:
    """Say for each (block, host, arm) of finished blocks why its samples don't count, if so.

    An arm that was refused, or that did not prove what it is, has no figures, whatever it measured.
    One that failed in the middle keeps what it measured before.
    """
    proven = {(proof.block, proof.host, proof.arm): proof for proof in proofs}
    verdict = {}
    for block in blocks:
        for outcome in block.arms:
            key = (block.block, block.host, outcome.arm)
            proof = proven.get(key)
            if outcome.status == "refused":
                why = outcome.reason or "no reason given"
                verdict[key] = Reason(reasons.REFUSED, f"refused: {why}", why)
            elif proof is None:
                verdict[key] = Reason(reasons.UNPROVEN, "no proof of what the arm is")
            elif not proof.proven:
                why = proof.reason or "a proof did not hold"
                verdict[key] = Reason(reasons.UNPROVEN, f"not proven: {why}", why)
            else:
                verdict[key] = reasons.NONE
    return verdict
