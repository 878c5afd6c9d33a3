# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Our options leave daemon.json; what others have in it stays. The file is real, the daemon is conftest's server."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._engines import carried, docker_config
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import Api
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    DOCKER_OPTIONS,
    DOCKER_RESTART,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release import docker_options, files
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Host

Options = dict[str, t.Any]


@pytest.fixture
def journal(tmp_path: Path) -> HostJournal:
    return HostJournal(str(tmp_path / "state" / "journal.jsonl"))


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(carried, "running", lambda **_kinds: list(found))
    return found


def provisioned(host: Host, journal: HostJournal, **wanted: t.Any) -> None:
    engine = host.engine(**wanted)
    engine._records = journal
    engine.converge()
    host.restarts = 0


def released(host: Host, journal: HostJournal, *allow: str, check_mode: bool = False) -> Account:
    account = Account(check_mode, allow)
    service = t.cast(t.Any, host)
    for entry in reversed(journal.entries()):
        if entry.kind == DOCKER_OPTIONS:
            docker_options.release(entry, journal, account, service)
    docker_options.restart(journal, account, service, Api(str(host.socket)))
    for entry in reversed(journal.entries()):
        if entry.kind in ("file", "directory"):
            files.release(entry, journal, account)
    return account


def test_the_file_is_to_the_byte_what_it_was(host: Host, journal: HostJournal) -> None:
    host.write('{"log-driver":  "journald"}')
    provisioned(host, journal, debug=True)
    assert len(list(host.file.parent.iterdir())) == 2
    account = released(host, journal)
    assert host.file.read_text() == '{"log-driver":  "journald"}'
    # With the copy of the old file that was beside it.
    assert list(host.file.parent.iterdir()) == [host.file]
    assert (host.restarts, host.loaded) == (1, {"log-driver": "journald"})
    assert (account.left, journal.entries()) == ([], [])
    assert released(host, journal).removed == []
    assert host.restarts == 1


def test_a_file_and_a_folder_of_ours_go(host: Host, journal: HostJournal) -> None:
    assert not host.file.parent.exists()
    provisioned(host, journal, debug=True)
    account = released(host, journal)
    assert not host.file.parent.exists()
    assert (account.left, host.loaded, host.restarts) == ([], {}, 1)


def test_check_mode_changes_nothing(host: Host, journal: HostJournal) -> None:
    provisioned(host, journal, debug=True)
    before = (host.file.read_bytes(), journal.entries())
    account = released(host, journal, check_mode=True)
    assert (host.file.read_bytes(), journal.entries(), host.restarts) == (*before, 0)
    assert (DOCKER_OPTIONS, "removed") in {(one["kind"], one["action"]) for one in account.removed}
    assert account.diffs[0]["after"] == ""


def test_only_our_keys_leave_a_file_that_others_changed(host: Host, journal: HostJournal) -> None:
    host.write('{"log-driver": "journald", "labels": ["theirs"]}')
    provisioned(host, journal, debug=True, labels=["ours"], log_opts={"tag": "ours", "labels": "x"})
    now = json.loads(host.file.read_text())
    now["mtu"] = 1400
    now["log-opts"]["max-size"] = "9m"
    host.file.write_text(json.dumps(now))
    account = released(host, journal)
    assert json.loads(host.file.read_text()) == {
        "log-driver": "journald",
        "labels": ["theirs"],
        "log-opts": {"max-size": "9m"},
        "mtu": 1400,
    }
    assert (account.left, journal.entries(), host.restarts) == ([], [], 1)


def test_a_key_to_which_others_gave_a_value_is_left_and_named(
    host: Host, journal: HostJournal
) -> None:
    provisioned(host, journal, debug=True, live_restore=True)
    host.file.write_text('{"debug": false, "live-restore": true}')
    for restarts in (1, 1):
        account = released(host, journal)
        assert json.loads(host.file.read_text()) == {"debug": False}
        assert [one["name"] for one in account.left] == ["debug"]
        assert host.restarts == restarts


def test_a_file_that_cannot_be_read_any_more_is_left(host: Host, journal: HostJournal) -> None:
    provisioned(host, journal, debug=True)
    host.file.write_text('{"debug": true,')
    account = released(host, journal)
    assert host.file.read_text() == '{"debug": true,'
    assert "not valid JSON" in account.left[0]["why"]
    assert host.restarts == 0


def test_containers_of_others_are_not_interrupted_unasked(
    host: Host, journal: HostJournal, others: list[str]
) -> None:
    host.write("{}")
    provisioned(host, journal, debug=True)
    others.append("container web")
    for _again in range(2):
        account = released(host, journal)
        assert (host.file.read_text(), host.restarts) == ("{}", 0)
        assert [one["kind"] for one in account.left] == [DOCKER_RESTART]
        assert "container web" in account.left[0]["why"]
        assert "systemctl restart docker" in account.left[0]["remedy"]
    account = released(host, journal, "restart")
    assert (account.left, host.restarts, journal.entries()) == ([], 1, [])


def test_a_restart_by_others_is_as_good(
    host: Host, journal: HostJournal, others: list[str]
) -> None:
    provisioned(host, journal, debug=True)
    others.append("container web")
    assert released(host, journal).left
    host.restart()
    assert released(host, journal).left == []
    assert (host.restarts, journal.entries()) == (1, [])


def test_a_daemon_that_does_not_run_is_not_started(host: Host, journal: HostJournal) -> None:
    provisioned(host, journal, debug=True)
    host.systemd = dataclasses.replace(host.systemd, active=False)
    account = released(host, journal)
    assert (host.restarts, account.left, journal.entries()) == (0, [], [])
    assert not host.file.exists()


def test_a_daemon_that_does_not_come_up_is_named(host: Host, journal: HostJournal) -> None:
    host.write("{}")
    provisioned(host, journal, debug=True)
    host.troubles = ["it failed"]
    account = released(host, journal)
    assert "it failed" in account.left[0]["why"]
    # And tried again with the next call.
    assert released(host, journal).left == []


# A busy machine is late, and that is not a finding.
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=6,
)
OPTIONS = st.dictionaries(st.sampled_from(["debug", "labels", "mtu", "opts"]), VALUES, max_size=4)


@SLOW
@given(OPTIONS, OPTIONS)
def test_without_ours_is_what_was_before(before: Options, wanted: Options) -> None:
    wrote = docker_config.merge(before, wanted)
    assert docker_options.without_ours(wrote, before, wrote) == (before, [])


@SLOW
@given(OPTIONS, OPTIONS, st.dictionaries(st.sampled_from(["theirs", "dns"]), VALUES))
def test_what_others_added_stays(before: Options, wanted: Options, added: Options) -> None:
    wrote = docker_config.merge(before, wanted)
    assert docker_options.without_ours({**wrote, **added}, before, wrote) == (
        {**before, **added},
        [],
    )


@SLOW
@given(OPTIONS, OPTIONS, OPTIONS)
def test_a_value_that_is_neither_ours_nor_the_old_one_stays(
    before: Options, wrote: Options, now: Options
) -> None:
    result, _changed = docker_options.without_ours(now, before, wrote)
    for key, value in now.items():
        if (
            key in wrote
            and not isinstance(value, dict)
            and value not in (wrote[key], before.get(key))
        ):
            assert result[key] == value
