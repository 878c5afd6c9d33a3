# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The bundle of a run: its schema, and loading it.

A bundle is one folder (docs/contracts.md, "Bundle"). What is small (manifest, facts, blocks,
proofs) becomes pydantic models. Samples may be millions, so they become columns (``samples.py``).

What is wrong with a bundle is said in one of two ways. Where the record can't be trusted (no
manifest, a line that is no JSON, a wrong type) loading ends with ``BundleError``. Where single
records must not be used (an unfinished block, a value that can't be, a sample of another run) they
are left out, and a ``Note`` says which and why.
"""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pydantic

from vcompare_runner import edges, integrity
from vcompare_runner.conditions import (
    ArmConditions,
    BlockClocks,
    ControllerConditions,
    InstanceClock,
    noisy,
)
from vcompare_runner.errors import BundleError
from vcompare_runner.lines import BROKEN_REMEDY, cut_off_text, is_cut_off

if t.TYPE_CHECKING:
    from vcompare_runner.samples import SampleTable

SCHEMA = 1

Boot = t.Literal["linux", "xen"]
Status = t.Literal["ok", "failed", "refused"]
Substrate = t.Literal["metal", "vm", "nested-kvm", "nested-tcg", "unknown"]


class _Model(pydantic.BaseModel):
    """Fields that we don't know are kept: a newer writer may add some."""

    model_config = pydantic.ConfigDict(extra="allow", populate_by_name=True, frozen=True)


# Profiles that measure how far a run can be trusted, and no technology.
_OF_OURSELVES = ("calibration",)


class Profile(_Model):
    """What was to be measured.

    ``blocks`` per arm, or the least number of them with ``max_blocks``; ``budget_s`` is the time
    after which no block above the least number is begun, ``within_s`` that of the whole command;
    ``scenarios`` by name; ``others``: what the profiles that
    there were had as scenarios, by their names.
    """

    name: str
    blocks: edges.Block = pydantic.Field(ge=1)
    max_blocks: edges.Block | None = None
    budget_s: edges.Number | None = None
    within_s: edges.Number | None = None
    scenarios: list[str]
    others: dict[str, list[str]] = {}

    def measured_by(self, scenario: str) -> list[str]:
        """Return the names of profiles that have a scenario, the shortest first, without those of ourselves."""
        return [
            name
            for name, scenarios in self.others.items()
            if scenario in scenarios and name not in _OF_OURSELVES
        ]


class ArmPlan(_Model):
    """One arm on one host, as planned before the run; ``reason`` says why it was not planned.

    A host that is booted into plain Linux and into Xen in turns is two: ``machine`` is its name then, and ``boot`` what
    it runs for this arm.
    """

    arm: str
    host: str
    machine: str | None = None
    boot: Boot | None = None
    substrate: Substrate | None = None
    planned: bool
    reason: str | None = None


class Rung(_Model):
    """One condition of hardware acceleration that was looked at."""

    name: str
    holds: bool | None
    detail: str | None = None


class RefusedArm(_Model):
    """An arm that the chosen accelerator can't carry."""

    arm: str
    reason: str | None = None


class Acceleration(_Model):
    """Which accelerator carries the nested lab, and how that was found out."""

    accel: str
    reason: str | None = None
    remedy: str | None = None
    rungs: list[Rung] = []
    refused_arms: list[RefusedArm] = []


class Lab(_Model):
    """The nested lab, or ``nested`` false for hosts that are as they are."""

    nested: bool
    name: str | None = None
    substrate: Substrate | None = None
    acceleration: Acceleration | None = None
    # The packages that its images were made of, as one hash for each image.
    made_of: dict[str, str] | None = None


class ImageInfo(_Model):
    """The one root file system of all arms (image.json)."""

    digest: str
    reference: str | None = None
    release: str | None = None
    kernel: str | None = None
    packages: dict[str, str] = {}


class InstanceSize(_Model):
    """The size that every arm was held to."""

    vcpus: edges.Whole
    memory_mib: edges.Whole


class DeclaredClaims(_Model):
    """The claims and margins that a run shall be judged by (``claims/declared.py`` reads them).

    :param sha256: of ``claims`` in canonical JSON.
    :param files: names of the files that they are from.
    """

    sha256: str
    files: list[str]
    claims: list[dict[str, t.Any]]


class Manifest(_Model):
    """What a run is, written before its first block."""

    schema_version: int = pydantic.Field(alias="schema")
    run: str
    created_at: str
    finished_at: str | None = None
    stopped: t.Literal["blocks", "narrow", "budget"] | None = None
    profile: Profile
    seed: edges.Whole
    arms: list[ArmPlan]
    lab: Lab
    image: ImageInfo | None = None
    instance: InstanceSize | None = None
    # Bundles from before claims were declared have none.
    claims: DeclaredClaims | None = None
    versions: dict[str, t.Any] = {}


class HostWarning(_Model):
    """A setting of a host that spoils what is measured on it, with what changes it. ``code`` names the setting."""

    code: str
    text: str


class HostFacts(_Model):
    """What a host under test is. ``memory_mib`` in MiB."""

    host: str
    kernel: str | None = None
    cpu_model: str | None = None
    cpu_count: edges.Whole | None = None
    memory_mib: edges.Whole | None = None
    substrate: Substrate | None = None
    clocksource: str | None = None
    mitigations: str | dict[str, str] | None = None
    os: str | None = None
    versions: dict[str, t.Any] = {}
    warnings: tuple[HostWarning, ...] = ()


class Proof(_Model):
    """One independent observation of what an arm is."""

    name: str
    source: t.Literal["inside", "outside"]
    expected: str | None
    observed: str | None
    holds: bool


class ProofLine(_Model):
    """All observations of one arm in one block."""

    run: str
    block: edges.Block
    host: str
    arm: str
    proven: bool
    reason: str | None = None
    proofs: list[Proof] = []


class ArmOutcome(_Model):
    """How one arm fared in one block."""

    arm: str
    status: Status
    reason: str | None = None
    conditions: ArmConditions | None = None
    clock: InstanceClock | None = None


class BlockLine(_Model):
    """A finished block of one host. Times in seconds."""

    run: str
    block: edges.Block
    host: str
    machine: str | None = None
    boot: Boot | None = None
    arms: list[ArmOutcome]
    order: list[str] = []
    controller_elapsed_s: float | None = None
    host_elapsed_s: float | None = None
    started_at: str | None = None
    controller: ControllerConditions | None = None
    clocks: BlockClocks | None = None


class TurnLine(_Model):
    """A boot of a host into its other system; ``reason`` says why it did not get there."""

    run: str
    host: str
    boot: Boot
    elapsed_s: float
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Note:
    """Something that a reader of the report must know about the record.

    :param code: machine-readable kind, e.g. ``cut-off-line``, ``impossible-value``.
    """

    code: str
    text: str


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A loaded bundle: only what belongs to finished blocks counts.

    :param blocks: finished blocks, one per block number and host.
    :param proofs: proofs of finished blocks, one per block, host and arm.
    :param samples: all samples; ``samples.used`` marks those that count.
    :param unusable: why the samples of a (block, host, arm) don't count, empty when they do.
    :param parts: the runs that were joined into this one, if any (``join.py``).
    :param turns: boots of hosts into their other system, in order.
    """

    manifest: Manifest
    facts: t.Mapping[str, HostFacts]
    blocks: tuple[BlockLine, ...]
    proofs: tuple[ProofLine, ...]
    samples: SampleTable
    notes: tuple[Note, ...]
    unusable: t.Mapping[tuple[int, str, str], str] = dataclasses.field(default_factory=dict)
    parts: tuple[Bundle, ...] = ()
    turns: tuple[TurnLine, ...] = ()

    @property
    def substrates(self) -> dict[str, Substrate | None]:
        """What each host stands on: as it says itself, else as it was planned."""
        planned = {plan.host: plan.substrate for plan in self.manifest.arms}
        return planned | {
            facts.host: facts.substrate for facts in self.facts.values() if facts.substrate
        }


M = t.TypeVar("M", bound=_Model)


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


T = t.TypeVar("T")


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

    :raises BundleError: it is missing, is no manifest, or has a schema that we don't know.
    """
    if not folder.is_dir():
        raise BundleError(
            f"there is no folder {folder}", "`vcompare runs` lists the runs that this machine has"
        )
    path = folder / "manifest.json"
    if not edges.is_there(path):
        raise BundleError(
            f"{folder} is no bundle: it has no manifest.json",
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
    from vcompare_runner.samples import read_samples

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
        place: f"{integrity.NOT_AS_WRITTEN}: {why}"
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
) -> dict[tuple[int, str, str], str]:
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
                verdict[key] = f"refused: {outcome.reason or 'no reason given'}"
            elif proof is None:
                verdict[key] = "no proof of what the arm is"
            elif not proof.proven:
                verdict[key] = f"not proven: {proof.reason or 'a proof did not hold'}"
            else:
                verdict[key] = ""
    return verdict
