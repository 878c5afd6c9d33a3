# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which arm a host did not survive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.vcompare.lab.plugins.plugin_utils import reset

NAMES = {arm: f"vc-ab12cd-2-{arm}" for arm in ("bare", "bare-again", "docker", "kvm")}


def line(op: str, name: str) -> str:
    return json.dumps({"op": op, "kind": "any", "id": name, "owner": "measure"})


def host(up_s: object, *lines: str, silent: int = 0) -> Callable[[str], str]:
    """A host that is up for so long, after it was not to be reached so many times."""
    tries = iter(range(silent))

    def answer(command: str) -> str:
        assert "journal.jsonl" in command
        for _try in tries:
            raise AnsibleConnectionFailure("no route to host")
        return "\n".join([str(up_s), *lines]) + "\n"

    return answer


def culprit(answer: Callable[[str], str], began_ago_s: float = 100.0) -> tuple[str, str]:
    return reset.culprit(answer, time.monotonic() - began_ago_s, NAMES, back_s=0.2, pause_s=0.0)


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("vc-ab12cd-2-kvm", "kvm"),
        ("vc-ab12cd-2-kvm-stock6", "kvm"),
        ("vc-ab12cd-2-bare", "bare"),
        ("vc-ab12cd-2-bare-again", "bare-again"),
        # Not of this block, and not ours.
        ("vc-ab12cd-1-kvm", ""),
        ("vc-ab12cd-2-kvmx", ""),
    ],
)
def test_the_last_that_was_made_says_whose_turn_it_was(name: str, arm: str) -> None:
    found, how = culprit(host(20.5, line("create", name), line("gone", name), "half a li"))
    assert found == arm
    assert (name in how) == bool(arm)


def test_the_last_of_several_counts() -> None:
    made = [line("create", NAMES[arm]) for arm in ("bare", "docker", "kvm")]
    assert culprit(host(3, *made))[0] == "kvm"


def test_a_host_comes_back_after_a_while() -> None:
    assert culprit(host(3, line("create", NAMES["kvm"]), silent=3))[0] == "kvm"


@pytest.mark.parametrize(
    ("up_s", "arm"), [(96.0, "kvm"), (98.0, ""), (5000.0, ""), ("", ""), ("up?", "")]
)
def test_one_that_was_up_all_the_time_was_not_reset(
    up_s: object, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    # The block was sent a hundred seconds ago; clocks may differ by three in a hundred.
    assert reset.culprit(host(up_s, line("create", NAMES["kvm"])), 900.0, NAMES)[0] == arm


def test_one_that_does_not_come_back_is_given_up() -> None:
    def never(command: str) -> str:
        raise AnsibleConnectionFailure("no route to host")

    assert culprit(never) == ("", "")


def silent_node(there: bool, wakes: bool, back_s: float = 0.3) -> tuple[tuple[str, str], list[str]]:
    struck: list[str] = []

    def answer(command: str) -> str:
        if struck and wakes:
            return host(0.01, line("create", NAMES["kvm"]))(command)
        raise AnsibleConnectionFailure("no route to host")

    def strike() -> bool:
        struck.append("reset")
        return there

    found = reset.culprit(
        answer, time.monotonic() - 100, NAMES, strike, back_s=back_s, boots_s=0.1, pause_s=0.01
    )
    return found, struck


def test_a_node_that_fell_silent_is_reset_once() -> None:
    (arm, how), struck = silent_node(there=True, wakes=True)
    assert arm == "kvm"
    assert "fell silent" in how
    assert struck == ["reset"]
    assert silent_node(there=True, wakes=False) == (("", ""), ["reset"])


def test_a_node_that_does_not_run_is_not_waited_for() -> None:
    # With an hour to come back, this would not end.
    assert silent_node(there=False, wakes=True, back_s=3600.0) == (("", ""), ["reset"])
