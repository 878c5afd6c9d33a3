# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of scenarios, and what must agree with them: their modules, profiles, claims, documentation."""

from __future__ import annotations

from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
import yaml
from ansible_collections.vcompare.lab.plugins.module_utils._contract import scenarios
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.registry import (
    EXPERIMENTS,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.registry import (
    SCENARIOS,
    WORKLOADS,
    metrics,
)

ROOT = Path(next(iter(collection.__path__)))


def test_each_row_has_its_module_and_each_module_its_row() -> None:
    assert tuple(EXPERIMENTS) == scenarios.EXPERIMENTS
    assert tuple(WORKLOADS) == scenarios.WORKLOADS
    assert scenarios.SCENARIOS == SCENARIOS


@pytest.mark.parametrize("row", scenarios.ROWS, ids=lambda row: row.name)
def test_a_title_that_names_the_metric_has_one(row: scenarios.Scenario) -> None:
    assert row.title
    if row.one_metric:
        assert len(metrics(row.name)) == 1


def test_profiles_know_every_scenario() -> None:
    profiles = yaml.safe_load((ROOT / "roles/measure/vars/profiles.yml").read_text())
    for profile in profiles["measure_profiles"].values():
        assert set(profile["scenarios"]) <= set(scenarios.SCENARIOS)
    assert set(profiles["measure_profiles"]["full"]["scenarios"]) == set(scenarios.SCENARIOS)


def test_the_reference_names_every_scenario() -> None:
    text = (ROOT / "docs/experiments.md").read_text()
    assert [name for name in scenarios.EXPERIMENTS if f"| `{name}` |" not in text] == []
