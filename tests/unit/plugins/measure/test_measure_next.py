# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether there is another block: by number, by width, by time, and after an interruption."""

from __future__ import annotations

import json
import time
import types
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.vcompare.lab.plugins.action import measure_next
from ansible_collections.vcompare.lab.plugins.module_utils._contract import durations
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import Bundle

from vcompare_runner.core.errors import BundleError

from .test_actions import action
from .test_bundle import MANIFEST, measured


def opened(tmp_path: Path, **profile: t.Any) -> Bundle:
    bundle = Bundle(tmp_path / "runs" / MANIFEST["run"])
    bundle.open({**MANIFEST, "profile": {**MANIFEST["profile"], **profile}})
    return bundle


def clock(at: float) -> dict[str, t.Any]:
    return {"boot_id": "c", "sent_s": at, "received_s": at + 60, "sent_at_s": at}


def fill(bundle: Bundle, blocks: int, hosts: tuple[str, ...] = ("h1", "h2")) -> None:
    for block in range(1, blocks + 1):
        for place, host in enumerate(hosts):
            bundle.append(
                measured(block, host), 60.0, None, clock((block * len(hosts) + place) * 60.0)
            )


def ask(
    bundle: Bundle, after: int, stopped: str = "", began: float | None = None
) -> dict[str, t.Any]:
    arguments: dict[str, t.Any] = {"bundle": str(bundle.path), "after": after, "stopped": stopped}
    if began is not None:
        arguments["began"] = began
    return t.cast("dict[str, t.Any]", action(measure_next, arguments).run(task_vars={}))


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, t.Any]]:
    """What the package says is open."""
    found: list[dict[str, t.Any]] = []
    monkeypatch.setattr(measure_next, "_open_claims", lambda path: (found, ""))
    return found


def test_a_fixed_number_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_next, "_open_claims", None)
    bundle = opened(tmp_path)
    assert ask(bundle, 0) == {
        "changed": False, "go_on": True, "block": 1, "boot": "linux", "until": 1, "stopped": "", "open": [],
    }  # fmt: skip
    assert ask(bundle, 1)["block"] == 2
    assert ask(bundle, 2) == {
        "changed": False, "go_on": False, "block": 2, "boot": "linux", "until": 2, "stopped": "blocks",
        "open": [],
    }  # fmt: skip


def test_until_every_interval_is_narrow(tmp_path: Path, claims: list[dict[str, t.Any]]) -> None:
    bundle = opened(tmp_path, max_blocks=9)
    fill(bundle, 2)
    claims.append({"claim": "near-native", "blocks_needed": 4})
    found = ask(bundle, 2)
    assert found["go_on"] is True
    assert (found["block"], found["open"]) == (3, claims)
    claims.clear()
    assert ask(bundle, 2)["stopped"] == "narrow"


def test_no_more_than_the_greatest_number(tmp_path: Path, claims: list[dict[str, t.Any]]) -> None:
    bundle = opened(tmp_path, max_blocks=3)
    fill(bundle, 3)
    claims.append({"claim": "near-native", "blocks_needed": 40})
    assert ask(bundle, 3)["stopped"] == "blocks"


@pytest.mark.parametrize(("elapsed", "stopped"), [(1000, ""), (1040, "budget")])
def test_a_block_that_would_end_after_the_profiles_time_is_not_begun(
    tmp_path: Path, claims: list[dict[str, t.Any]], elapsed: int, stopped: str
) -> None:
    """The latest block took 120 s, and the end of the command takes a while, too."""
    bundle = opened(tmp_path, max_blocks=9, within_s=1200)
    fill(bundle, 4)
    claims.append({"claim": "near-native", "blocks_needed": 4})
    assert bundle.measuring_s(4) == 120
    assert ask(bundle, 4, began=time.time() - elapsed)["stopped"] == stopped
    # Its least number, and what another session began, are measured all the same.
    assert ask(bundle, 1, began=time.time() - elapsed)["go_on"] is True


def test_the_latest_block_tells_how_long_another_takes(
    tmp_path: Path, claims: list[dict[str, t.Any]]
) -> None:
    """The first one reads everything for the first time."""
    bundle = opened(tmp_path, blocks=1, max_blocks=9, budget_s=400)
    for block, took in ((1, 200.0), (2, 60.0)):
        for host in ("h1", "h2"):
            bundle.append(measured(block, host), took / 2, None, clock(block * 1000.0))
    claims.append({"claim": "near-native", "blocks_needed": 4})
    assert ask(bundle, 2)["go_on"] is True


def test_without_the_package_a_profile_goes_by_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_next, "_open_claims", lambda path: (None, "no scipy"))
    bundle = opened(tmp_path, max_blocks=3, within_s=1200)
    fill(bundle, 2)
    assert ask(bundle, 2, began=time.time())["go_on"] is True
    assert ask(bundle, 2, began=time.time() - 1190)["stopped"] == "budget"
    fill(bundle, 3)
    assert ask(bundle, 3, began=time.time())["stopped"] == "blocks"


@pytest.mark.parametrize(("budget", "stopped"), [(599, "budget"), (601, "")])
def test_a_block_that_would_end_too_late_is_not_begun(
    tmp_path: Path, claims: list[dict[str, t.Any]], budget: int, stopped: str
) -> None:
    """Four blocks on two hosts took 480 s, so the fifth takes 120 s."""
    bundle = opened(tmp_path, max_blocks=9, budget_s=budget)
    fill(bundle, 4)
    claims.append({"claim": "near-native", "blocks_needed": 4})
    assert bundle.measuring_s() == 480
    assert ask(bundle, 4)["stopped"] == stopped


def test_the_least_number_is_measured_whatever_the_budget(tmp_path: Path) -> None:
    bundle = opened(tmp_path, max_blocks=9, budget_s=1)
    fill(bundle, 1)
    assert ask(bundle, 1)["go_on"] is True


def test_breaks_and_hosts_at_once_do_not_count_twice(tmp_path: Path) -> None:
    bundle = opened(tmp_path)
    bundle.append(measured(1, "h1"), 60.0, None, clock(0.0))
    bundle.append(measured(1, "h2"), 60.0, None, clock(30.0))
    bundle.append(measured(2, "h1"), 60.0, None, clock(90_000.0))
    assert bundle.measuring_s() == 150


def test_a_block_that_was_begun_is_finished_on_all_hosts(
    tmp_path: Path, claims: list[dict[str, t.Any]]
) -> None:
    """The session before decided for it, and was interrupted between two hosts."""
    bundle = opened(tmp_path, max_blocks=9)
    fill(bundle, 2)
    bundle.append(measured(3, "h1"), 60.0)
    assert ask(bundle, 2)["block"] == 3
    assert ask(bundle, 3)["stopped"] == "narrow"
    assert bundle.close("narrow")[1] == ["block 3 of h2"]
    bundle.append(measured(3, "h2"), 60.0)
    manifest, missing = bundle.close("narrow")
    assert missing == []
    assert manifest["stopped"] == "narrow"
    assert manifest["last_block_sha256"]


def test_what_was_decided_stays_decided(tmp_path: Path) -> None:
    assert ask(Bundle(tmp_path / "nowhere"), 7, "budget") == {
        "changed": False, "go_on": False, "block": 7, "boot": "linux", "until": 7, "stopped": "budget",
        "open": [],
    }  # fmt: skip


def test_without_the_package_there_are_no_more_blocks_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(measure_next.display, "warning", warnings.append)

    def missing(name: str) -> types.ModuleType:
        raise ImportError(f"No module named 'scipy' (needed by vcompare_runner.{name})")

    monkeypatch.setattr(measure_next.runner, "load", missing)
    bundle = opened(tmp_path, max_blocks=9)
    fill(bundle, 2)
    found = ask(bundle, 2)
    assert found["stopped"] == "blocks"
    assert "vcompare_runner" in found["msg"]
    assert "No blocks beyond the least number of 2" in warnings[0]


def test_with_the_package(tmp_path: Path) -> None:
    """The real rule: two blocks give no interval, so three more are needed at least."""
    manifest = json.loads(json.dumps(MANIFEST))
    bundle = Bundle(tmp_path / "runs" / MANIFEST["run"])
    manifest["profile"]["max_blocks"] = 9
    test = {"scenario": "cpu", "metric": "events_per_second", "arms": ["kvm"], "against": "docker",
            "comparison": "ratio", "margin": 2.0}  # fmt: skip
    manifest["claims"] = {"sha256": "", "files": [], "claims": [{"id": "c", "tests": [test]}]}
    bundle.open(manifest)
    for block in (1, 2):
        both = measured(block)
        for part in ("samples", "proofs"):
            both[part] += [{**each, "arm": "docker"} for each in both[part]]
        both["arms"] = [{**both["arms"][0], "arm": arm} for arm in ("kvm", "docker")]
        bundle.append(both, 60.0)
    found = ask(bundle, 2)
    assert found["go_on"] is True
    assert found["open"][0]["claim"] == "c"
    assert found["open"][0]["blocks_needed"] == 3


def test_a_bundle_that_can_not_be_judged_ends_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> t.NoReturn:
        raise BundleError("it is broken", "mend it")

    monkeypatch.setattr("vcompare_runner.analysis.stopping.open_claims", broken)
    monkeypatch.setattr(measure_next.display, "warning", lambda text: None)
    bundle = opened(tmp_path, max_blocks=9)
    fill(bundle, 2)
    assert "it is broken" in ask(bundle, 2)["msg"]


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="not a bundle"):
        ask(Bundle(tmp_path / "nowhere"), 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), (None, None), ("90s", 90), ("20m", 1200), ("2h", 7200), ("1H30m", 5400),
     ("1h0m5s", 3605), ("45", 45), (45, 45), (" 5m ", 300)],
)  # fmt: skip
def test_budgets(text: str | int | None, seconds: int | None) -> None:
    assert durations.budget(text) == seconds


@pytest.mark.parametrize(
    "text", ["soon", "0", "0m", "5m2h", "-5m", "1.5h", "²", "9" * 5000, "9999h"]
)
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is no time at all|longer than a year"):
        durations.budget(text)
