# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The user's settings of Ansible: those that decide what is read and meant are ours, the rest are the user's."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import sys
from pathlib import Path

import pexpect
import pytest
from checkout import Checkout

from vcompare_runner.core.errors import UsageError
from vcompare_runner.run import environment, hints, project

# As many users have it (rewritten from a real one).
USER_CONFIG = """\
[defaults]
stdout_callback = yaml
strategy = free
gathering = explicit
interpreter_python = auto_silent
hash_behaviour = merge
callbacks_enabled = timer, profile_tasks
any_errors_fatal = True
no_log = True
run_tags = nothing
private_key_file = /keys/mine
forks = 3
host_key_checking = False
[inventory]
enable_plugins = host_list, script, yaml, ini
[privilege_escalation]
become_ask_pass = True
become_method = doas
"""

SETTINGS = [
    {"ANSIBLE_STDOUT_CALLBACK": "yaml"},
    {"ANSIBLE_STDOUT_CALLBACK": "json"},
    {"ANSIBLE_STDOUT_CALLBACK": "there.is.none"},
    {"ANSIBLE_CALLBACKS_ENABLED": "there.is.none,ansible.posix.profile_tasks"},
    {"ANSIBLE_VERBOSITY": "3", "ANSIBLE_DEBUG": "1"},
    {"ANSIBLE_NO_LOG": "True", "ANSIBLE_DISPLAY_OK_HOSTS": "False"},
    {"ANSIBLE_INVENTORY_ENABLED": "yaml", "ANSIBLE_CONFIG": "/dev/null"},
    {"LC_ALL": "C", "LANG": "de_DE.ISO-8859-1"},
    {"ANSIBLE_RUN_TAGS": "nothing"},
    {"ANSIBLE_SKIP_TAGS": "all"},
    {"ANSIBLE_STRATEGY": "free", "ANSIBLE_HOST_PATTERN_MISMATCH": "error"},
    {"ANSIBLE_HASH_BEHAVIOUR": "merge", "ANSIBLE_PRECEDENCE": "all_inventory"},
    {"ANSIBLE_TASK_TIMEOUT": "1", "ANSIBLE_ANY_ERRORS_FATAL": "True"},
    {"ANSIBLE_BECOME_ASK_PASS": "1", "ANSIBLE_ASK_PASS": "1", "ANSIBLE_ASK_VAULT_PASS": "1"},
    {"ANSIBLE_FORCE_COLOR": "1"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
def test_a_setting_of_the_user_changes_no_result(
    checkout: Checkout, tmp_path: Path, settings: dict[str, str]
) -> None:
    shown = checkout.run(tmp_path / "home", "lab", "status", "--json", **settings)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["state"] == "running"


@pytest.mark.parametrize("place", ["variable", "folder"])
def test_a_whole_configuration_of_a_user(checkout: Checkout, tmp_path: Path, place: str) -> None:
    (tmp_path / "ansible.cfg").write_text(USER_CONFIG)
    more = {"ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")} if place == "variable" else {}
    shown = checkout.run(tmp_path / "home", "lab", "status", "--json", **more)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["state"] == "running"


def test_the_rest_is_the_users(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mine.cfg"
    config.write_text(USER_CONFIG)
    monkeypatch.setenv("ANSIBLE_CONFIG", str(config))
    monkeypatch.delenv("ANSIBLE_HOST_KEY_CHECKING", raising=False)
    found = environment.ansible_environment(project.Project(checkout.root))
    assert found["ANSIBLE_CONFIG"] == str(config)
    assert found["ANSIBLE_HOST_KEY_CHECKING"] == "False"
    decided = {name.lower() for name in environment.DECIDED}
    parsed = configparser.ConfigParser()
    parsed.read_string(USER_CONFIG)
    for name in ("private_key_file", "forks", "interpreter_python"):
        assert parsed.has_option("defaults", name)
        assert f"ansible_{name}" not in decided
    for word in ("ssh", "remote_user", "become_method", "vault_password", "roles_path", "timeout"):
        assert not any(
            word in name and name not in ("ansible_task_timeout", "ssh_askpass_require")
            for name in decided
        ), word


def test_without_a_configuration_of_the_users(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    monkeypatch.delenv("ANSIBLE_HOST_KEY_CHECKING", raising=False)
    monkeypatch.chdir(tmp_path)
    found = environment.ansible_environment(project.Project(checkout.root))
    assert found["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert found["ANSIBLE_CONFIG"] == str(checkout.root / "ansible.cfg")
    assert found["ANSIBLE_COLLECTIONS_PATH"].split(":")[0] == str(
        checkout.root / "playbooks" / "collections"
    )


@pytest.mark.parametrize("text", ["[defaults\nforks = 1\n", "[defaults]\nforks = 1\nforks = 2\n"])
def test_a_broken_configuration_is_named(checkout: Checkout, tmp_path: Path, text: str) -> None:
    config = tmp_path / "broken.cfg"
    config.write_text(text)
    made = checkout.run(tmp_path / "home", "lab", "status", ANSIBLE_CONFIG=str(config))
    assert made.returncode == 2, made.stderr
    assert f"Ansible's configuration {config} can't be read" in made.stderr
    assert not (tmp_path / "home").exists()


PROMPTS = """\
- name: "down: ask"
  hosts: localhost
  gather_facts: false
  vars_prompt:
    - name: word
      prompt: what is the word
  tasks:
    - name: ask ssh
      ansible.builtin.command: >-
        {python} -c "open('/dev/tty').readline()"
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_waits_for_a_person(checkout: Checkout, tmp_path: Path, terminal: bool) -> None:
    """What ssh, sudo and getpass do to ask is opening /dev/tty: there is none, also where vcompare has a terminal."""
    copy = tmp_path / "checkout"
    shutil.copytree(checkout.root, copy)
    (copy / "playbooks" / "lab_down.yml").write_text(PROMPTS.format(python=sys.executable))
    other = Checkout(copy)
    # One that waits for a person never ends, and `run` ends it with an error.
    if terminal:
        said, code = pexpect.run(
            " ".join(other.command("lab", "down")),
            cwd=str(tmp_path),
            env=other.environment(tmp_path / "home", TERM="dumb"),
            withexitstatus=True,
            timeout=120,
        )
        text = said.decode()
    else:
        made = other.run(tmp_path / "home", "lab", "down")
        text, code = made.stderr, made.returncode
    assert code == 1, text
    assert "No such device or address" in text


def test_a_password_for_sudo_is_said_to_belong_into_a_vault(
    checkout: Checkout, tmp_path: Path
) -> None:
    sudo = tmp_path / "sudo with a prompt"
    sudo.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != -p ]; do shift; done\n'
        'printf %s "$2" >&2; read -r word </dev/tty || read -r word\n'
        'echo "sudo: a password is required" >&2; exit 1\n'
    )
    sudo.chmod(0o755)
    copy = tmp_path / "checkout"
    shutil.copytree(checkout.root, copy)
    (copy / "playbooks" / "lab_doctor.yml").write_text(
        '- name: "check: become"\n  hosts: localhost\n  gather_facts: false\n  become: true\n'
        "  become_user: nobody\n  vars: {ansible_become_exe: \"{{ lookup('env', 'TEST_SUDO') | quote }}\"}\n"
        "  tasks: [{name: become, ansible.builtin.command: id}]\n"
    )
    # One that waits for a person never ends, and `run` ends it with an error.
    made = Checkout(copy).run(
        tmp_path / "home",
        "lab",
        "doctor",
        TEST_SUDO=str(sudo),
        ANSIBLE_BECOME_ASK_PASS="True",  # noqa: S106 - a setting
    )
    assert made.returncode == 1, made.stderr
    assert "task 'become' failed" in made.stderr
    assert "put ansible_become_password (or ansible_password) into a vault file" in made.stderr


@pytest.mark.parametrize("source", ["prompt", "mine@prompt", "a@/file,b@prompt_ask_vault_pass"])
def test_a_vault_that_asks_at_a_terminal_is_refused(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_IDENTITY_LIST", source)
    with pytest.raises(UsageError, match="asks for a password at a terminal") as caught:
        environment.ansible_environment(project.Project(checkout.root))
    assert "NAME@FILE" in caught.value.remedy


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("Missing sudo password", "ansible_become_password"),
        ("Task failed: Incorrect su password", "ansible_become_password"),
        ("sudo: a password is required", "ansible_become_password"),
        ("ops@h1: Permission denied (publickey,password).", "ansible_password"),
        ("Attempting to decrypt but no vault secrets found", "ANSIBLE_VAULT_PASSWORD_FILE"),
        ("Host key verification failed.\r\n", "known_hosts"),
    ],
)
def test_hints(said: str, names: str) -> None:
    (hint,) = hints.hints(["something else", said])
    assert names in hint
    assert hints.hints(["No space left on device"]) == []
    assert os.linesep not in hint
