# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The bundle of a run: its schema.

A bundle is one folder (docs/contracts.md, "Bundle"). What is small (manifest, facts, blocks,
proofs) becomes pydantic models. Samples may be millions, so they become columns (``samples.py``).

What is wrong with a bundle is said in one of two ways. Where the record can't be trusted (no
manifest, a line that is not JSON, a wrong type) loading ends with ``BundleError``. Where single
records must not be used (an unfinished block, a value that can't be, a sample of another run) they
are left out, and a ``Note`` says which and why.
"""

from __future__ import annotations

import dataclasses
import typing as t

import pydantic

from vcompare_runner._contract.reasons import Reason
from vcompare_runner.bundle.conditions import (
    ArmConditions,
    BlockClocks,
    ControllerConditions,
    InstanceClock,
)
from vcompare_runner.core import edges

if t.TYPE_CHECKING:
    from vcompare_runner.bundle.samples import SampleTable

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
    unusable: t.Mapping[tuple[int, str, str], Reason] = dataclasses.field(default_factory=dict)
    parts: tuple[Bundle, ...] = ()
    turns: tuple[TurnLine, ...] = ()

    @property
    def substrates(self) -> dict[str, Substrate | None]:
        """What each host stands on: as it says itself, else as it was planned."""
        planned = {plan.host: plan.substrate for plan in self.manifest.arms}
        return planned | {
            facts.host: facts.substrate for facts in self.facts.values() if facts.substrate
        }
