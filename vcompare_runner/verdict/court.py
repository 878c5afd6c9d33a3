# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What a test of a claim finds in a bundle: its two sides, why one is missing, what gates say of it."""

from __future__ import annotations

import dataclasses
import math
import typing as t

import numpy as np

from vcompare_runner._contract import reasons
from vcompare_runner._contract.arms import AGAIN, BARE
from vcompare_runner._contract.reasons import Reason
from vcompare_runner._contract.substrates import NESTED_TCG, UNKNOWN
from vcompare_runner.analysis.statistics import ArmFigures, Interval, ScenarioFigures
from vcompare_runner.bundle import conditions
from vcompare_runner.bundle.gate_limits import MOST_REFUSED, STOLEN_WITHOUT_MARGIN
from vcompare_runner.bundle.read import usable_arms
from vcompare_runner.bundle.samples import NO_REASON, OK
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.core import words
from vcompare_runner.verdict import comparisons, sentences
from vcompare_runner.verdict.bands import Held, Kind, find, hold
from vcompare_runner.verdict.comparisons import Result
from vcompare_runner.verdict.schema import ClaimTest


class GateResult(t.Protocol):
    """A gate that did not let something pass, in words."""

    @property
    def sentence(self) -> str:
        """What was seen, and what the limit is."""


class Gates(t.Protocol):
    """What the gates say of a bundle (``gates.py``)."""

    def refuses(
        self, scenario: str, arm: str, host: str, answers: bool = False
    ) -> t.Sequence[GateResult]:
        """Return the gates that refuse the figures of an arm in a scenario, or its answers that no speed decides."""

    def aa_noise(
        self, scenario: str, metric: str, variant: str | None = None, host: str | None = None
    ) -> Interval | None:
        """Return the interval of bare again / bare: of any host, the worst."""


@dataclasses.dataclass(frozen=True)
class _Side:
    """The figures of one arm on one host in a scenario."""

    unit: str
    direction: str
    figures: ArmFigures


class Court:
    """What the tests of one bundle are looked up in."""

    def __init__(
        self, bundle: Bundle, figures: t.Sequence[ScenarioFigures], gates: Gates | None
    ) -> None:
        self.bundle = bundle
        self.gates = gates
        self.sides: dict[tuple[str, str, str, str, str], list[_Side]] = {}
        self.variants: dict[tuple[str, str], set[str]] = {}
        for each in figures:
            self.variants.setdefault((each.scenario, each.metric), set()).add(each.variant)
            for arm in each.arms:
                key = (each.scenario, each.metric, each.variant, arm.arm, arm.host)
                self.sides.setdefault(key, []).append(_Side(each.unit, each.direction, arm))
        self.metrics = {metric for _scenario, metric in self.variants}
        self.hosts: dict[str, list[str]] = {}
        for plan in bundle.manifest.arms:
            self.hosts.setdefault(plan.arm, []).append(plan.host)
        for block in bundle.blocks:
            for outcome in block.arms:
                if block.host not in self.hosts.setdefault(outcome.arm, []):
                    self.hosts[outcome.arm].append(block.host)
        self.substrates = bundle.substrates
        self.troubles = _troubles(bundle)
        self.stolen = conditions.stolen(bundle.blocks)
        # What bare is measured in: elsewhere it has no noise of its own, and the interval is all that is known.
        self.bare_in = {
            (key.scenario, key.metric, key.variant)
            for key in bundle.samples.keys
            if key.arm in (BARE, AGAIN)
        }
        self._rows: dict[tuple[str, ...], dict[int, list[int]]] | None = None

    def test(self, test: ClaimTest, arm: str) -> list[Result]:
        """Return what a test says for an arm, for each host that has it; p-values not yet judged."""
        hosts = self.hosts.get(arm, [])
        if not hosts:
            return [
                Result(test, arm, None).leave_open(
                    "not run", "arm", f"the run has no arm {arm}", f"the arm {arm}"
                )
            ]
        return [self._test_on(Result(test, arm, host)) for host in hosts]

    def _test_on(self, result: Result) -> Result:
        test, host = result.test, t.cast(str, result.host)
        side = self._side(result, result.arm, host)
        if side is None:
            return result
        other = None
        if test.against is not None:
            result.against_host = self._other_host(test, host)
            if result.against_host is None:
                hosts = self.hosts.get(test.against, [])
                return result.leave_open(
                    "not run",
                    "arm",
                    f"{test.against} was measured on several hosts, but not on {host}"
                    if hosts
                    else f"the run has no arm {test.against} to compare with",
                    f"the arm {test.against}",
                )
            other = self._side(result, test.against, result.against_host)
            if other is None:
                return result
            if (side.unit, side.direction) != (other.unit, other.direction):
                return result.leave_open(
                    "refused",
                    "unusable",
                    f"{result.arm} was written in {side.unit}, {test.against} in {other.unit}",
                )
        result.unit = side.unit
        if test.unit is not None and test.unit != side.unit:
            return result.leave_open(
                "refused",
                "unusable",
                f"the margin is in {test.unit}, the figures are in {side.unit}",
            )
        values = self._admitted(result, side)
        shares = {block: self._share_stolen(result, block) for block in values}
        limit = self._stolen_limit(result, other)
        quiet = {block: value for block, value in values.items() if _is_quiet(shares[block], limit)}
        if len(values) - len(quiet) > MOST_REFUSED * len(values):
            too_much = sentences.too_much_stolen(list(shares.values()), limit)
            return result.leave_open("refused", "gate", too_much)
        try:
            pairs = comparisons.pair(test, quiet, other.figures.values if other else None)
        except ValueError as error:
            return result.leave_open("refused", "unusable", str(error))
        comparisons.estimate(result, pairs)
        result.rows = self.rows(result)
        if not pairs.blocks:
            return self._apart(result)
        self._refuse(result, side, other)
        return result

    def _admitted(self, result: Result, side: _Side) -> t.Mapping[int, float]:
        """Return the figures of a side by block; without answers that a busy machine may have changed."""
        values = side.figures.values
        if result.test.comparison != "yes_no" or not result.test.hardware_speed:
            return values
        return {
            block: value
            for block, value in values.items()
            if not self.bundle.unusable.get((block, str(result.host), result.arm))
        }

    def _stolen_limit(self, result: Result, other: _Side | None) -> float:
        """Return how much of the CPU time may have been stolen from a block that a test counts, as a share.

        Half of the margin, as is left to the noise. What has no margin to hold it against (an answer that speed
        decides, a difference without a level) has a fixed limit. An answer that no speed decides has none, nor
        has a count of such answers: what is seen in a block is seen however long it took.
        """
        test = result.test
        if not test.hardware_speed and (test.comparison == "yes_no" or test.unit == "count"):
            return 1.0
        limit = comparisons.half_margin_log(test, other.figures.median if other else None)
        return STOLEN_WITHOUT_MARGIN if limit is None else -math.expm1(-limit)

    def _share_stolen(self, result: Result, block: int) -> float | None:
        """Return how much was stolen in a block from either side of a test, at most; None where it is not known."""
        sides = ((result.host, result.arm), (result.against_host, result.test.against))
        # A block of an older version says nothing, and nothing is held against it.
        shares = [self.stolen.get((block, str(host), str(arm)), 0.0) for host, arm in sides]
        known = [share for share in shares if share is not None]
        return max(known) if len(known) == len(shares) else None

    def _side(self, result: Result, arm: str, host: str) -> _Side | None:
        """Return the figures of one side, or note why there are none."""
        test = result.test
        found = self.sides.get((test.scenario, test.metric, test.variant, arm, host), [])
        if len(found) > 1:
            units = ", ".join(sorted(f"{side.unit} ({side.direction})" for side in found))
            result.leave_open(
                "refused", "unusable", f"{arm} was written in several units or directions: {units}"
            )
            return None
        if found and found[0].figures.values:
            return found[0]
        planned = [
            plan for plan in self.bundle.manifest.arms if (plan.arm, plan.host) == (arm, host)
        ]
        if planned and not planned[0].planned:
            why = planned[0].reason or NO_REASON
            result.leave_open(
                "not run", "arm", f"{arm} was not measured: {why}", f"the arm {arm} ({why})"
            )
        elif test.scenario not in self.bundle.manifest.profile.scenarios:
            profile = self.bundle.manifest.profile
            has_it = profile.measured_by(test.scenario)
            result.leave_open(
                "not run",
                "scenario",
                f"the run's profile ({profile.name}) has no scenario {test.scenario}",
                f"the scenario {test.scenario}"
                + (f" (--profile {has_it[0]} has it)" if has_it else ""),
            )
        elif test.variant not in (seen := self.variants.get((test.scenario, test.metric), set())):
            missing = f"variant {test.variant}" if seen else f"metric {test.metric}"
            result.leave_open(
                "not run",
                "scenario",
                f"the scenario {test.scenario} was run without {missing}",
                f"{test.scenario} with {missing}",
            )
        elif (trouble := self.troubles.get((arm, host))) is not None:
            result.leave_open(*trouble)
        else:
            result.leave_open(
                "not run", "unmeasured", f"{test.scenario} has no usable figure of {arm}"
            )
        return None

    def _apart(self, result: Result) -> Result:
        """Note why no block has figures of both sides."""
        sides = {(result.arm, result.host), (result.test.against, result.against_host)}
        refused = [
            why
            for (_block, host, arm), why in self.bundle.unusable.items()
            if why and (arm, host) in sides
        ]
        text = (
            f"no block has a figure of both it and {result.test.against}"
            if result.test.against
            else "no block has an answer of it"
        )
        if refused:
            return result.leave_open(
                "refused", _cause(refused), f"{text}: {words.reasons(refused)}"
            )
        return result.leave_open("not run", "unmeasured", text)

    def _other_host(self, test: ClaimTest, host: str) -> str | None:
        """Return the host whose figures are compared with: the same, or the only one that has it."""
        hosts = self.hosts.get(t.cast(str, test.against), [])
        if host in hosts:
            return host
        return hosts[0] if len(hosts) == 1 else None

    def _refuse(self, result: Result, side: _Side, other: _Side | None) -> None:
        """Let the gates refuse what was measured."""
        test = result.test
        sides = [(result.arm, result.host), (test.against, result.against_host)]
        refusals: list[str] = []
        if self.gates is not None:
            for arm, host in sides:
                if arm is not None and host is not None:
                    refusals += [
                        gate.sentence
                        for gate in self.gates.refuses(
                            test.scenario,
                            arm,
                            host,
                            answers=test.comparison == "yes_no" and not test.hardware_speed,
                        )
                    ]
        if refusals:
            result.leave_open("refused", "gate", "; ".join(dict.fromkeys(refusals)))
            return
        if test.hardware_speed:
            kinds = {host: self.substrates.get(host) for _arm, host in sides if host is not None}
            if NESTED_TCG in kinds.values():
                result.leave_open("refused", "substrate", sentences.on_emulated(result))
                return
            if unknown := [host for host, kind in kinds.items() if kind in (None, UNKNOWN)]:
                result.leave_open("refused", "unknown", f"what {unknown[0]} stands on is not known")
                return
        if test.comparison != "yes_no":
            self._refuse_noise(result, other)

    def _refuse_noise(self, result: Result, other: _Side | None) -> None:
        """Refuse a test whose margin is not large beside how much bare differs from itself."""
        test = result.test
        measured = (test.scenario, test.metric, test.variant) in self.bare_in
        if self.gates is None or AGAIN not in self.hosts or not measured:
            return
        noise = self.gates.aa_noise(test.scenario, test.metric, test.variant)
        if noise is None:
            if result.interval is not None:
                result.leave_open(
                    "refused",
                    "noise",
                    "bare has no interval against itself, so that the noise is not known",
                )
            return
        limit = comparisons.half_margin_log(test, other.figures.median if other else None)
        low, high = math.log(noise.low), math.log(noise.high)
        # How far it reaches from 1, not how wide it is: to be steadily off is as bad as to scatter.
        if limit is not None and max(abs(low), abs(high)) > limit:
            result.leave_open(
                "refused", "noise", sentences.too_noisy(noise.low, noise.high, math.exp(limit))
            )

    def rows(self, result: Result) -> list[tuple[int, int]]:
        """Return the rows of samples.csv behind a test, as pairs of first and last."""
        if self._rows is None:
            self._rows = _rows_by_series(self.bundle)
        test = result.test
        blocks = set(result.pairs.blocks) if result.pairs else set()
        found: list[int] = []
        for arm, host in ((result.arm, result.host), (test.against, result.against_host)):
            by_block = self._rows.get(
                (test.scenario, test.metric, test.variant, str(arm), str(host)), {}
            )
            found += [row for block, rows in by_block.items() if block in blocks for row in rows]
        return _ranges(found)

    def held(self, result: Result) -> Held | None:
        """Hold a result against a published figure, if there is one."""
        test = result.test
        kind: Kind = "difference" if test.comparison == "difference" else "ratio"
        if test.comparison == "yes_no":
            return None
        band = find(test.scenario, test.metric, test.variant, result.arm, test.against, kind)
        if band is None:
            return None
        unit = result.unit if kind == "difference" else None
        kinds = [self.substrates.get(host or "") for host in (result.host, result.against_host)]
        return hold(band, result.estimate, unit, kinds)


def _cause(found: t.Sequence[Reason]) -> comparisons.Cause:
    """Name what refused blocks: what would settle it follows from that."""
    codes = {reason.code for reason in found}
    if reasons.RECORD in codes:
        return "unusable"
    return "gate" if codes == {reasons.GATE} else "unproven"


def _troubles(
    bundle: Bundle,
) -> dict[tuple[str, str], tuple[comparisons.Outcome, comparisons.Cause, str]]:
    """Return why an (arm, host) has no figures at all, where it has none in any block."""
    unproven = usable_arms(bundle.blocks, bundle.proofs)
    seen: dict[tuple[str, str], list[tuple[str, Reason]]] = {}
    for block in bundle.blocks:
        for outcome in block.arms:
            place = (block.block, block.host, outcome.arm)
            why = unproven[place] or bundle.unusable.get(place, reasons.NONE)
            status = "refused" if why else str(outcome.status)
            seen.setdefault((outcome.arm, block.host), []).append(
                (status, why or Reason(reasons.FAILED, outcome.reason or NO_REASON))
            )
    troubles: dict[tuple[str, str], tuple[comparisons.Outcome, comparisons.Cause, str]] = {}
    for (arm, host), outcomes in seen.items():
        if any(status == "ok" for status, _why in outcomes):
            continue
        said = words.reasons(why for _status, why in outcomes)
        refused = [why for status, why in outcomes if status == "refused"]
        if refused:
            troubles[arm, host] = ("refused", _cause(refused), f"{arm}: {said}")
        else:
            troubles[arm, host] = ("not run", "unmeasured", f"{arm}: failed: {said}")
    return troubles


def _rows_by_series(bundle: Bundle) -> dict[tuple[str, ...], dict[int, list[int]]]:
    """Return for each series the rows of samples.csv that count, by block."""
    samples = bundle.samples
    counted = np.flatnonzero(samples.used & ~samples.warmup & (samples.status == OK))
    order = counted[np.lexsort((counted, samples.block[counted], samples.series[counted]))]
    series, block = samples.series[order], samples.block[order]
    found: dict[tuple[str, ...], dict[int, list[int]]] = {}
    if not len(order):
        return found
    edges = np.flatnonzero((np.diff(series) != 0) | (np.diff(block) != 0)) + 1
    for group in np.split(order, edges):
        key = samples.keys[samples.series[group[0]]]
        name = (key.scenario, key.metric, key.variant, key.arm, key.host)
        found.setdefault(name, {})[int(samples.block[group[0]])] = (group + 1).tolist()
    return found


def _ranges(rows: t.Iterable[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for row in sorted(rows):
        if ranges and row == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], row)
        else:
            ranges.append((row, row))
    return ranges


def _is_quiet(share: float | None, limit: float) -> bool:
    """Say whether a block counts, by what was stolen; where any share is allowed, an unknown one is too."""
    return limit >= 1.0 if share is None else share <= limit
