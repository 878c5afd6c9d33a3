# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Servers on loopback, and Ansible asked for a variable."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ssh_servers import ANSIBLE, SSHD, Servers, run_ansible


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    if os.geteuid() != 0 or not os.path.exists(SSHD):
        pytest.skip("servers of our own need root and sshd (Debian: openssh-server)")
    folder = tmp_path_factory.mktemp("servers")
    # A user of the server comes as far as the home.
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    made = Servers(folder)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def variable(tmp_path: Path) -> Callable[[str, str, str], t.Any]:
    """Has Ansible work out a variable of a host, from the inventory in the test's folder."""
    if ANSIBLE is None:
        pytest.skip("ansible's command line is not beside this Python")
    (tmp_path / "ansible.cfg").touch()

    def ask(host: str, name: str, inventory: str = str(tmp_path)) -> t.Any:
        done = run_ansible(
            tmp_path, str(ANSIBLE), host, "-e", "vcompare_home=/home/me/vc", "-i", inventory,
            "-m", "ansible.builtin.debug", "-a", f"var={name}",
        )  # fmt: skip
        if done.returncode:
            raise ValueError(done.stdout + done.stderr)
        return json.loads(done.stdout.partition("=>")[2])[name]

    return ask
