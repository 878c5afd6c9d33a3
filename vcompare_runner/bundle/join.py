# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Several runs as one: what a run of hours was cut into, read together.

Nothing of a run changes but the numbers of its blocks: those of a later run go on where the earlier one's end, so that
a block still is what was measured together, and pairs with nothing else. What must be the same for that is checked, and
refused where it is not; what differs and may is said in a note.
"""

from __future__ import annotations

import typing as t

import numpy as np

from vcompare_runner._contract.reasons import Reason
from vcompare_runner.bundle.samples import SampleTable, SeriesKey
from vcompare_runner.bundle.schema import ArmPlan, Bundle, HostFacts, Manifest, Note
from vcompare_runner.core.errors import UsageError

# What a joined run's profile is called, beside those that it is made of.
_PLUS = " + "
_ARRAYS = ("block", "iteration", "value", "has_value", "warmup", "status", "used")
_LISTS = (
    "run",
    "order",
    "reason",
    "started_at",
    "host_elapsed_s",
    "guest_elapsed_s",
    "evidence",
)


def join(bundles: t.Sequence[Bundle]) -> Bundle:
    """Return one bundle that holds the blocks of all of them, in the order in which they began.

    :raises UsageError: a run is named twice, or runs differ in what makes figures comparable: the root file system, the
        size of an instance, what their hosts stand on, or the claims that were declared before they began.
    """
    if len(bundles) == 1:
        return bundles[0]
    ordered = sorted(bundles, key=lambda bundle: (bundle.manifest.created_at, bundle.manifest.run))
    _refuse_what_cannot_be_joined([bundle.manifest for bundle in ordered])
    offsets = _offsets(ordered)
    together = list(zip(ordered, offsets, strict=True))
    return Bundle(
        manifest=_manifest([bundle.manifest for bundle in ordered], _blocks(ordered)),
        facts=_facts(ordered),
        blocks=tuple(
            block.model_copy(update={"block": block.block + offset})
            for bundle, offset in together
            for block in bundle.blocks
        ),
        proofs=tuple(
            proof.model_copy(update={"block": proof.block + offset})
            for bundle, offset in together
            for proof in bundle.proofs
        ),
        samples=_samples(ordered, offsets),
        notes=(*_notes(together), *_differences(ordered)),
        unusable={
            (block + offset, host, arm): why
            for bundle, offset in together
            for (block, host, arm), why in bundle.unusable.items()
        },
        parts=tuple(ordered),
        turns=tuple(turn for bundle in ordered for turn in bundle.turns),
    )


def _refuse_what_cannot_be_joined(manifests: t.Sequence[Manifest]) -> None:
    first = manifests[0]
    names = [manifest.run for manifest in manifests]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"the run {twice[0]} was named more than once", "name each run once")
    for other in manifests[1:]:
        for what, one, another in (
            (
                "root file system",
                first.image.digest if first.image else None,
                other.image.digest if other.image else None,
            ),
            ("size of an instance", first.instance, other.instance),
            ("substrate", _substrates(first), _substrates(other)),
            (
                "declared claims",
                first.claims.sha256 if first.claims else None,
                other.claims.sha256 if other.claims else None,
            ),
        ):
            if one != another:
                raise UsageError(
                    f"{first.run} and {other.run} can't be one report: they differ in the {what} ({one}; {another})",
                    "report them one by one, or measure one of them again as the other was",
                )


def _substrates(manifest: Manifest) -> list[str]:
    return sorted({plan.substrate for plan in manifest.arms if plan.substrate})


def _blocks(bundles: t.Sequence[Bundle]) -> int:
    return sum(_last_block(bundle) for bundle in bundles)


def _last_block(bundle: Bundle) -> int:
    return max(
        [bundle.manifest.profile.blocks, *(block.block for block in bundle.blocks)],
    )


def _offsets(bundles: t.Sequence[Bundle]) -> list[int]:
    offsets, total = [], 0
    for bundle in bundles:
        offsets.append(total)
        total += _last_block(bundle)
    return offsets


def _manifest(manifests: t.Sequence[Manifest], blocks: int) -> Manifest:
    first = manifests[0]
    profiles = [manifest.profile for manifest in manifests]
    finished = [manifest.finished_at for manifest in manifests]
    plans: dict[tuple[str, str], ArmPlan] = {}
    for manifest in manifests:
        for plan in manifest.arms:
            known = plans.get((plan.arm, plan.host))
            if known is None or (plan.planned and not known.planned):
                plans[plan.arm, plan.host] = plan
    return first.model_copy(
        update={
            "run": _PLUS.join(manifest.run for manifest in manifests),
            "finished_at": max(each for each in finished if each) if all(finished) else None,
            "stopped": None,
            "profile": profiles[0].model_copy(
                update={
                    "name": _PLUS.join(dict.fromkeys(profile.name for profile in profiles)),
                    "blocks": blocks,
                    "max_blocks": blocks,
                    "budget_s": None,
                    "scenarios": list(
                        dict.fromkeys(name for profile in profiles for name in profile.scenarios)
                    ),
                }
            ),
            "arms": list(plans.values()),
        }
    )


def _facts(bundles: t.Sequence[Bundle]) -> dict[str, HostFacts]:
    facts: dict[str, HostFacts] = {}
    for bundle in bundles:
        facts = dict(bundle.facts) | facts
    return facts


def _notes(together: t.Sequence[tuple[Bundle, int]]) -> t.Iterator[Note]:
    for bundle, offset in together:
        run, blocks = bundle.manifest.run, _last_block(bundle)
        yield Note(
            "joined-run",
            f"{run} (profile {bundle.manifest.profile.name}, seed {bundle.manifest.seed}) has the blocks"
            f" {offset + 1} to {offset + blocks} of this report",
        )
        if bundle.manifest.finished_at is None:
            yield Note("joined-run", f"{run} did not finish")
        for note in bundle.notes:
            yield Note(note.code, f"{run}: {note.text}")


def _differences(bundles: t.Sequence[Bundle]) -> t.Iterator[Note]:
    """Say where the hosts of two runs are not the same: their figures stand side by side, and a reader must know."""
    fields = ("kernel", "cpu_model", "cpu_count", "clocksource", "mitigations", "os", "versions")
    first = bundles[0]
    for other in bundles[1:]:
        one_lab, other_lab = first.manifest.lab.made_of, other.manifest.lab.made_of
        if one_lab != other_lab:
            yield Note(
                "joined-labs-differ",
                f"the labs of {first.manifest.run} and {other.manifest.run} were made of different packages, or of"
                f" what is not known: {one_lab}; {other_lab}",
            )
        for host in sorted(set(first.facts) & set(other.facts)):
            one, another = first.facts[host], other.facts[host]
            differing = [name for name in fields if getattr(one, name) != getattr(another, name)]
            if differing:
                yield Note(
                    "joined-hosts-differ",
                    f"{host} was not the same in {first.manifest.run} and {other.manifest.run}:"
                    f" {', '.join(differing)}",
                )


def _samples(bundles: t.Sequence[Bundle], offsets: t.Sequence[int]) -> SampleTable:
    """Lay the tables one below the other; a series that several have is one."""
    codes: dict[SeriesKey, int] = {}
    series: list[np.ndarray] = []
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    lists: dict[str, list[t.Any]] = {name: [] for name in _LISTS}
    why_not: dict[int, Reason] = {}
    before = 0
    for bundle, offset in zip(bundles, offsets, strict=True):
        table = bundle.samples
        own = np.array(
            [codes.setdefault(key, len(codes)) for key in table.keys] or [0], dtype=np.int64
        )
        series.append(own[table.series] if len(table) else np.empty(0, dtype=np.int64))
        for name in _ARRAYS:
            column = getattr(table, name)
            arrays[name].append(column + offset if name == "block" else column)
        for name in _LISTS:
            lists[name] += getattr(table, name)
        why_not |= {index + before: why for index, why in table.why_not.items()}
        before += len(table)
    columns: dict[str, t.Any] = {name: np.concatenate(each) for name, each in arrays.items()}
    columns |= lists
    return SampleTable(keys=list(codes), series=np.concatenate(series), why_not=why_not, **columns)
