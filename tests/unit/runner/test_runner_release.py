# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""`vcompare release` says of each server what was seen there, and fails where something is left or was not seen."""

from __future__ import annotations

import json
import shutil
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from checkout import Checkout
from test_runner_seen import SAYS_MODULE

from vcompare_runner.cli import app as cli
from vcompare_runner.cli import commands, release
from vcompare_runner.run.events import RunState
from vcompare_runner.run.inventory import Inventory
from vcompare_runner.run.playbook import Outcome

Result = dict[str, t.Any]
ROOT = Path(__file__).resolve().parents[3]
NOTHING: Result = {
    "changed": False,
    "released": True,
    "removed": [],
    "left": [],
    "packages": [],
    "packages_command": "",
    "reboot_required": False,
}
FILE = {"kind": "file", "name": "/etc/modules-load.d/vcompare-kvm.conf", "action": "removed"}
FOLDER = {"kind": "folder", "name": "/home/ops/.cache/vcompare", "action": "removed"}
UNIT = {
    "kind": "unit",
    "name": "docker.service",
    "why": "it carries container web",
    "remedy": "Once they are gone: systemctl disable --now docker.service.",
}
PACKAGES: Result = {
    "packages": [{"name": "docker.io", "version": "20.10.24"}],
    "packages_command": "apt-get purge docker.io",
}
INVENTORY = """\
[bare_hosts]
a
[kvm_hosts]
b
[bare_hosts:vars]
ansible_connection=local
[all:vars]
ansible_connection={connection}
ansible_python_interpreter={python}
"""


class Servers:
    """The tiny checkout with a release.yml that says what a test wants."""

    def __init__(self, checkout: Checkout, tmp: Path) -> None:
        self.tmp = tmp
        shutil.copytree(checkout.root, tmp / "checkout")
        self.checkout = Checkout(tmp / "checkout")
        modules = "playbooks/collections/ansible_collections/vcompare/lab/plugins/modules"
        (self.checkout.root / modules / "says.py").write_text(SAYS_MODULE)
        self.inventory(connection="local")

    def inventory(self, connection: str, text: str = INVENTORY) -> None:
        hosts = text.format(connection=connection, python=sys.executable)
        (self.tmp / "hosts.ini").write_text(hosts)

    def playbook(self, *tasks: tuple[str, dict[str, Result]], fails: str = "false") -> None:
        """Tasks by name, each with its result by host."""
        said = [
            {
                "name": task,
                "vcompare.lab.says": {"result": f"{{{{ results_{number}[inventory_hostname] }}}}"},
                "vars": {f"results_{number}": results},
                "when": f"inventory_hostname in {sorted(results)}",
            }
            for number, (task, results) in enumerate(tasks)
        ]
        fail = {
            "name": release.LEFT_TASK,
            "ansible.builtin.fail": {"msg": "not released"},
            "when": fails,
        }
        play = {"name": "release: x", "hosts": "all", "gather_facts": False, "tasks": [*said, fail]}
        (self.checkout.root / "playbooks/release.yml").write_text(
            yaml.safe_dump([play], sort_keys=False)
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        words = ("release", "-i", str(self.tmp / "hosts.ini"), *arguments)
        made = self.checkout.run(self.tmp / "home", *words)
        assert "Traceback" not in made.stderr
        return made.returncode, made.stdout, made.stderr


class Seen:
    """The command with results of tasks as events bring them; what Ansible itself does is tested below."""

    def __init__(
        self, tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.capsys = capsys
        self.state = RunState()
        monkeypatch.setenv("VCOMPARE_HOME", str(tmp / "home"))
        groups = {"bare_hosts": ("a", "b")}
        monkeypatch.setattr(
            release, "list_inventory", lambda source, *_more: Inventory(source, groups, {})
        )
        monkeypatch.setattr(commands, "play", self.play)

    def play(
        self,
        _playbook: Path,
        _project: object,
        _source: Path,
        extra: Result,
        log: Path,
        *_more: object,
    ) -> Outcome:
        log.touch()
        self.extra = extra
        return Outcome(0, False, self.state, log)

    def results(self, *tasks: tuple[str, dict[str, Result]]) -> None:
        self.state = RunState()
        for task, results in tasks:
            for host, result in results.items():
                self.state.feed(
                    {
                        "event": "runner_on_ok",
                        "event_data": {"task": task, "host": host, "res": result},
                    }
                )

    def run(self, *arguments: str) -> tuple[int, str]:
        code = cli._run(["release", "-i", str(ROOT / "inventories/metal"), *arguments])
        return code, self.capsys.readouterr().out


@pytest.fixture
def seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Seen:
    return Seen(tmp_path, monkeypatch, capsys)


@pytest.fixture
def servers(checkout: Checkout, tmp_path: Path) -> Servers:
    return Servers(checkout, tmp_path)


def both(result: Result) -> dict[str, Result]:
    return {"a": result, "b": result}


def test_each_server_has_its_table(seen: Seen) -> None:
    seen.results(
        (release.HOST_TASK, {"a": {**NOTHING, "removed": [FILE], **PACKAGES}, "b": NOTHING}),
        (release.USER_TASK, {"a": {**NOTHING, "removed": [FOLDER]}, "b": NOTHING}),
    )
    code, out = seen.run()
    assert code == 0
    assert out == (
        "a\n"
        "what     kind     name\n"
        "removed  file     /etc/modules-load.d/vcompare-kvm.conf\n"
        "removed  folder   /home/ops/.cache/vcompare\n"
        "stays    package  docker.io 20.10.24\n"
        "  packages that were installed for vcompare; to remove them: apt-get purge docker.io\n"
        "a: released\n"
        "\n"
        "b: nothing of vcompare is there\n"
        "\n"
    )


def test_a_dry_run_is_no_failure_and_says_so(seen: Seen) -> None:
    found = {**NOTHING, "removed": [FILE], "left": [UNIT]}
    seen.results(
        (release.HOST_TASK, both(found)),
        (release.USER_TASK, both({**NOTHING, "removed": [FOLDER]})),
    )
    code, out = seen.run("--dry-run", "--allow", "restart,reboot")
    assert code == 0
    assert "a: nothing was changed; 2 would be removed, 1 left" in out
    assert (seen.extra["vcompare_dry_run"], seen.extra["vcompare_allow"]) == (
        True,
        ["restart", "reboot"],
    )


def test_after_a_reboot_the_later_word_counts(seen: Seen) -> None:
    reboot = {"kind": "reboot", "name": "Linux", "action": "restored"}
    first = {**NOTHING, "removed": [FILE], "reboot_required": True}
    then = {**NOTHING, "removed": [reboot]}
    user = (release.USER_TASK, both(NOTHING))
    seen.results((release.HOST_TASK, both(first)), (release.REBOOTED_TASK, both(then)), user)
    code, out = seen.run("--json")
    assert code == 0
    found = json.loads(out)["hosts"]["a"]
    assert (found["released"], found["removed"]) == (True, [FILE, reboot])
    # One that was not looked at again is not released.
    seen.results((release.HOST_TASK, both(first)), user)
    code, out = seen.run()
    assert code == 1
    assert "a: not released: it is still to be rebooted" in out


def test_a_server_that_was_not_seen_is_no_success(seen: Seen) -> None:
    for tasks in (
        [],
        [(release.HOST_TASK, both(NOTHING))],
        [(release.USER_TASK, both(NOTHING))],
        [(release.HOST_TASK, {"a": NOTHING}), (release.USER_TASK, {"a": NOTHING})],
    ):
        seen.results(*tasks)
        code, out = seen.run()
        assert code == 1
        assert "b: the playbook ended without an error, but was not seen" in out


def test_what_is_left_and_who_is_not_reached_is_named(servers: Servers) -> None:
    """With Ansible itself: the others go on."""
    servers.playbook(
        (release.HOST_TASK, {"a": {**NOTHING, "left": [UNIT]}, "b": NOTHING}),
        (release.USER_TASK, both(NOTHING)),
        fails="inventory_hostname == 'a'",
    )
    unreachable = "b ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n"
    servers.inventory("local", INVENTORY.replace("b\n", unreachable, 1))
    code, out, _err = servers.run()
    assert code == 1
    assert "left  unit  docker.service: it carries container web" in out
    assert "systemctl disable --now docker.service" in out
    assert "a: not released: 1 left" in out
    assert "b: can't be reached" in out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[lab_nodes]\nlab-linux\n[bare_hosts]\nlab-linux\n", "vcompare lab down"),
        ("[web]\na\n", "bare_hosts"),
        ("[bare_hosts\na\n", "can't be read"),
    ],
    ids=["nodes", "others", "broken"],
)
def test_an_inventory_without_servers(servers: Servers, text: str, says: str) -> None:
    servers.playbook()
    (servers.tmp / "hosts.ini").write_text(text)
    code, out, err = servers.run()
    assert (code, out) == (2, "")
    assert "--inventory" in err
    assert says in err
    assert not (servers.tmp / "home").exists()


@pytest.mark.parametrize("words", [["--allow", "reboots", "-i", "x"], []])
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._run(["release", *words]) == 2
    assert (words or ["--inventory"])[0] in capsys.readouterr().err


def test_the_playbook_and_the_command_mean_the_same_hosts_and_tasks() -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks/release.yml").read_text())
    assert set(play["hosts"].split(":")) == {*release.GROUPS, "!lab_nodes"}
    tasks = {task["name"] for task in play["tasks"]}
    assert {
        release.HOST_TASK,
        release.REBOOTED_TASK,
        release.USER_TASK,
        release.LEFT_TASK,
    } <= tasks
