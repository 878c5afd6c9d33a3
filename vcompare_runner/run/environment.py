# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The environment that Ansible's programs are run with.

What decides whether its output can be read, and what a playbook means, is set here: the user's ansible.cfg or
``ANSIBLE_…`` variables must not turn a comparison into another one. All the rest (ssh, user, keys, privilege
escalation, vault files, forks, roles, callbacks that record) stays the user's.
"""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

from vcompare_runner.core.errors import UsageError
from vcompare_runner.run import configuration
from vcompare_runner.run.configuration import Config, read_config
from vcompare_runner.run.project import COLLECTION, Project

# Setting → value. A variable goes before ansible.cfg.
DECIDED: t.Mapping[str, str] = {
    # What is read: events of the default callback, with their results.
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    "ANSIBLE_VERBOSITY": "0",
    "ANSIBLE_DEBUG": "False",
    "ANSIBLE_NO_LOG": "False",
    "ANSIBLE_DISPLAY_OK_HOSTS": "True",
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "True",
    "ANSIBLE_DISPLAY_FAILED_STDERR": "False",
    "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
    "ANSIBLE_DISPLAY_TRACEBACK": "never",
    "ANSIBLE_NOCOLOR": "True",
    "ANSIBLE_FORCE_COLOR": "False",
    # Ansible needs UTF-8, and tools on localhost are read in English.
    "LC_ALL": "C.UTF-8",
    "LANGUAGE": "",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8",
    # What a playbook means: all of its tasks, in its order, with its variables.
    "ANSIBLE_STRATEGY": "ansible.builtin.linear",
    "ANSIBLE_RUN_TAGS": "all",
    "ANSIBLE_SKIP_TAGS": "",
    "ANSIBLE_ANY_ERRORS_FATAL": "False",
    "ANSIBLE_FORCE_HANDLERS": "False",
    "ANSIBLE_GATHERING": "implicit",
    "ANSIBLE_HASH_BEHAVIOUR": "replace",
    "ANSIBLE_JINJA2_NATIVE": "True",
    "ANSIBLE_INJECT_FACT_VARS": "True",
    "ANSIBLE_PRIVATE_ROLE_VARS": "False",
    "ANSIBLE_ERROR_ON_UNDEFINED_VARS": "True",
    "ANSIBLE_TASK_TIMEOUT": "0",
    "ANSIBLE_PRECEDENCE": "all_inventory,groups_inventory,all_plugins_inventory,all_plugins_play,"
    "groups_plugins_inventory,groups_plugins_play",
    # Which hosts there are. Half an inventory would compare less than was asked for: a part that
    # can't be read is an error.
    "ANSIBLE_INVENTORY_ENABLED": "host_list,script,auto,yaml,ini,toml",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_HOST_PATTERN_MISMATCH": "warning",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    # No one is there to answer (see guard.py).
    "ANSIBLE_ASK_PASS": "False",
    "ANSIBLE_BECOME_ASK_PASS": "False",
    "ANSIBLE_ASK_VAULT_PASS": "False",
    "ANSIBLE_ENABLE_TASK_DEBUGGER": "False",
    "SSH_ASKPASS_REQUIRE": "never",
}

ASK_REMEDY = (
    "nothing is asked for here: put ansible_become_password (or ansible_password) into a vault file of the inventory, "
    "and name the vault's password with ANSIBLE_VAULT_PASSWORD_FILE"
)


def ansible_environment(project: Project) -> dict[str, str]:
    """Return the variables that Ansible's programs get, in addition to the user's own.

    :raises UsageError: the user's ansible.cfg can't be read, or asks for a vault password at a terminal.
    """
    path = config_file(project)
    config = read_config(path)
    _check_vault(config)
    collections = [str(path) for path in _own_collections(project)]
    collections += [str(path) for path in config.get_config_value("COLLECTIONS_PATHS") or ()]
    environment = {
        **DECIDED,
        # ansible-runner switches it off unless it is set.
        "ANSIBLE_HOST_KEY_CHECKING": str(bool(config.get_config_value("HOST_KEY_CHECKING"))),
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(dict.fromkeys(collections)),
        "ANSIBLE_DEPRECATION_WARNINGS": os.environ.get("ANSIBLE_DEPRECATION_WARNINGS", "False"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    if path is not None:
        # By name: the playbook runs in another folder, where Ansible would not find it.
        environment["ANSIBLE_CONFIG"] = str(path)
    return environment


def config_file(project: Project) -> Path | None:
    """Return the ansible.cfg in force: that of ANSIBLE_CONFIG, of this folder, of the checkout, else of the user."""
    found = configuration.user_config_file()
    if "ANSIBLE_CONFIG" in os.environ or found == Path("ansible.cfg").absolute():
        return found
    return project.config or found


def _check_vault(config: Config) -> None:
    for identity in config.get_config_value("DEFAULT_VAULT_IDENTITY_LIST") or ():
        source = str(identity).rpartition("@")[2]
        if source in ("prompt", "prompt_ask_vault_pass"):
            raise UsageError(
                f"vault_identity_list of Ansible's configuration has '{identity}', which asks for a "
                "password at a terminal",
                "nothing is asked for here: name a file instead of 'prompt', e.g. "
                "ANSIBLE_VAULT_IDENTITY_LIST=NAME@FILE",
            )


def asks_for_passwords(project: Project) -> bool:
    """Say whether the user's configuration asks for a password, which we don't."""
    config = read_config(config_file(project))
    names = ("DEFAULT_ASK_PASS", "DEFAULT_BECOME_ASK_PASS", "DEFAULT_ASK_VAULT_PASS")
    return any(config.get_config_value(name) for name in names)


def _own_collections(project: Project) -> t.Iterator[Path]:
    """The folders in which Ansible finds the collection of this project."""
    if project.root.parts[-3:] == COLLECTION.parts:
        yield project.root.parents[2]
    elif (project.root / "playbooks" / "collections").is_dir():
        yield project.root / "playbooks" / "collections"


def home_environment(home: Path) -> dict[str, str]:
    """Return what an inventory plugin needs to find the lab of a home: it sees no extra variables."""
    return {"VCOMPARE_HOME": str(home)}
