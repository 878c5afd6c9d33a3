# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The content of a report as plain data.

It is ``report.json``, and what the other formats are rendered from.

Keys:

``run``        id, times, profile, seed, how many blocks are finished
``substrate``  host → ``metal``, ``vm``, ``nested-kvm``, ``nested-tcg`` or ``unknown``
``turns``      per host that was booted into plain Linux and into Xen in turns: its parts, how often, how long
``lab``        what carries the hosts, and which acceleration was chosen why
``arms``       per arm and host: proven, proofs, blocks, reason when refused
``scenarios``  per scenario and metric, per arm: median, blocks, ratio to bare, interval, and the
               published figures that they are held against
``gates``      per gate: what it asks, its limit, what it found, what it refused
``claims``     per claim: verdict, sentence, what would settle it, tests (``claims/judge.py``)
``catalogue``  where the claims are from, and whether the run declared them before it began
``needs``      per need of a reader: the arms that confirmed claims favour, and which claims
``problems``   what was refused or failed, and why
``notes``      what a reader must know about the record
``provenance`` versions, image, instance size, host facts
``reproduce``  the command that measures the same again

A value that is missing is ``null``; it never becomes a number.
"""

from __future__ import annotations

import json
import shlex
import typing as t

from vcompare_runner._contract import durations, reasons
from vcompare_runner._contract.arms import AGAIN, ARMS, BARE, PLANTED, arm_order
from vcompare_runner._contract.substrates import NESTED_TCG
from vcompare_runner.analysis.statistics import (
    MIN_PAIRS,
    ArmFigures,
    Comparison,
    ScenarioFigures,
    find_remarks,
)
from vcompare_runner.bundle.read import usable_arms
from vcompare_runner.bundle.samples import NO_REASON, OK, STATUS_NAMES
from vcompare_runner.bundle.schema import ArmPlan, Bundle, Note, ProofLine, Substrate
from vcompare_runner.core import words
from vcompare_runner.report import turns
from vcompare_runner.verdict.bands import Held, held_figures
from vcompare_runner.verdict.declared import Catalogue

SCHEMA = 1

Report = dict[str, t.Any]


def build(
    bundle: Bundle,
    figures: t.Sequence[ScenarioFigures],
    catalogue: Catalogue,
    claims: t.Sequence[dict[str, t.Any]],
) -> Report:
    """Build the content of the report from a bundle, its figures, and the verdicts on them."""
    manifest = bundle.manifest
    substrates = _substrates(bundle)
    outcomes = _outcomes(bundle)
    arms = [_arm(bundle, plan, outcomes.get((plan.arm, plan.host), ())) for plan in _plans(bundle)]
    return {
        "schema": SCHEMA,
        "run": {
            "id": manifest.run,
            "created_at": manifest.created_at,
            "finished_at": manifest.finished_at,
            "complete": manifest.finished_at is not None,
            "profile": manifest.profile.model_dump(),
            "seed": manifest.seed,
            "blocks_planned": max(manifest.profile.blocks, _blocks_finished(bundle)),
            "blocks_at_most": manifest.profile.max_blocks or manifest.profile.blocks,
            "stopped": manifest.stopped,
            "blocks_finished": _blocks_finished(bundle),
        },
        "substrate": _substrates(bundle),
        "turns": turns.summary(bundle),
        "lab": manifest.lab.model_dump(),
        "arms": arms,
        "scenarios": [_scenario(scenario, substrates) for scenario in figures],
        "claims": list(claims),
        "catalogue": {
            "sha256": catalogue.sha256,
            "files": list(catalogue.files),
            "declared": catalogue.declared,
        },
        "needs": _needs(claims),
        "problems": _problems(bundle, arms, outcomes),
        "notes": [
            {"code": note.code, "text": note.text}
            for note in (*bundle.notes, *_own_notes(bundle, figures), *catalogue.notes)
        ],
        "provenance": {
            "versions": manifest.versions,
            "image": manifest.image.model_dump() if manifest.image else None,
            "instance": manifest.instance.model_dump() if manifest.instance else None,
            "hosts": [facts.model_dump() for _host, facts in sorted(bundle.facts.items())],
        },
        "reproduce": _reproduce(bundle),
    }


def to_json(report: Report) -> str:
    """Render ``report.json``.

    NaN and infinity are not JSON, so that they are an error here, not a surprise later.
    """
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plans(bundle: Bundle) -> list[ArmPlan]:
    """Return every arm that was planned or that left a trace, in the usual order."""
    plans = {(plan.arm, plan.host): plan for plan in bundle.manifest.arms}
    substrates = _substrates(bundle)
    for block in bundle.blocks:
        for outcome in block.arms:
            key = (outcome.arm, block.host)
            if key not in plans:
                plans[key] = ArmPlan(
                    arm=outcome.arm,
                    host=block.host,
                    substrate=substrates.get(block.host),
                    planned=True,
                )
    return sorted(plans.values(), key=lambda plan: (arm_order(plan.arm), plan.host))


def _substrates(bundle: Bundle) -> dict[str, Substrate]:
    planned = {plan.host: plan.substrate for plan in bundle.manifest.arms if plan.substrate}
    seen = {host.host: host.substrate for host in bundle.facts.values() if host.substrate}
    substrates = planned | seen
    return dict(sorted(substrates.items()))


def _blocks_finished(bundle: Bundle) -> int:
    """Count the block numbers that every host with a planned arm has finished."""
    hosts = {plan.host for plan in bundle.manifest.arms if plan.planned}
    finished = [
        {block.block for block in bundle.blocks if block.host == host} for host in sorted(hosts)
    ]
    return len(set.intersection(*finished)) if finished else 0


class _Outcome(t.NamedTuple):
    """How an arm fared in a block, with an unproven one as refused, whatever its block says."""

    block: int
    status: str
    reason: str | None


def _outcomes(bundle: Bundle) -> dict[tuple[str, str], list[_Outcome]]:
    """Return the outcomes of every (arm, host), by block."""
    unusable = bundle.unusable or usable_arms(bundle.blocks, bundle.proofs)
    found: dict[tuple[str, str], list[_Outcome]] = {}
    for block in bundle.blocks:
        for outcome in block.arms:
            status, reason = str(outcome.status), outcome.reason
            if status == "ok" and (why := unusable[block.block, block.host, outcome.arm]):
                status, reason = "refused", why
            elif status != "ok":
                reason = reason or NO_REASON
            found.setdefault((outcome.arm, block.host), []).append(
                _Outcome(block.block, status, reason)
            )
    return found


def _arm(bundle: Bundle, plan: ArmPlan, outcomes: t.Sequence[_Outcome]) -> dict[str, t.Any]:
    proofs = [line for line in bundle.proofs if (line.host, line.arm) == (plan.host, plan.arm)]
    proven = sum(line.proven for line in proofs)
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("ok", "failed", "refused")
    }
    state, reason = _state(plan, outcomes, counts)
    if state == "not measured":
        reason = turns.why_missing(bundle, plan) or reason
    return {
        "arm": plan.arm,
        "host": plan.host,
        "substrate": plan.substrate,
        "planned": plan.planned,
        "state": state,
        "proven": bool(proofs) and proven == len(outcomes),
        "blocks": len(outcomes),
        "blocks_ok": counts["ok"],
        "blocks_failed": counts["failed"],
        "blocks_refused": counts["refused"],
        "blocks_proven": proven,
        "refused_reason": reason if state == "refused" else None,
        "reason": reason,
        "proofs": _proofs(proofs),
    }


def _state(
    plan: ArmPlan, outcomes: t.Sequence[_Outcome], counts: t.Mapping[str, int]
) -> tuple[str, str | None]:
    """Return the state (``ok``, ``partial``, ``failed``, ``refused``, ``not measured``) and why."""
    if not plan.planned:
        return "refused", plan.reason or NO_REASON
    if not outcomes:
        return "not measured", "no block was finished"
    reason = words.reasons(o.reason or NO_REASON for o in outcomes if o.status != "ok") or None
    if counts["refused"] == len(outcomes):
        return "refused", reason
    if counts["ok"] == 0:
        return "failed", reason
    return ("partial" if counts["ok"] < len(outcomes) else "ok"), reason


def _proofs(lines: t.Sequence[ProofLine]) -> list[dict[str, t.Any]]:
    """Sum up an arm's proofs: one entry for each name and source, with how many blocks it held in.

    ``observed`` is what the first block saw, or the first that the proof did not hold in.
    """
    summary: dict[tuple[str, str], dict[str, t.Any]] = {}
    for line in lines:
        for proof in line.proofs:
            entry = summary.setdefault(
                (proof.name, proof.source),
                {
                    "name": proof.name,
                    "source": proof.source,
                    "expected": proof.expected,
                    "observed": proof.observed,
                    "holds": True,
                    "blocks": 0,
                    "blocks_held": 0,
                },
            )
            entry["blocks"] += 1
            entry["blocks_held"] += proof.holds
            if not proof.holds and entry["holds"]:
                entry |= {"holds": False, "expected": proof.expected, "observed": proof.observed}
    return list(summary.values())


def _needs(claims: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Say for each need which arms the evidence favours; none where no claim of it is confirmed."""
    needs: dict[str, list[dict[str, t.Any]]] = {}
    for claim in claims:
        needs.setdefault(claim["need"], []).append(claim)
    return [
        {
            "need": need,
            "favours": [
                {"arm": arm, "claim": claim["id"]} for claim in of_need for arm in claim["favours"]
            ],
            "claims": [{"id": claim["id"], "verdict": claim["verdict"]} for claim in of_need],
        }
        for need, of_need in needs.items()
    ]


def _scenario(scenario: ScenarioFigures, substrates: t.Mapping[str, Substrate]) -> dict[str, t.Any]:
    return {
        "scenario": scenario.scenario,
        "metric": scenario.metric,
        "unit": scenario.unit,
        "direction": scenario.direction,
        "variant": scenario.variant,
        "arms": [
            _figures(figures, scenario.direction, held_figures(scenario, figures, substrates))
            for figures in scenario.arms
        ],
    }


def _figures(figures: ArmFigures, direction: str, held: t.Sequence[Held]) -> dict[str, t.Any]:
    comparison = figures.comparison
    values = [{"block": block, "value": value} for block, value in sorted(figures.values.items())]
    return {
        "arm": figures.arm,
        "host": figures.host,
        "median": figures.median,
        "min": min(figures.values.values(), default=None),
        "max": max(figures.values.values(), default=None),
        "blocks": len(figures.values),
        "samples": figures.samples,
        "baseline": figures.arm == BARE,
        "baseline_host": comparison.baseline[1] if comparison else None,
        "ratio": comparison.ratio if comparison else None,
        "paired_blocks": len(comparison.blocks) if comparison else None,
        "interval": _interval(comparison),
        "compared": _verdict(comparison, direction),
        "reason": (comparison.reason if comparison else figures.reason),
        "bands": [each.as_data() | {"questioned": each.questioned} for each in held],
        "values": values,
        "block_ratios": [
            {"block": block, "log_ratio": float(log_ratio)}
            for block, log_ratio in zip(comparison.blocks, comparison.log_ratios, strict=True)
        ]
        if comparison
        else [],
    }


def _interval(comparison: Comparison | None) -> dict[str, float] | None:
    if comparison is None or comparison.interval is None:
        return None
    interval = comparison.interval
    return {
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "coverage_at_most": interval.coverage_at_most,
    }


def _verdict(comparison: Comparison | None, direction: str) -> str | None:
    """Say ``better`` or ``worse`` where the interval excludes 1, else ``not distinguished``.

    ``None`` where there is no interval: then nothing can be said.
    """
    if comparison is None or comparison.interval is None or comparison.ratio is None:
        return None
    if not comparison.interval.excludes(1.0):
        return "not distinguished"
    return "better" if (comparison.ratio > 1) == (direction == "higher") else "worse"


def _problems(
    bundle: Bundle,
    arms: t.Sequence[dict[str, t.Any]],
    outcomes: t.Mapping[tuple[str, str], t.Sequence[_Outcome]],
) -> list[dict[str, t.Any]]:
    """List what was refused or failed: whole arms, blocks of an arm, single measurements."""
    problems = [
        _problem(arm["arm"], arm["host"], arm["state"], arm["reason"], None, [])
        for arm in arms
        if not arm["planned"] or not arm["blocks"]
    ]
    grouped: dict[tuple[str, str, str, str], list[int]] = {}
    for (name, host), of_arm in outcomes.items():
        for outcome in of_arm:
            if outcome.status != "ok":
                key = (name, host, outcome.status, outcome.reason or NO_REASON)
                grouped.setdefault(key, []).append(outcome.block)
    for (name, host, status, reason), numbers in grouped.items():
        problems.append(_problem(name, host, status, reason, None, numbers))
    problems += _single_problems(bundle, problems)
    return sorted(
        problems, key=lambda p: (arm_order(p["arm"]), p["host"], p["scenario"] or "", p["blocks"])
    )


def _single_problems(bundle: Bundle, said: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """List measurements that failed in finished blocks for a reason that their arm does not give."""
    known = {
        (problem["arm"], problem["host"], number, problem["reason"])
        for problem in said
        for number in problem["blocks"]
    }
    finished = {(block.block, block.host) for block in bundle.blocks}
    samples = bundle.samples
    single: dict[tuple[str, str, str, str, str], set[int]] = {}
    for index, why in samples.why_not.items():
        if samples.status[index] == OK:
            continue
        series = samples.keys[samples.series[index]]
        number = int(samples.block[index])
        status, reason = STATUS_NAMES[samples.status[index]], why.detail
        is_new = (series.arm, series.host, number, reason) not in known
        if is_new and (number, series.host) in finished and why.code != reasons.OTHER_RUN:
            key = (series.arm, series.host, status, reason, series.scenario)
            single.setdefault(key, set()).add(number)
    return [
        _problem(name, host, status, reason, scenario, sorted(numbers))
        for (name, host, status, reason, scenario), numbers in single.items()
    ]


def _problem(
    arm: str, host: str, status: str, reason: str | None, scenario: str | None, blocks: list[int]
) -> dict[str, t.Any]:
    return {
        "arm": arm,
        "host": host,
        "status": status,
        "reason": reason,
        "scenario": scenario,
        "blocks": blocks,
    }


def _own_notes(bundle: Bundle, figures: t.Sequence[ScenarioFigures]) -> list[Note]:
    notes = list(turns.notes(bundle))
    # Of runs that were joined, each says it by itself.
    if bundle.manifest.finished_at is None and not bundle.parts:
        notes.append(
            Note(
                "not-finished",
                f"the run did not finish: {_blocks_finished(bundle)} of "
                f"{bundle.manifest.profile.blocks} blocks; "
                f"`vcompare compare --resume {bundle.manifest.run}` goes on where it stopped",
            )
        )
    if bundle.manifest.stopped == "budget":
        notes.append(
            Note(
                "stopped-by-budget",
                "the time ended the run before every open claim's interval was narrow enough; "
                + (
                    f"`vcompare compare --resume {bundle.manifest.run}` measures more blocks"
                    if bundle.manifest.profile.within_s
                    else "a longer --budget measures more blocks"
                ),
            )
        )
    for scenario in bundle.manifest.profile.scenarios:
        if not any(
            entry.scenario == scenario and any(arm.values for arm in entry.arms)
            for entry in figures
        ):
            notes.append(
                Note("no-figure", f"scenario {scenario} has no figure in any finished block")
            )
    metrics: dict[tuple[str, str, str], set[tuple[str, str]]] = {}
    for entry in figures:
        metrics.setdefault((entry.scenario, entry.metric, entry.variant), set()).add(
            (entry.unit, entry.direction)
        )
    for (scenario, metric, _variant), units in sorted(metrics.items()):
        if len(units) > 1:
            named = ", ".join(sorted(f"{unit} ({direction})" for unit, direction in units))
            notes.append(
                Note(
                    "mixed-units",
                    f"{scenario}/{metric} was written in several units or directions: {named}",
                )
            )
    small = {
        len(arm.comparison.blocks)
        for entry in figures
        for arm in entry.arms
        if arm.comparison and arm.comparison.blocks and len(arm.comparison.blocks) == MIN_PAIRS
    }
    if small:
        notes.append(
            Note(
                "small-interval",
                f"intervals of {MIN_PAIRS} blocks are nominal: between {MIN_PAIRS} values no "
                "interval of a median can "
                f"cover more than {1 - 2.0 ** (1 - MIN_PAIRS):.2%}; more --blocks make them "
                "honest 95% ones",
            )
        )
    if any(plan.arm == PLANTED for plan in bundle.manifest.arms):
        notes.append(
            Note(
                "planted",
                f"{PLANTED} is {BARE} with effects of known size put into it on purpose, to see whether they are "
                "found; it is not a technology (`vcompare calibrate --bundle` says what was found)",
            )
        )
    # What stands out in a series changes no figure, and a reader must know it.
    notes += [Note(remark.kind, remark.text) for remark in find_remarks(bundle, figures)]
    return notes


def _reproduce(bundle: Bundle) -> dict[str, str]:
    if bundle.parts:
        runs = shlex.join(part.manifest.run for part in bundle.parts)
        return {
            "measure": "; ".join(_reproduce(part)["measure"] for part in bundle.parts),
            "report": f"vcompare report {runs} --output FOLDER",
        }
    manifest = bundle.manifest
    arms = sorted({plan.arm for plan in manifest.arms if plan.planned} - {AGAIN}, key=arm_order)
    command = ["vcompare", "compare", "--profile", manifest.profile.name]
    command += ["--blocks", str(_blocks_to_repeat(bundle)), "--seed", str(manifest.seed)]
    if manifest.profile.budget_s:
        command += ["--budget", durations.write(manifest.profile.budget_s)]
    if set(arms) != set(ARMS):
        command += ["--arms", ",".join(arms)]
    command += ["--scenarios", ",".join(manifest.profile.scenarios)]
    # The first file is the one that every run has.
    for name in manifest.claims.files[1:] if manifest.claims else ():
        command += ["--claims", name]
    if manifest.lab.nested and any(plan.machine for plan in manifest.arms):
        # On one node alone, Xen's arms take turns with the others.
        command += ["--nodes", "1"]
    if manifest.lab.nested and manifest.lab.acceleration:
        command += ["--accel", manifest.lab.acceleration.accel]
    return {"measure": shlex.join(command), "report": f"vcompare report {manifest.run}"}


def _blocks_to_repeat(bundle: Bundle) -> int:
    """As many blocks as there were; with a budget, the least number, as it was given."""
    profile = bundle.manifest.profile
    return profile.blocks if profile.budget_s else max(profile.blocks, _blocks_finished(bundle))


def emulated_hosts(report: Report) -> list[str]:
    """Return the hosts whose hardware is emulated."""
    return [host for host, substrate in report["substrate"].items() if substrate == NESTED_TCG]
