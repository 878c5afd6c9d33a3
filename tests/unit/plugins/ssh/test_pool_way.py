# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts of a pool that an inventory has by name, by IPv6 or on another port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import access, way
from ssh_servers import SSHD, Servers, keygen

ROOT = Path(next(iter(collection.__path__))).parents[2]
HOSTS = """\
127.0.1.1 here
192.0.2.7 both
2001:db8::7 both
192.0.2.8 four
2001:db8::8 six
203.0.113.9 far
"""
SETUP = """\
ip link add eth9 type veth peer name far9; ip link set eth9 up; ip link set far9 up; ip link set lo up
ip address add 192.0.2.5/24 dev eth9; ip address add 2001:db8::5/64 dev eth9 nodad
mount --bind "$1" /etc/hosts; shift; exec "$@"
"""
ASK = """
import sys
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import way
try:
    print(*way.between("the-peer", *sys.argv[1:]))
except VcompareError as error:
    print("failed", error.message, error.remedy)
"""


def between(tmp_path: Path, remote: str, local: str) -> str:
    """Ask on a host of its own, with names and addresses of both families."""
    hosts = tmp_path / "hosts"
    hosts.write_text(HOSTS)
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", "sh", "-ec", SETUP, "sh", str(hosts)),
            *(sys.executable, "-c", ASK, remote, local),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")


@needs_root
@pytest.mark.parametrize(
    ("remote", "local", "expected"),
    [
        ("four", "here", "192.0.2.5 192.0.2.8"),
        ("six", "here", "2001:db8::5 2001:db8::8"),
        ("192.0.2.8", "here.example.org", "192.0.2.5 192.0.2.8"),
        ("2001:db8::8", "here", "2001:db8::5 2001:db8::8"),
        ("[2001:db8::8]", "[2001:db8::5]", "2001:db8::5 2001:db8::8"),
        ("both", "192.0.2.5", "192.0.2.5 192.0.2.7"),
        ("both", "2001:db8::5", "2001:db8::5 2001:db8::7"),
        ("10.213.10.2", "10.213.10.1", "10.213.10.1 10.213.10.2"),
    ],
)
def test_names_become_addresses_of_one_family(
    tmp_path: Path, remote: str, local: str, expected: str
) -> None:
    assert between(tmp_path, remote, local) == expected


@needs_root
def test_a_name_with_both_families_gives_a_pair_of_one(tmp_path: Path) -> None:
    local, remote = between(tmp_path, "both", "here").split()
    assert (":" in local) == (":" in remote)


@needs_root
@pytest.mark.parametrize(
    ("remote", "local", "said"),
    [
        (
            "nowhere.invalid",
            "here",
            "the-peer of the pool can't be found by the name 'nowhere.invalid'",
        ),
        ("here", "here", "the-peer of the pool has only addresses that another host can't use"),
        ("far", "here", "no way to the-peer of the pool (203.0.113.9)"),
        ("six", "192.0.2.5", "no way to the-peer of the pool (2001:db8::8)"),
        ("a" * 300, "here", "can't be found"),
    ],
)
def test_a_host_that_can_t_be_used_is_named(
    tmp_path: Path, remote: str, local: str, said: str
) -> None:
    result = between(tmp_path, remote, local)
    assert result.startswith("failed")
    assert said in result
    assert "vcompare_pool_address" in result


def test_what_ssh_compares_with() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
    both = access.authorised_line(key, "192.0.2.5,2001:db8::5", "/gate")
    assert 'from="192.0.2.5,2001:db8::5"' in both
    for bad in ("", "*", "192.0.2.5,*", "a.example", '1",command="x'):
        with pytest.raises(BackendError):
            access.authorised_line(key, bad, "/gate")
    assert way.permitted("a", "[2001:db8::5]") == ["2001:db8::5"]


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists(SSHD), reason="needs root and sshd")
@pytest.mark.parametrize(("address", "port"), [("::1", 2217), ("127.0.71.20", 2218)])
def test_the_client_reaches_a_real_peer(
    tmp_path: Path, servers: Servers, address: str, port: int
) -> None:
    """By its own key, on the peer's port, with the one host key that it knows."""
    folder = tmp_path / "pool"
    public = access.make_key(str(folder))
    host_key = tmp_path / "hostkey"
    known = " ".join(keygen(host_key).split()[:2])
    gate = tmp_path / "gate"
    gate.write_text('#!/bin/sh\necho "asked for $SSH_ORIGINAL_COMMAND"\n')
    gate.chmod(0o755)
    source = "127.0.0.1,::1"
    servers.start(address, port, access.authorised_line(public, source, str(gate)), host_key)
    program = access.write_client(address, known, str(folder), port=port)
    process = access.popen(program, address)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out.decode()) == (0, "asked for vcompare-pool-agent\n"), err
