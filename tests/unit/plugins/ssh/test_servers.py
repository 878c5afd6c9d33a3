# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Servers as users have them: another user than root, sudo with a password from a vault, ports, ProxyJump, IPv6."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ssh_servers import ANSIBLE, PASSWORD, Servers, run_ansible

PLAYBOOK = """\
- hosts: servers
  gather_facts: false
  become: true
  strategy: ansible.builtin.linear
  tasks:
    - name: Look at the host
      vcompare.lab.host_facts:
      register: facts

    - name: Compare its networks
      vcompare.lab.networks:
        arms: [bare, docker, kvm]
        network: 198.18.0.0/16
      check_mode: true
      register: networks

    - name: Let this host in on another one
      vcompare.lab.pool_access:
        state: peer
        public_key: ssh-ed25519 x
        address: 192.0.2.1
      check_mode: true
      delegate_to: "{{ groups['servers'] | difference([inventory_hostname]) | first }}"

    - name: Write what only root may
      ansible.builtin.copy:
        content: "{{ inventory_hostname }}\\n"
        dest: "{{ folder }}/{{ inventory_hostname }}"
        mode: "0600"
"""


@pytest.fixture
def inventory(tmp_path: Path, servers: Servers) -> Path:
    """Four servers: by address and port, by IPv6, by name, and behind a jump host."""
    servers.start("127.0.71.30", 2230)
    servers.start("127.0.71.31", 2231)
    servers.start("::1", 2232)
    servers.start("127.0.0.1", 2233)
    servers.start("127.0.71.34", 2234)
    with servers.known.open("a") as known:
        known.writelines(
            line.replace("[127.0.0.1]:2233", "[localhost]:2233")
            for line in servers.known.read_text().splitlines(keepends=True)
            if line.startswith("[127.0.0.1]:2233")
        )
    (tmp_path / "ssh_config").write_text(
        f'Host *\n IdentityFile "{servers.key}"\n IdentitiesOnly yes\n UserKnownHostsFile "{servers.known}"\n'
    )
    (tmp_path / "hosts.ini").write_text(
        "[servers]\n"
        "plain ansible_host=127.0.71.31 ansible_port=2231\n"
        "six ansible_host=::1 ansible_port=2232\n"
        "name ansible_host=localhost ansible_port=2233\n"
        "behind ansible_host=127.0.71.34 ansible_port=2234"
        f" ansible_ssh_common_args='-F {tmp_path}/ssh_config -o ProxyJump=ops@127.0.71.30:2230'\n"
        "[servers:vars]\nansible_user=ops\nansible_python_interpreter=/usr/bin/python3\n"
        f"ansible_ssh_common_args='-F {tmp_path}/ssh_config'\nansible_become_password='{{{{ vault_sudo }}}}'\n"
    )
    (tmp_path / "root").mkdir(mode=0o700)
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "ansible.cfg").touch()
    return tmp_path


def play(folder: Path, password: str | None) -> subprocess.CompletedProcess[str]:
    """Run the playbook with sudo's password from a file in a vault."""
    (folder / "vault-key").write_text("key of the vault\n")
    (folder / "group_vars").mkdir()
    secrets = folder / "group_vars" / "servers.yml"
    argv = [str(Path(str(ANSIBLE)).with_name("ansible-playbook")), "-i", "hosts.ini", "play.yml"]
    argv += ["-e", f"folder={folder}/root", "--vault-password-file", "vault-key"]
    if password is not None:
        secrets.write_text(f"vault_sudo: {password!r}\n")
        vault = Path(str(ANSIBLE)).with_name("ansible-vault")
        run = [str(vault), "encrypt", "--vault-password-file", "vault-key", str(secrets)]
        assert run_ansible(folder, *run).returncode == 0
        assert PASSWORD not in secrets.read_text()
    else:
        secrets.write_text("vault_sudo: ''\n")
    return run_ansible(folder, *argv, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")


pytestmark = [
    pytest.mark.skipif(ANSIBLE is None, reason="ansible's command line is not beside this Python"),
    pytest.mark.skipif(shutil.which("sudo") is None, reason="there is no sudo here"),
]


def test_everything_is_done_as_root_without_a_question(inventory: Path, servers: Servers) -> None:
    done = play(inventory, PASSWORD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    written = {path.name: path.stat() for path in (inventory / "root").iterdir()}
    assert sorted(written) == ["behind", "name", "plain", "six"]
    assert {(each.st_uid, each.st_mode & 0o777) for each in written.values()} == {(0, 0o600)}
    logs = [(servers.folder / f"sshd{number}.log").read_text() for number in range(5)]
    assert ["Accepted publickey for ops" in log for log in logs] == [True] * 5
    assert not any("Accepted publickey for root" in log for log in logs)


@pytest.mark.parametrize("password", [None, "another one"])
def test_a_password_that_is_missing_or_wrong_ends_at_once(
    inventory: Path, password: str | None
) -> None:
    done = play(inventory, password)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "password" in (done.stdout + done.stderr).lower()
    assert not list((inventory / "root").iterdir())
