# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Success is said only of what was seen: a playbook that ends without an error has done nothing by that."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

import pytest
from checkout import Checkout

PLAY = """\
- name: "lab: a playbook"
  hosts: {hosts}
  gather_facts: false
  tasks:
    - name: something
      ansible.builtin.debug:
        msg: something
"""
SEEN = """\
    - name: "{task}"
      vcompare.lab.says:
        result: {result}
      when: {when}
"""
SAYS_MODULE = """\
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule(argument_spec=dict(result=dict(type="dict")))
    module.exit_json(**module.params["result"])

main()
"""

Result = dict[str, t.Any]


def playbook(*tasks: tuple[str, Result], hosts: str = "localhost", when: str = "true") -> str:
    return PLAY.format(hosts=hosts) + "".join(
        SEEN.format(task=task, result=json.dumps(result), when=when) for task, result in tasks
    )


def lab(state: str, name: str = "default") -> Result:
    return {"lab": {"name": name, "state": state}}


UP, DOWN = ("lab: up", lab("running")), ("lab: down", lab("absent"))
COMMANDS: list[tuple[str, tuple[str, ...], list[tuple[str, Result]], str]] = [
    ("lab_ready.yml", ("up",), [UP], "is up"),
    ("lab_down.yml", ("down",), [DOWN], "is gone"),
    ("lab_status.yml", ("status",), [("lab: status", lab("stopped"))], "stopped"),
    ("lab_doctor.yml", ("doctor",), [("lab: doctor", {"findings": []})], "0 problems"),
    ("lab_lock.yml", ("lock", "-o", "{tmp}/x.lock"), [("lab: lock", {"dest": "{tmp}/x.lock"})], "written"),
    ("lab_rebuild.yml", ("rebuild", "--lock", "{tmp}/lab.lock"), [DOWN, UP], "is built"),
    (
        "lab_rebuild.yml",
        ("rebuild", "--lock", "{tmp}/lab.lock", "--verify"),
        [DOWN, UP, ("lab: verify", {"differences": []})],
        "is what that says",
    ),
]  # fmt: skip
IDS = [" ".join(arguments[:1] + arguments[3:]) for _name, arguments, _tasks, _says in COMMANDS]


class Lab:
    """The tiny checkout with one playbook of a test's own."""

    def __init__(self, checkout: Checkout, tmp: Path) -> None:
        self.tmp = tmp
        self.checkout = Checkout(tmp / "checkout")
        shutil.copytree(checkout.root, tmp / "checkout")
        modules = "playbooks/collections/ansible_collections/vcompare/lab/plugins/modules"
        (self.checkout.root / modules / "says.py").write_text(SAYS_MODULE)
        (tmp / "lab.lock").write_text(json.dumps({"lab": {"nodes": 2}}))

    def run(self, name: str, text: str, *arguments: str, **more: str) -> tuple[int, str, str]:
        (self.checkout.root / "playbooks" / name).write_text(text.replace("{tmp}", str(self.tmp)))
        words = [word.replace("{tmp}", str(self.tmp)) for word in arguments]
        made = self.checkout.run(self.tmp / "home", "lab", *words, **more)
        assert "Traceback" not in made.stderr
        assert "internal error" not in made.stderr
        return made.returncode, made.stdout, made.stderr


@pytest.fixture
def tiny(checkout: Checkout, tmp_path: Path) -> Lab:
    return Lab(checkout, tmp_path)


@pytest.mark.parametrize(("name", "arguments", "tasks", "says"), COMMANDS, ids=IDS)
def test_what_was_seen_is_said(
    tiny: Lab, name: str, arguments: tuple[str, ...], tasks: list[tuple[str, Result]], says: str
) -> None:
    code, out, err = tiny.run(name, playbook(*tasks), *arguments)
    assert code == 0, err
    assert says in out
    # The last of them did not run, and nothing failed.
    for without in (playbook(*tasks[:-1]), playbook(*tasks, when="false")):
        code, out, err = tiny.run(name, without, *arguments)
        assert code == 1
        assert says not in out
        assert (
            f"'{tasks[-1 if without != playbook(*tasks, when='false') else 0][0]}' was not seen on localhost"
            in err
        )
    # Ran elsewhere.
    code, out, err = tiny.run(name, playbook(*tasks, hosts="lab-linux"), *arguments)
    assert code == 1
    assert says not in out


@pytest.mark.parametrize(
    ("name", "command", "task", "result"),
    [
        ("lab_ready.yml", "up", "lab: up", lab("partial")),
        ("lab_ready.yml", "up", "lab: up", lab("running", "spare")),
        ("lab_ready.yml", "up", "lab: up", {"lab": None}),
        ("lab_down.yml", "down", "lab: down", lab("running")),
        ("lab_down.yml", "down", "lab: down", {}),
        ("lab_status.yml", "status", "lab: status", lab("running", "spare")),
        ("lab_doctor.yml", "doctor", "lab: doctor", {"findings": None}),
    ],
)
def test_another_result_is_no_success(
    tiny: Lab, name: str, command: str, task: str, result: Result
) -> None:
    code, out, _err = tiny.run(name, playbook((task, result)), command)
    assert code == 1
    assert out == ""


def test_a_lock_elsewhere_is_no_success(tiny: Lab) -> None:
    text = playbook(("lab: lock", {"dest": "/elsewhere"}))
    code, out, err = tiny.run("lab_lock.yml", text, "lock", "-o", "{tmp}/x.lock")
    assert (code, out) == (1, "")
    assert "/elsewhere" in err


@pytest.mark.parametrize("command", ["up", "down", "status", "doctor", "lock", "rebuild"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[bare_hosts]\nserver-a\n", "in the group lab_servers"),
        ("[lab_servers\nlocalhost\n", "can't be read"),
        ("", "lab_servers"),
        (None, "there is no"),
    ],
    ids=["other", "broken", "empty", "none"],
)
def test_an_inventory_without_a_lab_server(
    tiny: Lab, tmp_path: Path, command: str, text: str | None, says: str
) -> None:
    for name, _arguments, _tasks, _says in COMMANDS:
        (tiny.checkout.root / "playbooks" / name).write_text(playbook())
    hosts = tmp_path / "hosts.ini"
    if text is not None:
        hosts.write_text(text)
    made = tiny.checkout.run(tmp_path / "home", "lab", command, "-i", str(hosts))
    assert made.returncode == 2, made.stderr
    assert "--inventory" in made.stderr
    assert says in made.stderr
    assert made.stdout == ""
    assert not (tmp_path / "home").exists()


def test_a_comparison_that_measured_nothing_this_time(checkout: Checkout, tmp_path: Path) -> None:
    """A resumed run has a report of its earlier blocks, which is not a success of this one."""
    from synthetic import Synthetic

    tiny = Lab(checkout, tmp_path)
    home = tmp_path / "home"
    folder = Synthetic(arms=("bare", "docker"), scenarios=("startup", "cpu"), finished=False).write(
        home / "runs"
    )
    (tiny.checkout.root / "playbooks" / "compare.yml").write_text(playbook())
    made = tiny.checkout.run(home, "compare", "--resume", folder.name)
    assert made.returncode == 1, made.stderr
    assert "no block was measured" in made.stderr
