# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restart only when something changes; the old options come back when it fails."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_plan import (
    before_installation,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_service import (
    ServiceState,
    check_apparmor,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

from .conftest import HELP_OLD, Host


def files(host: Host) -> set[str]:
    return {path.name for path in host.file.parent.iterdir()}


def test_check_run_check_run(host: Host) -> None:
    host.write('{"log-driver": "journald"}')
    text = host.file.read_text()
    checked = host.engine(debug=True).converge(check_mode=True)
    assert checked["changed"] is True
    assert host.file.read_text() == text
    assert (host.restarts, host.enabled) == (0, 0)
    assert files(host) == {"daemon.json"}

    done = host.engine(debug=True).converge()
    assert (done["changed"], done["restarted"], host.restarts) == (True, True, 1)
    assert json.loads(host.file.read_text()) == {"log-driver": "journald", "debug": True}
    assert pathlib.Path(done["backup_file"]).read_text() == text
    assert (done["plan"], done["diff"]) == (checked["plan"], checked["diff"])
    assert [(step["kind"], step["action"]) for step in done["plan"]] == [
        ("file", "change"),
        ("service", "restart"),
    ]
    assert done["diff"][0] == {
        "before_header": str(host.file),
        "after_header": str(host.file),
        "before": text,
        "after": host.file.read_text(),
    }
    assert done["options"] == [
        {"name": "debug", "wanted": True, "observed": True, "in_force": True}
    ]
    assert done["storage_driver"] == "overlay2"

    for check_mode in (True, False):
        again = host.engine(debug=True).converge(check_mode)
        assert (again["changed"], again["restarted"], again["why"]) == (False, False, "")
        assert (again["plan"], again["diff"]) == ([], [])
    assert host.restarts == 1
    assert len(files(host)) == 2


def test_first_file_and_its_removal_on_failure(host: Host) -> None:
    host.troubles = ["Job failed"]
    with pytest.raises(VcompareError):
        host.engine(debug=True).converge()
    assert not host.file.exists()
    host.engine(debug=True).converge()
    assert json.loads(host.file.read_text()) == {"debug": True}
    assert host.file.stat().st_mode & 0o777 == 0o644


def test_failed_restart_brings_the_old_options_back(host: Host) -> None:
    host.write('{"log-driver":  "journald"}')
    text = host.file.read_text()
    host.troubles = ["Job for docker.service failed."]
    with pytest.raises(VcompareError, match=r"Job for docker\.service failed") as error:
        host.engine(debug=True).converge()
    assert host.file.read_text() == text
    assert host.restarts == 2
    assert "runs with them" in error.value.remedy
    assert error.value.evidence == "failed to start daemon"
    assert not any("pending" in name for name in files(host))


def test_failed_restart_and_failed_return_are_told(host: Host) -> None:
    host.write("{}")
    host.troubles = ["first", "second"]
    with pytest.raises(VcompareError, match="does not start with them either: second"):
        host.engine(debug=True).converge()


def test_option_that_is_not_taken_over_is_a_failure(host: Host) -> None:
    host.write("{}")
    host.deaf_to = {"live-restore"}
    with pytest.raises(VcompareError, match="live-restore: wanted True, in force False"):
        host.engine(live_restore=True).converge()
    assert json.loads(host.file.read_text()) == {}


def test_file_that_was_never_loaded_is_put_in_force(host: Host) -> None:
    host.write('{"debug": true}')
    host.loaded = {}
    done = host.engine(debug=True).converge()
    assert (done["changed"], done["restarted"]) == (True, True)
    assert done["why"] == "not in force: debug"
    assert done["backup_file"] is None
    assert host.engine(debug=True).converge()["changed"] is False


def test_run_that_was_killed_before_its_restart_is_finished(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write("{}")

    def killed() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(host, "restart", killed)
    with pytest.raises(KeyboardInterrupt):
        # An option that the daemon does not tell: only the mark says that it is not in force.
        host.engine(log_opts={"max-size": "10m"}).converge()
    monkeypatch.undo()
    done = host.engine(log_opts={"max-size": "10m"}).converge()
    assert (done["restarted"], host.restarts) == (True, 1)
    assert "interrupted" in done["why"]
    assert host.engine(log_opts={"max-size": "10m"}).converge()["changed"] is False


def test_stopped_daemon_is_started(host: Host) -> None:
    host.write("{}")
    host.systemd = dataclasses.replace(host.systemd, active=False)
    assert host.engine().converge(check_mode=True)["changed"] is True
    assert host.restarts == 0
    done = host.engine().converge()
    assert (done["changed"], done["why"], host.restarts) == (True, "it does not run", 1)


def test_a_host_without_docker_is_planned_as_its_package_leaves_it(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "daemon.json"
    steps = HostPlan()
    assert before_installation(str(file), {}, steps)["changed"] is False
    assert steps.result()["plan"] == []
    planned = before_installation(str(file), {"live-restore": True}, HostPlan())
    assert [(step["action"], step["name"]) for step in planned["plan"]] == [
        ("add", str(file)),
        ("restart", "docker.service"),
    ]
    assert json.loads(planned["diff"][0]["after"]) == {"live-restore": True}
    assert not file.exists()


def test_disabled_daemon_is_enabled_without_a_restart(host: Host) -> None:
    host.write("{}")
    host.systemd = dataclasses.replace(host.systemd, enabled=False)
    done = host.engine().converge()
    assert (done["changed"], host.enabled, host.restarts) == (True, 1, 0)
    assert [(step["action"], step["name"]) for step in done["plan"]] == [
        ("enable", "docker.service")
    ]


def test_without_systemd_a_change_is_refused_and_a_look_is_not(host: Host) -> None:
    host.write('{"debug": true}')
    host.systemd = ServiceState(managed=False)
    assert host.engine(debug=True).converge()["changed"] is False
    with pytest.raises(VcompareError, match="no systemd"):
        host.engine(debug=False).converge()
    assert json.loads(host.file.read_text()) == {"debug": True}


@pytest.mark.parametrize(
    ("change", "says"), [({"masked": True}, "unmask"), ({"loaded": False}, "docker.io")]
)
def test_service_that_can_not_start_is_refused(
    host: Host, change: dict[str, bool], says: str
) -> None:
    host.systemd = dataclasses.replace(host.systemd, **change)  # type: ignore[arg-type]
    with pytest.raises(VcompareError) as error:
        host.engine(debug=True).converge()
    assert says in error.value.remedy
    assert not host.file.exists()


def test_broken_file_is_refused_with_its_place(host: Host) -> None:
    text = '{\n  "debug": true,\n  "labels": ["a" "b"]\n}\n'
    host.file.parent.mkdir(parents=True)
    host.file.write_text(text)
    with pytest.raises(VcompareError, match="line 3, column 18") as error:
        host.engine(debug=True).converge()
    assert error.value.evidence == '  "labels": ["a" "b"]'
    assert host.file.read_text() == text
    assert host.restarts == 0


def test_old_daemon_has_the_names_checked(host: Host) -> None:
    with pytest.raises(VcompareError, match="does not know these options: no-such"):
        host.engine(no_such=1).converge()
    with pytest.raises(VcompareError, match=r"as flags, too.*hosts"):
        host.engine(hosts=["tcp://127.0.0.1:2375"]).converge()
    assert not host.file.exists()
    done = host.engine(debug=True, insecure_registries=["127.0.0.0/8"]).converge()
    assert done["checked_by"] == "names"


def test_new_daemon_checks_with_its_own_flags(host: Host, tmp_path: pathlib.Path) -> None:
    host.systemd = dataclasses.replace(
        host.systemd, flags=("-H", "fd://", "--config-file", str(host.file))
    )
    seen = tmp_path / "seen"
    host.dockerd_is(
        HELP_OLD + "      --validate\n",
        f'echo "$@" > {seen}; cat "$3" >> {seen}; grep -q true "$3" || {{ echo bad >&2; exit 1; }}',
    )
    assert host.engine(debug=True).converge()["checked_by"] == "dockerd"
    first, rest = seen.read_text().split("\n", 1)
    assert first.startswith("--validate --config-file ")
    assert first.endswith(" -H fd://")
    assert str(host.file) not in first
    assert json.loads(rest) == {"debug": True}
    with pytest.raises(VcompareError, match="Docker refuses these options: bad"):
        host.engine(debug=False).converge()
    assert json.loads(host.file.read_text()) == {"debug": True}


def test_daemon_with_another_file_is_told(host: Host) -> None:
    host.systemd = dataclasses.replace(host.systemd, flags=("--config-file=/etc/other.json",))
    with pytest.raises(VcompareError, match=r"/etc/other\.json"):
        host.engine(debug=True).converge()


def test_daemon_that_does_not_answer_is_told(host: Host) -> None:
    host.write("{}")
    engine = host.engine()
    engine._api.path += ".gone"
    with pytest.raises(VcompareError, match="does not answer"):
        engine.converge()


@pytest.mark.parametrize(
    ("enabled", "parser", "refused"),
    [("Y", False, True), ("Y", True, False), ("N", False, False), (None, False, False)],
)
def test_apparmor_without_its_parser_is_refused(
    tmp_path: pathlib.Path, enabled: str | None, parser: bool, refused: bool
) -> None:
    if enabled:
        parameter = tmp_path / "sys/module/apparmor/parameters/enabled"
        parameter.parent.mkdir(parents=True)
        parameter.write_text(enabled + "\n")
    if parser:
        (tmp_path / "apparmor_parser").write_text("#!/bin/sh\n")
        (tmp_path / "apparmor_parser").chmod(0o755)
    if refused:
        with pytest.raises(VcompareError, match="apparmor_parser") as error:
            check_apparmor(tmp_path, str(tmp_path))
        assert "apt-get install apparmor" in error.value.remedy
    else:
        check_apparmor(tmp_path, str(tmp_path))


CARRIES = ["container web", "container db"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_containers_of_others_are_not_interrupted_without_a_word(
    host: Host, check_mode: bool
) -> None:
    host.write('{"debug": false}')
    engine = host.engine(debug=True)
    engine._containers = lambda: CARRIES
    with pytest.raises(VcompareError) as caught:
        engine.converge(check_mode)
    assert "container web, container db" in caught.value.message
    assert "vcompare_allow=restart" in caught.value.remedy
    assert (host.restarts, host.file.read_text()) == (0, '{"debug": false}')
    assert files(host) == {"daemon.json"}
    refused = engine._steps.result()["plan"][-1]
    assert (refused["action"], refused["needs"]) == ("restart", "restart")

    engine = host.engine(debug=True)
    engine._containers = lambda: CARRIES
    engine._allow_restart = True
    done = engine.converge(check_mode)
    assert done["restarted"] is True
    assert "needs" not in done["plan"][-1]
    assert "interrupts container web, container db" in done["plan"][-1]["detail"]
    assert host.restarts == (0 if check_mode else 1)


def test_a_daemon_that_needs_no_change_is_left_alone(host: Host) -> None:
    host.write('{"log-driver": "gelf", "log-opts": {"gelf-address": "udp://x:1"}}')
    engine = host.engine()
    engine._containers = lambda: CARRIES
    assert engine.converge()["changed"] is False
    assert host.restarts == 0


@pytest.mark.parametrize("state", ["active", "locked", "pending", "error"])
def test_a_member_of_a_swarm_is_not_given_live_restore(host: Host, state: str) -> None:
    plain = host.answer
    host.answer = lambda path: {**plain(path), "Swarm": {"LocalNodeState": state}}  # type: ignore[method-assign]
    host.write("{}")
    with pytest.raises(VcompareError, match="Swarm"):
        host.engine(live_restore=True).converge()
    assert (host.restarts, host.file.read_text()) == (0, "{}")


def test_what_is_changed_is_recorded_before(host: Host, tmp_path: pathlib.Path) -> None:
    host.write('{"debug": false}')
    host.systemd = dataclasses.replace(host.systemd, enabled=False)
    engine = host.engine(debug=True)
    engine._records = HostJournal(str(tmp_path / "journal.jsonl"))
    engine.converge(check_mode=True)
    assert engine._records.entries() == []
    engine.converge()
    found = {(entry.kind, entry.name): entry.before for entry in engine._records.entries()}
    before = found["docker-options", str(host.file.resolve())]
    assert base64.b64decode(before["content"]) == b'{"debug": false}'
    assert found["unit", "docker.service"]["enabled"] == "disabled"
