# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""How a host's clock runs beside the controller's, as bounds.

The controller notes when it sent a block (``sent``) and when it had the answer (``received``); the
host notes the first (``began``) and the last moment (``ended``) of the block itself. Between sending
and beginning lie seconds of transfer, and how many of them is not known, so that no single ratio
means anything. But for any two blocks i ≤ j of the same boots, in whatever time that took:

- from ``began`` of i to ``ended`` of j the host's clock went on by H, and on the controller no more
  than ``received`` of j − ``sent`` of i passed meanwhile: the host's clock runs at least at H over
  that;
- from ``ended`` of i to ``began`` of j (i < j) it went on by h, and on the controller at least
  ``sent`` of j − ``received`` of i passed: it runs at most at h over that.

Blocks that different playbooks measured are not compared: between the two a node of a lab may have been
put back to its snapshot, which is the same boot with an earlier clock. A bundle that does not say which
playbook measured a block is taken apart where the host's clock went back, which no running one does.

Seconds of transfer weigh less the longer it was between the two blocks, so the bounds of a run of an
hour are within a fraction of a per cent. The same idea as for instances and their host
(``block.clock_doubt`` of the collection). A clock is doubted when the bounds exclude all rates within
the tolerance; bounds that are still wide prove neither.
"""

from __future__ import annotations

import dataclasses
import typing as t

from vcompare_runner.bundle import gate_limits as gates
from vcompare_runner.bundle.gate_limits import LIMITS, GateResult

if t.TYPE_CHECKING:
    from vcompare_runner.bundle.conditions import ControllerClock, HostClock
    from vcompare_runner.bundle.schema import BlockLine

# All pairs of more blocks than this add nothing but time.
_MOST_BLOCKS = 1000


@dataclasses.dataclass(frozen=True)
class Rate:
    """Bounds for how many seconds of one clock pass in a second of the other."""

    least: float
    most: float

    @property
    def off(self) -> float:
        """How far from 1 the rate is at least; zero when it may be 1."""
        return max(0.0, self.least - 1, 1 - self.most)


def rate(pairs: t.Sequence[tuple[HostClock, ControllerClock]]) -> Rate | None:
    """Return the bounds that some blocks give together; None without any.

    Blocks of different boots or playbooks are not compared: their clocks have nothing to do with each other.
    """
    least, most = 0.0, float("inf")
    together: dict[tuple[str | int | None, ...], list[tuple[HostClock, ControllerClock]]] = {}
    put_back, before = 0, float("-inf")
    for host, controller in sorted(pairs, key=lambda pair: pair[1].sent_s):
        if controller.session is None:
            put_back += host.began_s < before
            before = host.ended_s
        key = (host.boot_id, controller.boot_id, controller.session or put_back)
        together.setdefault(key, []).append((host, controller))
    for (host_boot, controller_boot, _session), same in together.items():
        # Without knowing the boots, each block stands for itself.
        alone = host_boot is None or controller_boot is None
        for group in [[pair] for pair in same] if alone else [_ends(same)]:
            low, high = _bounds(sorted(group, key=lambda pair: pair[1].sent_s))
            least, most = max(least, low), min(most, high)
    return Rate(least, most) if pairs else None


def _ends(
    pairs: list[tuple[HostClock, ControllerClock]],
) -> list[tuple[HostClock, ControllerClock]]:
    """Return no more blocks than are worth comparing: those farthest apart say the most."""
    half = _MOST_BLOCKS // 2
    return pairs if len(pairs) <= _MOST_BLOCKS else pairs[:half] + pairs[-half:]


def _bounds(pairs: t.Sequence[tuple[HostClock, ControllerClock]]) -> tuple[float, float]:
    # Most commands judge nothing, and it takes half of the time in which they start.
    import numpy as np

    began = np.array([host.began_s for host, _controller in pairs])
    ended = np.array([host.ended_s for host, _controller in pairs])
    sent = np.array([controller.sent_s for _host, controller in pairs])
    received = np.array([controller.received_s for _host, controller in pairs])
    # Row i, column j.
    inside, around = ended[None, :] - began[:, None], received[None, :] - sent[:, None]
    between, at_least = began[None, :] - ended[:, None], sent[None, :] - received[:, None]
    same_or_later = np.triu(np.ones(inside.shape, dtype=bool))
    later = np.triu(np.ones(inside.shape, dtype=bool), k=1) & (at_least > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lows = np.where(same_or_later & (around > 0), inside / around, 0.0)
        highs = np.where(later, between / at_least, np.inf)
    return float(lows.max()), float(highs.min())


def judge_hosts(blocks: t.Sequence[BlockLine]) -> list[GateResult]:
    """Judge the clock of each host against the controller's; each run of several that were joined by itself."""
    pairs: dict[str, dict[str, list[tuple[HostClock, ControllerClock]]]] = {}
    for block in blocks:
        if block.clocks and block.clocks.host and block.clocks.controller:
            of_run = pairs.setdefault(block.host, {}).setdefault(block.run, [])
            of_run.append((block.clocks.host, block.clocks.controller))
    results = []
    for host, runs in sorted(pairs.items()):
        rates = [found for of_run in runs.values() if (found := rate(of_run)) is not None]
        bounds = Rate(max(each.least for each in rates), min(each.most for each in rates))
        results.append(_result(gates.HOST_CLOCK, "host", bounds, "controller's", host=host))
    return results


def judge_instances(blocks: t.Sequence[BlockLine]) -> list[GateResult]:
    """Judge the clock of each arm's instance against its host's, block by block."""
    return [
        _result(
            gates.GUEST_CLOCK,
            "arm",
            outcome.clock.rate(),
            "host's",
            host=block.host,
            arm=outcome.arm,
            block=block.block,
        )
        for block in blocks
        for outcome in block.arms
        if outcome.clock is not None
    ]


def _result(name: str, scope: str, found: Rate, of: str, **where: t.Any) -> GateResult:
    limit = LIMITS[name].value or 0.0
    passed = found.off <= limit
    if passed and (found.least < 1 - limit or found.most > 1 + limit):
        words = f"between {found.least:.4f} and {_most(found.most)} times the {of}: no doubt of it"
        words += ", and too short to know it closer"
    else:
        words = f"between {found.least:.4f} and {_most(found.most)} times the {of}"
    return GateResult(name, scope, passed, found.off, limit, f"its clock runs {words}", **where)


def _most(most: float) -> str:
    return "any number of" if most == float("inf") else f"{most:.4f}"
