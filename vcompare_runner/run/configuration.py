# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Ansible's own configuration, read as Ansible reads it."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from vcompare_runner.core.errors import UsageError


class Config(t.Protocol):
    """What is read of Ansible's configuration."""

    def get_config_value(self, name: str) -> t.Any:
        """Return the value of a setting, from the environment, ansible.cfg or its default."""


def user_config_file() -> Path | None:
    """Return the ansible.cfg that Ansible finds by itself; an empty one in place of /dev/null, which it can't read."""
    from ansible.config.manager import find_ini_config_file

    found = find_ini_config_file()
    if found == os.devnull:
        return Path(__file__).with_name("empty.cfg")
    return None if found is None else Path(found)


def read_config(path: Path | None) -> Config:
    """Read Ansible's configuration as Ansible does.

    :raises UsageError: it can't be read.
    """
    from ansible.config.manager import ConfigManager
    from ansible.errors import AnsibleError

    try:
        config: Config = ConfigManager(None if path is None else str(path))
        # Settings are only read when they are asked for.
        config.get_config_value("COLLECTIONS_PATHS")
        return config
    except (AnsibleError, OSError, ValueError) as error:
        raise UsageError(
            f"Ansible's configuration {path or ''} can't be read: {error}",
            "correct the file, or name another with ANSIBLE_CONFIG",
        ) from error
