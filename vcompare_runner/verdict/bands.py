# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Results against published figures: what lies outside of its band is *questioned*.

A band decides nothing. It says that a result contradicts what others found, so that whoever reads
it looks for the reason before believing it.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from pathlib import Path

import pydantic
import yaml

from vcompare_runner._contract.arms import BARE
from vcompare_runner._contract.substrates import METAL
from vcompare_runner.analysis.statistics import ArmFigures, ScenarioFigures

FILE = Path(__file__).with_name("bands.yml")

Kind = t.Literal["ratio", "difference", "level"]


class Band(pydantic.BaseModel):
    """Where a published figure leads one to expect ours.

    :param low: lower end, a factor (``ratio``) or in ``unit``.
    :param against: ``None`` for a ``level``, which is of the arm alone.
    """

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    scenario: str
    metric: str
    variant: str = "minimal"
    arms: list[str]
    against: str | None = None
    kind: Kind
    unit: str | None = None
    low: float
    high: float
    any_substrate: bool
    published: str
    source: str


@dataclasses.dataclass(frozen=True)
class Held:
    """A result held against a band.

    :param value: the figure that was held against it; ``None`` when there is none.
    :param applies: whether the band says anything about what the result was measured on.
    """

    band: Band
    value: float | None
    applies: bool

    @property
    def questioned(self) -> bool:
        """Say whether the result contradicts the published figure."""
        return (
            self.applies
            and self.value is not None
            and not self.band.low <= self.value <= self.band.high
        )

    def as_data(self) -> dict[str, t.Any]:
        """Return it as part of ``report.json``."""
        return {
            "kind": self.band.kind,
            "low": self.band.low,
            "high": self.band.high,
            "unit": self.band.unit,
            "published": self.band.published,
            "source": self.band.source,
            "any_substrate": self.band.any_substrate,
            "applies": self.applies,
            "value": self.value,
        }


@functools.cache
def read_bands() -> tuple[Band, ...]:
    """Return the bands that come with this package."""
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(Band.model_validate(entry) for entry in data["bands"])


def find(
    scenario: str, metric: str, variant: str, arm: str, against: str | None, kind: Kind
) -> Band | None:
    """Return the band of a result, if there is one."""
    return next(
        (
            band
            for band in read_bands()
            if (band.scenario, band.metric, band.variant, band.against, band.kind)
            == (scenario, metric, variant, against, kind)
            and arm in band.arms
        ),
        None,
    )


def hold(
    band: Band, value: float | None, unit: str | None, substrates: t.Collection[str | None]
) -> Held:
    """Hold a result against a band.

    :param unit: of the value; a band in another unit does not apply. ``None`` for a ratio.
    :param substrates: what the hosts of both sides stand on.
    """
    applies = band.unit == unit and (band.any_substrate or set(substrates) == {METAL})
    return Held(band, value, applies)


def held_figures(
    scenario: ScenarioFigures, figures: ArmFigures, substrates: t.Mapping[str, str]
) -> list[Held]:
    """Hold an arm's ratio to bare, and its figure itself, against published ones.

    :param substrates: host → what it stands on.
    """
    held = []
    where = (scenario.scenario, scenario.metric, scenario.variant, figures.arm)
    comparison = figures.comparison
    if comparison is not None and (band := find(*where, BARE, "ratio")):
        kinds = [substrates.get(host) for host in (figures.host, comparison.baseline[1])]
        held.append(hold(band, comparison.ratio, None, kinds))
    if band := find(*where, None, "level"):
        held.append(hold(band, figures.median, scenario.unit, [substrates.get(figures.host)]))
    return held
