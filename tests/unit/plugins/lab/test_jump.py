# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab on another machine: its nodes are reached through that machine, by that machine's own variables."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest

ANSIBLE = shutil.which("ansible", path=os.path.dirname(sys.executable))


def variable(tmp_path: Path, server: str, host: str, name: str) -> str:
    """Have Ansible work out a variable of a host of a lab on another machine."""
    (tmp_path / "a_server.ini").write_text(f"[lab_servers]\n{server}\n")
    (tmp_path / "nested_lab.yml").write_text(
        "plugin: vcompare.lab.nested\nlab: far\nlab_server: server-one\nlab_server_home: /srv/vc\n"
    )
    root = Path(next(iter(collection.__path__))).parents[2]
    done = subprocess.run(
        [
            str(ANSIBLE),
            host,
            # The wrapper always names the controller's own.
            *("-e", "vcompare_home=/home/me/vc"),
            *(
                "-i",
                str(tmp_path),
                "-m",
                "ansible.builtin.debug",
                "-a",
                f"var={name}",
            ),
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(root),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            "VCOMPARE_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=120,
    )
    return str(json.loads(done.stdout.partition("=>")[2])[name])


def proxy_of(tmp_path: Path, server: str) -> list[str]:
    """The arguments of the ssh that a node is reached through."""
    options = shlex.split(variable(tmp_path, server, "lab-xen", "ansible_ssh_common_args"))
    assert "StrictHostKeyChecking=yes" in options
    (proxy,) = [each for each in options if each.startswith("ProxyCommand=")]
    return shlex.split(proxy.removeprefix("ProxyCommand="))


@pytest.mark.skipif(ANSIBLE is None, reason="ansible's command line is not beside this Python")
@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        ("server-one", ["server-one"]),
        ("server-one ansible_host=192.0.2.7", ["192.0.2.7"]),
        (
            "server-one ansible_host=192.0.2.7 ansible_port=2200 ansible_user=me ansible_ssh_private_key_file=/keys/k",
            ["-p", "2200", "-l", "me", "-i", "/keys/k", "192.0.2.7"],
        ),
    ],
)
def test_the_way_through_a_server_follows_its_variables(
    tmp_path: Path, server: str, arguments: list[str]
) -> None:
    assert proxy_of(tmp_path, server) == ["ssh", "-W", "%h:%p", *arguments]


@pytest.mark.skipif(ANSIBLE is None, reason="ansible's command line is not beside this Python")
@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("server-one", "lab_server_home"),
        ("server-one", "nested_lab_home"),
        ("lab-xen", "nested_lab_home"),
        ("lab-linux", "guest_image_home"),
    ],
)
def test_what_the_server_does_for_a_node_is_done_in_its_own_home(
    tmp_path: Path, host: str, name: str
) -> None:
    assert variable(tmp_path, "server-one ansible_host=192.0.2.7", host, name) == "/srv/vc"
