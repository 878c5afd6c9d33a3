# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab on another machine: its nodes are reached through that machine, however Ansible itself reaches it."""

from __future__ import annotations

import shlex
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ssh_servers import ANSIBLE, Servers, keygen, run_ansible

Ask = Callable[[str, str], t.Any]


def write(folder: Path, server: str, *more: str) -> None:
    """Write the inventory of a lab on another machine."""
    lines = "\n".join(more)
    (folder / "a_server.ini").write_text(f"[lab_servers]\n{server}\n{lines}\n")
    (folder / "nested_lab.yml").write_text(
        "plugin: vcompare.lab.nested\nlab: far\nlab_server: server-one\nlab_server_home: /srv/vc\n"
    )


def proxy_of(ask: Ask) -> list[str]:
    """Return the arguments of the ssh that a node is reached through."""
    options = shlex.split(str(ask("lab-xen", "ansible_ssh_common_args")))
    assert "StrictHostKeyChecking=yes" in options
    (proxy,) = [each for each in options if each.startswith("ProxyCommand=")]
    return shlex.split(proxy.removeprefix("ProxyCommand="))


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("server-one", ["server-one"]),
        ("server-one ansible_host=192.0.2.7", ["192.0.2.7"]),
        ("server-one ansible_ssh_host=192.0.2.7", ["192.0.2.7"]),
        ("server-one ansible_host=2001:db8::7", ["2001:db8::7"]),
        ("server-one ansible_port=2200", ["Port=2200"]),
        ("server-one ansible_ssh_port=2200", ["Port=2200"]),
        ("server-one ansible_user=me", ['User="me"']),
        ("server-one ansible_ssh_user=me", ['User="me"']),
        ("server-one ansible_ssh_private_key_file=/keys/k", ['IdentityFile="/keys/k"']),
        ("server-one ansible_private_key_file='/my keys/a %h'", ['IdentityFile="/my keys/a %%h"']),
        ("server-one ansible_ssh_common_args='-J ops@bastion:2222'", ["-J", "ops@bastion:2222"]),
        (
            "server-one ansible_ssh_common_args='-o ProxyJump=b -o \"UserKnownHostsFile=/a b\"'",
            ["ProxyJump=b", "UserKnownHostsFile=/a b"],
        ),
        ("server-one ansible_ssh_extra_args='-o LogLevel=ERROR'", ["LogLevel=ERROR"]),
        ("server-one ansible_ssh_args='-o Ciphers=aes128-ctr'", ["Ciphers=aes128-ctr"]),
        ("server-one ansible_ssh_executable='/opt/my ssh'", ["/opt/my ssh"]),
        ("server-one ansible_host='{{ place }}.example' place=north", ["north.example"]),
    ],
)
def test_every_variable_of_the_connection_counts(
    tmp_path: Path, variable: Ask, server: str, expected: list[str]
) -> None:
    write(tmp_path, server)
    proxy = proxy_of(variable)
    assert [word for word in expected if word not in proxy] == []
    assert proxy[proxy.index("-W") + 1] == "%h:%p"
    assert "BatchMode=yes" in proxy


def test_a_group_s_variables_and_settings_count(tmp_path: Path, variable: Ask) -> None:
    write(tmp_path, "server-one", "[lab_servers:vars]", "ansible_user=me")
    (tmp_path / "ansible.cfg").write_text("[defaults]\nprivate_key_file = /keys/of all\n")
    proxy = proxy_of(variable)
    assert 'User="me"' in proxy
    assert 'IdentityFile="/keys/of all"' in proxy


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("ansible_password=x", "password"),
        ("ansible_ssh_pass=x", "password"),
        ("ansible_ssh_password=x", "password"),
        ("ansible_connection=local", "local"),
        ("ansible_connection=community.docker.docker", "docker"),
    ],
)
def test_a_way_that_a_jump_can_t_take_is_refused(
    tmp_path: Path, variable: Ask, more: str, said: str
) -> None:
    write(tmp_path, f"server-one ansible_host=192.0.2.7 {more}")
    with pytest.raises(ValueError, match=said):
        variable("lab-xen", "ansible_ssh_common_args")


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
    tmp_path: Path, variable: Ask, host: str, name: str
) -> None:
    write(tmp_path, "server-one ansible_host=192.0.2.7")
    assert variable(host, name) == "/srv/vc"


@pytest.mark.parametrize(
    "via",
    [
        "",
        "-o ProxyJump=ops@127.0.71.9:2209",
        "-J ops@127.0.71.9:2209",
    ],
    ids=["direct", "ProxyJump", "-J"],
)
def test_a_node_is_reached_through_a_real_server(
    tmp_path: Path, servers: Servers, via: str
) -> None:
    """The node, the lab server and the bastion are daemons of ssh; only the node's own key opens the node."""
    home = tmp_path / "home"
    lab, there = Lab(str(home), "far"), Lab("/srv/vc", "far")
    node = there.nodes[0]
    node_key = Path(f"{lab.keys}/id_ed25519")
    public = keygen(node_key)
    servers.start("127.0.71.9", 2209)
    servers.start("127.0.71.10", 2210)
    servers.start(node.address, node.port, authorised=public)
    Path(lab.known_hosts).parent.mkdir(parents=True, exist_ok=True)
    Path(lab.known_hosts).write_text(servers.known.read_text())
    # What a bastion on ProxyJump goes by is ssh's own configuration, which common arguments may name (without blanks:
    # ssh itself hands the name on to ProxyJump unquoted).
    config = tmp_path / "ssh_config"
    config.write_text(
        f'Host *\n IdentityFile "{servers.key}"\n IdentitiesOnly yes\n UserKnownHostsFile "{servers.known}"\n'
    )
    common = f'-F "{config}" {via}'
    write(
        tmp_path,
        f"server-one ansible_host=127.0.71.10 ansible_port=2210 ansible_user=ops "
        f"ansible_private_key_file='{servers.key}' ansible_ssh_common_args='{common}'",
    )
    (tmp_path / "ansible.cfg").touch()
    # No connection is kept: another test's node has the same address.
    unshared = "ansible_ssh_args=-oControlMaster=no"
    argv = [str(ANSIBLE), node.name, "-i", "a_server.ini", "-i", "nested_lab.yml", "-e", unshared]
    done = run_ansible(
        tmp_path, *argv, "-m", "ansible.builtin.raw", "-a", "echo reached $SSH_CONNECTION"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{node.address} {node.port}" in done.stdout
    jumped = [(servers.folder / f"sshd{number}.log").read_text() for number in (0, 1)]
    assert "Accepted publickey for ops" in jumped[1]
    assert ("Accepted publickey for ops" in jumped[0]) is bool(via)
