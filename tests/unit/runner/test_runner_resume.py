# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Options that are given again for a run that has begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcompare_runner.cli import commands
from vcompare_runner.core.errors import UsageError
from vcompare_runner.run import plan


@pytest.fixture
def begun(home: Path, tmp_path: Path) -> plan.Request:
    """A run that was asked for with every option."""
    systems = tmp_path / "systems.yml"
    systems.write_text("[]")
    request = plan.new_request(
        run="20261124-101500-ab12cd",
        lab="spare",
        profile="smoke",
        seed=7,
        arms=["bare,docker"],
        scenarios=["cpu"],
        blocks=3,
        accel="tcg",
        inventory=None,
        budget="2h",
        nodes=3,
        systems=[systems],
    )
    folder = home / "runs" / request.run
    (folder / "events").mkdir(parents=True)
    plan.save_request(request, folder)
    return request


SAME = {
    "profile": "smoke",
    "arms": ["bare", "docker"],
    "scenarios": ["cpu"],
    "blocks": 3,
    "budget": "120m",
    "seed": 7,
    "accel": "tcg",
    "nodes": 3,
    "lab": "spare",
}
OTHER = {
    "profile": "quick",
    "arms": ["bare", "kvm"],
    "scenarios": ["cpu,startup"],
    "blocks": 4,
    "budget": "1h",
    "seed": 8,
    "accel": "kvm",
    "nodes": 2,
    "lab": "default",
    "claims": [Path("startup")],
}


def resume(home: Path, **given: object) -> plan.Request:
    options = commands.CompareOptions(resume="latest", **given)  # type: ignore[arg-type]
    return commands._request(options, home)


def test_the_same_options_are_accepted(home: Path, begun: plan.Request, tmp_path: Path) -> None:
    assert resume(home) == begun
    for name, value in SAME.items():
        assert resume(home, **{name: value}) == begun, name
    assert resume(home, **SAME, systems=[tmp_path / "systems.yml"]) == begun


@pytest.mark.parametrize("name", OTHER)
def test_another_value_is_refused_by_name(home: Path, begun: plan.Request, name: str) -> None:
    given = {**SAME, name: OTHER[name]} if name != "claims" else {name: OTHER[name]}
    with pytest.raises(UsageError) as caught:
        resume(home, **given)
    assert f"--{name} (" in caught.value.message
    for other in {*SAME} - {name}:
        assert f"--{other} (" not in caught.value.message


def test_what_was_not_given_at_first_is_refused(home: Path) -> None:
    request = plan.new_request("20261124-101500-ab12cd", "default", "quick", 1, *[None] * 5)
    folder = home / "runs" / request.run
    (folder / "events").mkdir(parents=True)
    plan.save_request(request, folder)
    with pytest.raises(UsageError, match=r"--arms \(not given\)"):
        resume(home, arms=["bare"])
    with pytest.raises(UsageError, match=r"--blocks \(not given\), --nodes \(not given\)"):
        resume(home, blocks=5, nodes=2)


def test_a_wrong_option_is_named_as_in_a_new_run(home: Path, begun: plan.Request) -> None:
    with pytest.raises(UsageError, match="--arms: 'dokcer' is unknown"):
        resume(home, arms=["bare,dokcer"])
