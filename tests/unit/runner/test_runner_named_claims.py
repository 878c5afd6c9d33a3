# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""`--claims`: ids of claims choose what is measured, files add claims."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from vcompare_runner.core.errors import UsageError
from vcompare_runner.run import plan


def asked(claims: t.Sequence[Path], scenarios: t.Sequence[str] | None = None) -> plan.Request:
    return plan.new_request(
        "RUN", "default", "full", None, None, scenarios, None, None, None, claims
    )


def test_claims_by_their_ids_choose_the_scenarios_that_they_need() -> None:
    request = asked([Path("startup,isolation"), Path("two-kernels")])

    assert request.scenarios == ("startup", "full-start", "cold-start", "isolation", "two-kernels")
    assert request.claims == ()


def test_a_claim_of_several_scenarios_brings_them_all() -> None:
    assert {"cpu", "disk", "network", "redis", "memcached"} <= set(
        asked([Path("near-native")]).scenarios
    )


def test_scenarios_and_claims_add_up() -> None:
    assert asked([Path("churn")], scenarios=["fork"]).scenarios == ("fork", "churn")


def test_a_claim_that_nobody_knows_is_refused_with_a_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        asked([Path("isolaton")])
    assert "--claims" in caught.value.message
    assert "'isolation'" in str(caught.value.remedy)


def test_a_file_of_claims_is_still_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--claims: .*ours\.yml"):
        asked([tmp_path / "ours.yml"])
