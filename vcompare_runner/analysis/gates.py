# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The gates: what keeps a figure from being believed.

A gate looks at figures in the bundle and holds them against a limit (``gate_limits``). What it
refuses depends on what it looked at:

- a sample (an impossible value, a time below zero): it is left out;
- an arm in one block (no proof, another root file system, its clock, the conditions of its turn, a
  record that was changed), or all arms of a block (the machine below did other work): the samples are
  left out when the bundle is loaded;
- an arm: when more than half of its blocks were refused, or its host's clock is off;
- no answer (yes or no) to a question that no speed decides, where only the conditions were wrong: the
  sample counts all the same;
- a claim: when an arm that it speaks of is refused (``Gates.refuses``), or when bare differs from
  itself by more than half of the claim's margin (``Gates.aa``).

Judging is a pure function of the bundle.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import typing as t

from vcompare_runner._contract import reasons
from vcompare_runner._contract.arms import AGAIN
from vcompare_runner.analysis.statistics import Interval, ScenarioFigures, analyse
from vcompare_runner.bundle import clocks, conditions
from vcompare_runner.bundle import gate_limits as limits
from vcompare_runner.bundle.gate_limits import LIMITS, GateResult, Limit
from vcompare_runner.bundle.schema import Bundle, ProofLine

__all__ = ["LIMITS", "GateResult", "Gates", "Limit", "judge_gates", "reach"]

Series = tuple[str, str, str, str]


@dataclasses.dataclass(frozen=True)
class Gates:
    """What all gates say of a run.

    :param results: in the order of ``LIMITS``; those of a block are there whether they passed or not.
    :param noise: (scenario, metric, variant, host) → the interval of bare-again / bare.
    :param blocks: (arm, host) → numbers of its finished blocks.
    """

    results: tuple[GateResult, ...]
    noise: t.Mapping[Series, Interval]
    blocks: t.Mapping[tuple[str, str], frozenset[int]]

    def aa_noise(
        self, scenario: str, metric: str, variant: str | None = None, host: str | None = None
    ) -> Interval | None:
        """Return the interval of bare against bare, as a ratio.

        :param variant: any when not given; so is ``host``. Of several, the one that reaches farthest
            from 1 is returned.
        :returns: None when bare was not measured twice, or in too few blocks for an interval.
        """
        found = [
            interval
            for (of, what, kind, where), interval in self.noise.items()
            if (of, what) == (scenario, metric)
            and variant in (None, kind)
            and host in (None, where)
        ]
        return max(found, key=reach, default=None)

    def aa(
        self,
        scenario: str,
        metric: str,
        margin_log: float,
        variant: str | None = None,
        host: str | None = None,
    ) -> GateResult | None:
        """Judge whether a claim's margin can be decided at this noise.

        :param margin_log: the margin on the log scale, e.g. log(1.05) for 5%; positive.
        :returns: None when there is no interval of bare against bare to judge by.
        """
        interval = self.aa_noise(scenario, metric, variant, host)
        if interval is None:
            return None
        figure, limit = reach(interval), margin_log / 2
        passed = figure <= limit
        sentence = (
            f"bare against bare is {interval.low:.3f} to {interval.high:.3f}, "
            f"{'within' if passed else 'beyond'} half of the margin ({math.expm1(limit):.1%})"
        )
        return GateResult(
            limits.AA,
            "scenario",
            passed,
            math.expm1(figure),
            math.expm1(limit),
            sentence,
            host=host,
            scenario=scenario,
            metric=metric,
        )

    def refuses(
        self, scenario: str, arm: str, host: str, answers: bool = False
    ) -> list[GateResult]:
        """Return what refuses an arm in a scenario as a whole; empty when nothing does.

        :param answers: whether it is about answers that no speed decides, which what else the machines did
            meanwhile can't change.

        One result a gate, with how many blocks it refused. Single refused blocks of an arm that has
        enough others are no reason: they are left out of its figures.
        """
        refusing = [
            result
            for result in self.results
            if result.passed is False
            and self._is_about(result, scenario, arm, host)
            and not (answers and result.name in limits.OF_CONDITIONS)
        ]
        whole = [result for result in refusing if result.block is None and result.name != limits.AA]
        blocks = self.blocks.get((arm, host), frozenset())
        by_gate: dict[str, list[GateResult]] = {}
        for result in refusing:
            if result.block in blocks:
                by_gate.setdefault(result.name, []).append(result)
        refused = {result.block for results in by_gate.values() for result in results}
        if len(refused) <= limits.MOST_REFUSED * len(blocks):
            return whole
        return whole + [_summed_up(results, len(blocks), arm, host) for results in by_gate.values()]

    @staticmethod
    def _is_about(result: GateResult, scenario: str, arm: str, host: str) -> bool:
        return (
            result.host in (None, host)
            and result.arm in (None, arm)
            and result.scenario in (None, scenario)
        )


def reach(interval: Interval) -> float:
    """Return how far an interval reaches from 1, on the log scale.

    Not its width: of two looks at the same thing, one that is steadily off is as bad as one that
    scatters.
    """
    return max(abs(math.log(interval.low)), abs(math.log(interval.high)))


def judge_gates(bundle: Bundle, figures: t.Sequence[ScenarioFigures] | None = None) -> Gates:
    """Judge a bundle.

    :param figures: what ``analyse`` says of it, if that is at hand.
    """
    noise = _noise(analyse(bundle) if figures is None else figures)
    results = [
        *_aa_results(noise),
        *conditions.judge(bundle.blocks),
        *clocks.judge_hosts(bundle.blocks),
        *clocks.judge_instances(bundle.blocks),
        *_proof_results(bundle),
        *_value_results(bundle),
        *_record_results(bundle),
    ]
    order = {name: place for place, name in enumerate(LIMITS)}
    results.sort(
        key=lambda result: (
            order[result.name],
            result.block or 0,
            result.host or "",
            result.arm or "",
        )
    )
    blocks: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    for block in bundle.blocks:
        for outcome in block.arms:
            blocks[outcome.arm, block.host].add(block.block)
    return Gates(
        tuple(results), noise, {key: frozenset(numbers) for key, numbers in blocks.items()}
    )


def _noise(figures: t.Sequence[ScenarioFigures]) -> dict[Series, Interval]:
    return {
        (each.scenario, each.metric, each.variant, arm.host): arm.comparison.interval
        for each in figures
        for arm in each.arms
        # Against bare of the same host: only then is it the same thing twice.
        if arm.arm == AGAIN
        and arm.comparison is not None
        and arm.comparison.interval is not None
        and arm.comparison.baseline[1] == arm.host
    }


def _aa_results(noise: t.Mapping[Series, Interval]) -> t.Iterator[GateResult]:
    for (scenario, metric, _variant, host), interval in noise.items():
        far = reach(interval)
        sentence = (
            f"bare against bare is {interval.low:.3f} to {interval.high:.3f}: enough for margins of "
            f"{math.expm1(2 * far):.1%} and more"
        )
        yield GateResult(
            limits.AA,
            "scenario",
            None,
            math.expm1(far),
            None,
            sentence,
            host=host,
            scenario=scenario,
            metric=metric,
        )


def _proof_results(bundle: Bundle) -> t.Iterator[GateResult]:
    lines = {(line.block, line.host, line.arm): line for line in bundle.proofs}
    for block in bundle.blocks:
        for outcome in block.arms:
            line = lines.get((block.block, block.host, outcome.arm))
            where: dict[str, t.Any] = {
                "host": block.host,
                "arm": outcome.arm,
                "block": block.block,
            }
            began = bool(line and line.proofs) or outcome.status != "failed"
            yield _proof_result(line, began, where)
            for proof in line.proofs if line else ():
                if proof.name.startswith("root-file-system"):
                    words = f"expected {proof.expected or '–'}, found {proof.observed or '–'}"
                    yield GateResult(limits.DIGEST, "arm", proof.holds, None, None, words, **where)
                elif proof.name == "clock" and outcome.clock is None:
                    words = f"expected {proof.expected or '–'}, found {proof.observed or '–'}"
                    limit = LIMITS[limits.GUEST_CLOCK].value
                    yield GateResult(
                        limits.GUEST_CLOCK, "arm", proof.holds, None, limit, words, **where
                    )


def _proof_result(line: ProofLine | None, began: bool, where: t.Mapping[str, t.Any]) -> GateResult:
    if not began:
        words = "the arm failed before it could prove anything"
        return GateResult(limits.PROOF, "arm", None, None, None, words, **where)
    if line is None:
        words = "there is no proof of what the arm is"
        return GateResult(limits.PROOF, "arm", False, None, None, words, **where)
    held = sum(proof.holds for proof in line.proofs)
    words = f"{held} of {len(line.proofs)} proofs hold"
    if line.reason:
        words += f": {line.reason}"
    return GateResult(limits.PROOF, "arm", line.proven, None, None, words, **where)


def _value_results(bundle: Bundle) -> t.Iterator[GateResult]:
    """Sum up the samples that were left out as impossible, by block."""
    counts: dict[tuple[int, str, str, str, str], list[str]] = {}
    samples = bundle.samples
    for index, why in samples.why_not.items():
        if why.code == reasons.IMPOSSIBLE_VALUE:
            key = samples.keys[samples.series[index]]
            place = (int(samples.block[index]), key.host, key.arm, key.scenario, key.metric)
            counts.setdefault(place, []).append(why)
    if not counts:
        words = f"{len(samples)} samples, none of them impossible"
        yield GateResult(limits.VALUES, "run", True, 0.0, 0.0, words)
    for (block, host, arm, scenario, metric), found in sorted(counts.items()):
        yield GateResult(
            limits.VALUES,
            "arm",
            False,
            float(len(found)),
            0.0,
            "; ".join(dict.fromkeys(found)),
            host=host,
            arm=arm,
            block=block,
            scenario=scenario,
            metric=metric,
        )


def _record_results(bundle: Bundle) -> t.Iterator[GateResult]:
    if any(note.code == "no-chain" for note in bundle.notes):
        words = "no chain of hashes to judge by, in all or some of its blocks"
        yield GateResult(limits.RECORD, "run", None, None, None, words)
    elif not any(why.code == reasons.RECORD for why in bundle.unusable.values()):
        whole = f"{len(bundle.blocks)} blocks are as they were written"
        yield GateResult(limits.RECORD, "run", True, None, None, whole)
    for (block, host, arm), why in bundle.unusable.items():
        if why.code == reasons.RECORD:
            yield GateResult(
                limits.RECORD, "arm", False, None, None, why.detail, host=host, arm=arm, block=block
            )


def _summed_up(results: t.Sequence[GateResult], blocks: int, arm: str, host: str) -> GateResult:
    """One result for what a gate refused in several blocks, with the worst figure."""
    worst = max(results, key=lambda result: result.figure if result.figure is not None else -1.0)
    count = len({result.block for result in results})
    return dataclasses.replace(
        worst,
        scope="arm",
        arm=arm,
        host=host,
        block=None,
        sentence=f"in {count} of {blocks} blocks {worst.sentence}",
    )
