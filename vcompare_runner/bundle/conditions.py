# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Under what conditions each arm was measured (docs/contracts.md, "Bundle"), and which blocks that refuses.

Those of the controller come from ``plugins/plugin_utils/controller.py``."""

from __future__ import annotations

import statistics as stdlib_statistics
import typing as t

import pydantic

from vcompare_runner._contract.reasons import GATE, Reason
from vcompare_runner.bundle import gate_limits as gates
from vcompare_runner.bundle.clocks import Rate
from vcompare_runner.bundle.gate_limits import LIMITS, GateResult
from vcompare_runner.core import edges

if t.TYPE_CHECKING:
    from vcompare_runner.bundle.schema import ArmOutcome, BlockLine

Place = tuple[int, str, str]

# In the control domain of a Xen, its own guests are what the time was stolen for.
_OWN_GUESTS = "xen-"

RESOURCES = ("cpu", "io", "memory")


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)


class Conditions(_Model):
    """What a machine did over some time; None: this machine does not say so.

    ``steal_s`` are CPU seconds, ``pressure_s`` are seconds in which some task waited.
    """

    wall_s: edges.Number | None = None
    cpus: edges.Whole | None = None
    steal_s: edges.Number | None = None
    swapped_pages: edges.Integer | None = None
    pressure_s: dict[str, edges.Number | None] = {}

    @property
    def steal_share(self) -> float | None:
        """The part of the machine's CPU time that was stolen."""
        if self.steal_s is None or not self.wall_s or not self.cpus:
            return None
        return self.steal_s / (self.wall_s * self.cpus)

    def pressure_share(self, resource: str) -> float | None:
        """The part of the time in which some task waited for a resource."""
        waited = self.pressure_s.get(resource)
        return None if waited is None or not self.wall_s else waited / self.wall_s


class ArmConditions(Conditions):
    """The host, over an arm's turn. ``quiet_cpus`` were busy just before it."""

    busy_s: edges.Number | None = None
    quiet_cpus: edges.Number | None = None


class ControllerConditions(Conditions):
    """The controller, over a block. ``nodes_here``: how many nodes of the lab it carries."""

    nodes_here: edges.Whole | None = None
    busy_cpus: edges.Number | None = None
    busy_nodes_cpus: edges.Number | None = None
    busy_own_cpus: edges.Number | None = None
    busy_kernel_cpus: edges.Number | None = None
    busy_foreign_cpus: edges.Number | None = None
    load1: edges.Number | None = None


class InstanceClock(_Model):
    """How far an instance's clock went, and the host's at least and at most in the same time."""

    instance_s: edges.Number
    host_least_s: edges.Number
    host_most_s: edges.Number

    def rate(self) -> Rate:
        """Return bounds for its rate. It was read in steps of 10 ms (``/proc/uptime``)."""
        return Rate(
            least=max(0.0, self.instance_s - 0.01) / self.host_most_s
            if self.host_most_s > 0
            else 0.0,
            most=(self.instance_s + 0.01) / self.host_least_s
            if self.host_least_s > 0
            else float("inf"),
        )


class HostClock(_Model):
    """The host's monotonic clock at the first and at the last moment of a block."""

    boot_id: str | None = None
    began_s: edges.Number
    ended_s: edges.Number


class ControllerClock(_Model):
    """The controller's monotonic clock when a block was sent, and when it had answered.

    ``session`` tells the playbook that sent it from others; None in bundles of older versions.
    """

    boot_id: str | None = None
    session: str | None = None
    sent_s: edges.Number
    received_s: edges.Number


class BlockClocks(_Model):
    """Both clocks of a block; None when a version that did not read them wrote it."""

    host: HostClock | None = None
    controller: ControllerClock | None = None


def judge(blocks: t.Sequence[BlockLine]) -> list[GateResult]:
    """Judge the conditions of every arm in every block, and of the controller over it.

    A block of an older version has none: nothing is said of it then.
    """
    usual = _usual_pressure(blocks)
    results: list[GateResult] = []
    for block in blocks:
        for outcome in block.arms:
            if outcome.conditions is not None:
                results += _judge_arm(block, outcome, outcome.conditions, usual)
        if block.controller is not None:
            results += _judge_controller(block, block.controller)
    return results


def noisy(blocks: t.Sequence[BlockLine]) -> dict[Place, Reason]:
    """Return why a (block, host, arm) is refused for its conditions; without those that are not."""
    arms = {(block.block, block.host): [each.arm for each in block.arms] for block in blocks}
    found: dict[Place, Reason] = {}
    for result in judge(blocks):
        if result.passed is False and result.block is not None and result.host is not None:
            named = [result.arm] if result.arm else arms[result.block, result.host]
            for arm in named:
                place = (result.block, result.host, arm)
                text = f"refused by the gate {result.name}: {result.sentence}"
                found.setdefault(place, Reason(GATE, text, result.name))
    return found


def stolen(blocks: t.Sequence[BlockLine]) -> dict[Place, float | None]:
    """Return how much CPU time was stolen in an arm's turn at most, as a share, by (block, host, arm).

    The host's over the turn, or over the whole block that of the machine which carries the nodes. None where it is not
    known; a block of an older version, which has no conditions at all, is left out.
    """
    shares: dict[Place, float | None] = {}
    for block in blocks:
        below = block.controller.steal_share if block.controller else None
        for outcome in (arm for arm in block.arms if block.controller or arm.conditions):
            share = outcome.conditions.steal_share if outcome.conditions else None
            # Of a host that does not say so itself, only the machine that carries it knows.
            carried = share is None and block.controller and block.controller.nodes_here
            if carried or outcome.arm.startswith(_OWN_GUESTS):
                share = below
            share = max(share, below or share) if share is not None else None
            shares[block.block, block.host, outcome.arm] = share
    return shares


def _usual_pressure(blocks: t.Sequence[BlockLine]) -> dict[tuple[str, str, str], float]:
    """Return the median share of each (host, arm, resource), where there are enough turns."""
    seen: dict[tuple[str, str, str], list[float]] = {}
    for block in blocks:
        for outcome in block.arms:
            if outcome.conditions is None:
                continue
            for resource in RESOURCES:
                share = outcome.conditions.pressure_share(resource)
                if share is not None:
                    seen.setdefault((block.host, outcome.arm, resource), []).append(share)
    return {
        key: stdlib_statistics.median(shares)
        for key, shares in seen.items()
        if len(shares) >= gates.LEAST_TURNS
    }


def _judge_arm(
    block: BlockLine,
    outcome: ArmOutcome,
    conditions: ArmConditions,
    usual: t.Mapping[tuple[str, str, str], float],
) -> t.Iterator[GateResult]:
    arm = outcome.arm

    def result(
        name: str, figure: float | None, words: str, unjudged: str = "", passed: bool | None = None
    ) -> GateResult:
        limit = LIMITS[name].value
        if figure is None:
            sentence = "this host does not say so"
        elif unjudged:
            sentence = unjudged
        else:
            sentence = words
            passed = limit is not None and figure <= limit
        return GateResult(
            name,
            "arm",
            passed,
            figure,
            limit,
            sentence,
            host=block.host,
            arm=arm,
            block=block.block,
        )

    quiet = conditions.quiet_cpus
    yield result(gates.QUIET, quiet, f"{_cpus(quiet)} of the host were busy before the turn")
    steal = conditions.steal_share
    own = "under Xen, time goes to its own guests" if arm.startswith(_OWN_GUESTS) else ""
    yield result(gates.STEAL, steal, f"{_percent(steal)} of the CPU time was stolen", own)
    swapped = conditions.swapped_pages
    pages = None if swapped is None else float(swapped)
    yield result(gates.SWAP, pages, f"the host swapped {swapped} pages")
    for resource in RESOURCES:
        name = f"{gates.PRESSURE}-{resource}"
        share = conditions.pressure_share(resource)
        if resource == "memory":
            yield result(name, share, f"tasks waited for memory in {_percent(share)} of the turn")
            continue
        median = usual.get((block.host, arm, resource))
        if share is None or median is None:
            few = f"fewer than {gates.LEAST_TURNS} turns to compare with"
            yield result(name, share, "", few)
            continue
        words = (
            f"tasks waited for the {'disk' if resource == 'io' else 'CPU'} in {_percent(share)} of the "
            f"turn, {_percent(median)} in the median of this arm's turns"
        )
        yield result(name, max(0.0, share - median), words)


def _judge_controller(block: BlockLine, conditions: ControllerConditions) -> t.Iterator[GateResult]:
    carries = bool(conditions.nodes_here)
    elsewhere = "the controller does not carry the hosts"
    foreign = conditions.busy_foreign_cpus
    rate = None
    if conditions.swapped_pages is not None and conditions.wall_s:
        rate = conditions.swapped_pages / conditions.wall_s * 60
    share = conditions.pressure_share("memory")
    steal = conditions.steal_share
    least = LIMITS[gates.FOREIGN].value or 0.0
    for name, figure, limit, words in (
        (
            gates.FOREIGN,
            foreign,
            max(least, gates.FOREIGN_SHARE * (conditions.cpus or 0)),
            f"{_cpus(foreign)} of the machine that carries the nodes did other work",
        ),
        (
            gates.CONTROLLER_STEAL,
            steal,
            LIMITS[gates.CONTROLLER_STEAL].value,
            f"{_percent(steal)} of its CPU time was stolen from the machine that carries the nodes",
        ),
        (
            gates.CONTROLLER_SWAP,
            rate,
            LIMITS[gates.CONTROLLER_SWAP].value,
            f"the machine that carries the nodes swapped {rate or 0:.0f} pages a minute",
        ),
        (
            gates.CONTROLLER_PRESSURE,
            share,
            LIMITS[gates.CONTROLLER_PRESSURE].value,
            f"tasks waited for memory in {_percent(share)} of the time on the machine that carries "
            "the nodes",
        ),
    ):
        passed = None
        sentence = elsewhere if not carries else "the controller does not say so"
        if carries and figure is not None and limit is not None:
            passed, sentence = figure <= limit, words
        yield GateResult(
            name, "block", passed, figure, limit, sentence, host=block.host, block=block.block
        )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _cpus(count: float | None) -> str:
    return "–" if count is None else f"{count:.2f} CPUs"
