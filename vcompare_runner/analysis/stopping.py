# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Whether more blocks would help: the stopping rule.

A claim is open while the interval of a ratio that it speaks of is wider than its margin allows: its
half-width, on the log scale, has to be half of the margin's at most, so that an effect as large as
the margin is told from none. The rule looks at the width alone and never at the verdict: a run that
ended as soon as an interval excluded something would find what is not there too often (sequential
testing); stopping at a width that was declared before does not depend on where the interval lies.
See J. K. Kruschke, "Doing Bayesian Data Analysis", 2nd edition, section 13.3 (stopping at a goal for
precision).
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
import zlib
from pathlib import Path

import numpy as np

from vcompare_runner._contract.arms import BARE
from vcompare_runner._contract.substrates import NESTED_TCG
from vcompare_runner.analysis.statistics import MIN_PAIRS, block_values, choose_baseline, compare
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle

# Without declared claims, every ratio of the report is a question: can 5% be told from nothing?
DEFAULT_MARGIN = 0.05
WITHOUT_CLAIMS = "every ratio"

# An arm that had no value in the last blocks won't get narrower by more of them.
_SILENT_BLOCKS = 3


@dataclasses.dataclass(frozen=True)
class OpenClaim:
    """A claim that more blocks would help.

    :param blocks_needed: how many more, about.
    :param why: the widest of its ratios, in words.
    """

    claim: str
    blocks_needed: int
    why: str

    def as_dict(self) -> dict[str, t.Any]:
        """Return it as plain data."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Two sides that a claim compares in a scenario.

    :param margin: a factor (``ratio``, ``equivalence``), or in the unit of the figure.
    :param hardware_speed: whether it is about the speed of hardware, which emulated hardware can't decide.
    """

    claim: str
    scenario: str
    metric: str
    variant: str
    arm: str
    against: str
    margin: float
    is_difference: bool = False
    hardware_speed: bool = False


def open_claims(folder: Path) -> list[OpenClaim]:
    """Return the claims of a bundle's manifest that more blocks would help.

    :raises BundleError: the bundle can't be used.
    """
    return open_claims_of(load_bundle(Path(folder)))


def open_claims_of(bundle: Bundle) -> list[OpenClaim]:
    """The same, for a bundle that is loaded."""
    last = max((block.block for block in bundle.blocks), default=0)
    sides: dict[tuple[str, str, str, str], dict[str, dict[int, float]]] = {}
    for key, (values, _samples) in block_values(bundle).items():
        # What had no figure in the last blocks won't be known any closer by more of them.
        if max(values, default=0) + _SILENT_BLOCKS > last:
            place = (key.scenario, key.metric, key.variant, key.arm)
            sides.setdefault(place, {})[key.host] = values
    emulated = {host for host, kind in bundle.substrates.items() if kind == NESTED_TCG}
    found: dict[str, OpenClaim] = {}
    for pair in _pairs(bundle, sides):
        scenario = (pair.scenario, pair.metric, pair.variant)
        others = sides.get((*scenario, pair.against), {})
        for host, values in sides.get((*scenario, pair.arm), {}).items():
            other, _reason = choose_baseline(host, others)
            # What is refused whatever it is need not be known any closer.
            if other is None or (pair.hardware_speed and emulated & {host, other}):
                continue
            more, why = _missing(pair, values, others[other], (pair.against, other), bundle)
            if not why:
                continue
            text = f"{pair.scenario} of {pair.arm} against {pair.against}: {why}"
            known = found.get(pair.claim)
            if known is None or known.blocks_needed < more:
                found[pair.claim] = OpenClaim(pair.claim, more, text)
    return list(found.values())


def half_margin_log(pair: _Pair, against: t.Mapping[int, float]) -> float:
    """Return half of a margin on the log scale: the widest half-width that decides it.

    A difference becomes a ratio by the median of the other side.
    """
    if pair.is_difference:
        return math.log1p(abs(pair.margin) / 2 / float(np.median(list(against.values()))))
    return abs(math.log(pair.margin)) / 2


def more_blocks(half_width: float, allowed: float, blocks: int) -> int:
    """Return how many more blocks make an interval narrow enough, about.

    The width of an interval of a median goes with 1/√n, as its standard error does (H. A. David and
    H. N. Nagaraja, "Order Statistics", 3rd edition, section 10.2).
    """
    return max(1, math.ceil(blocks * (half_width / allowed) ** 2) - blocks)


def _missing(
    pair: _Pair,
    values: t.Mapping[int, float],
    against: t.Mapping[int, float],
    baseline: tuple[str, str],
    bundle: Bundle,
) -> tuple[int, str]:
    """Return how many more blocks a comparison needs, and why; an empty reason when none."""
    if min(*values.values(), *against.values()) <= 0:
        # There is no ratio of such figures.
        return 0, ""
    entropy = [bundle.manifest.seed, zlib.crc32(repr(pair).encode())]
    found = compare(values, against, baseline, entropy)
    pairs = len(found.blocks)
    if found.interval is None:
        few = f"{pairs} paired blocks, an interval needs {MIN_PAIRS}"
        return max(1, MIN_PAIRS - pairs), few
    half = (math.log(found.interval.high) - math.log(found.interval.low)) / 2
    allowed = half_margin_log(pair, against)
    if half <= allowed:
        return 0, ""
    return (
        more_blocks(half, allowed, pairs),
        f"known within {math.expm1(half):.1%}, {math.expm1(allowed):.1%} are needed",
    )


def _pairs(bundle: Bundle, sides: t.Mapping[tuple[str, str, str, str], t.Any]) -> t.Iterator[_Pair]:
    """Return what the claims in the manifest compare.

    A claim that asks for yes or no gains nothing by more blocks. A manifest without claims makes a
    question of every ratio to bare.
    """
    claims = _declared(bundle)
    if claims is None:
        for scenario, metric, variant, arm in sides:
            if arm != BARE:
                yield _Pair(
                    WITHOUT_CLAIMS, scenario, metric, variant, arm, BARE, 1 + DEFAULT_MARGIN
                )
        return
    for claim in claims:
        for test in claim.get("tests") or ():
            margin = test.get("margin")
            kind = test.get("comparison")
            if kind not in ("ratio", "equivalence", "difference") or not margin:
                continue
            for arm in test.get("arms") or ():
                yield _Pair(
                    str(claim.get("id")),
                    str(test.get("scenario")),
                    str(test.get("metric")),
                    str(test.get("variant", "minimal")),
                    str(arm),
                    str(test.get("against")),
                    float(margin),
                    kind == "difference",
                    bool(test.get("hardware_speed")),
                )


def _declared(bundle: Bundle) -> list[dict[str, t.Any]] | None:
    declared: t.Any = getattr(bundle.manifest, "claims", None)
    claims = declared.get("claims") if isinstance(declared, dict) else declared
    claims = getattr(claims, "claims", claims)
    if not isinstance(claims, list):
        return None
    return [claim for claim in claims if isinstance(claim, dict)]
