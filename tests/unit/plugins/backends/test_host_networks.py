# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks of ours and those of the host: with the real ip in a network namespace."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import network
from ansible_collections.vcompare.lab.plugins.module_utils._arms.base import Base
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
CHOOSE = """
import json, sys
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.modules import networks
try:
    print(json.dumps(networks.choose(sys.argv[2].split(), sys.argv[3], False, sys.argv[1])))
except VcompareError as error:
    print(json.dumps({"failed": error.message, "remedy": error.remedy}))
"""
CARD = "ip link add eth9 type veth peer name far9 && ip link set eth9 up && ip link set far9 up && ip link set lo up"


def choose(
    tmp_path: Path, setup: str, arms: str = "docker kvm xen-pv", text: str = "10.213.0.0/16"
) -> dict[str, str]:
    """Choose a network on a host of its own, where some commands were run before."""
    root = Path(next(iter(collection.__path__))).parents[2]
    done = subprocess.run(
        [
            *("unshare", "--net", "sh", "-ec", f'{CARD}; {setup}\nexec "$@"', "sh"),
            *(sys.executable, "-c", CHOOSE, str(tmp_path / "state"), arms, text),
        ],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@needs_root
@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ("ip address add 10.213.17.5/24 dev eth9", "an address of eth9: 10.213.17.5/24"),
        ("ip address add 10.213.0.5/16 dev eth9", "an address of eth9: 10.213.0.5/16"),
        (
            "ip address add 10.9.0.5/24 dev eth9; ip route add 10.213.0.0/16 via 10.9.0.1",
            "a route: 10.213.0.0/16 via 10.9.0.1 dev eth9",
        ),
        ("ip route add 10.0.0.0/8 dev eth9", "a route: 10.0.0.0/8"),
        ("ip route add 10.213.26.7/32 dev eth9", "a route: 10.213.26.7"),
        ("ip route add 10.213.24.0/24 dev eth9 table 77", "a route: 10.213.24.0/24"),
        (
            "ip link add theirs0 type bridge; ip address add 10.213.20.1/24 dev theirs0",
            "an address of theirs0: 10.213.20.1/24",
        ),
    ],
)
def test_what_the_host_uses_is_not_taken_away(tmp_path: Path, setup: str, said: str) -> None:
    result = choose(tmp_path, setup)
    assert said in result["failed"]
    assert "vcompare_network: 172.29.0.0/16" in result["remedy"]
    assert not (tmp_path / "state").exists()
    # What the remedy names is free.
    assert choose(tmp_path, setup, text="172.29.0.0/16")["networks"] == {
        "vcdocker0": "172.29.16.0/22", "vckvm0": "172.29.20.0/22", "vcxen0": "172.29.24.0/22",
    }  # fmt: skip


@needs_root
def test_a_connection_through_the_default_route_is_not_taken_away(tmp_path: Path) -> None:
    """As Ansible's own may come from the company's network, which no route names."""
    program = (
        'import socket, time; s = socket.create_server(("10.213.18.9", 5000));'
        ' c = socket.create_connection(("10.213.18.9", 5000)); a = s.accept(); time.sleep(5)'
    )
    setup = (
        "ip address add 10.213.18.9/32 dev lo\n"
        f"{sys.executable} -c '{program}' >/dev/null 2>&1 & sleep 1\n"
        # The connection outlives the address, which would have said it all.
        "ip address del 10.213.18.9/32 dev lo"
    )
    result = choose(tmp_path, setup)
    assert "a connection with 10.213.18.9" in result["failed"]


@needs_root
@pytest.mark.parametrize(
    "setup",
    [
        "ip address add 10.1.2.3/16 dev eth9; ip route add default via 10.1.0.1",
        # As a VPN does it.
        "ip address add 192.0.2.5/24 dev eth9; ip route add 0.0.0.0/1 dev eth9; ip route add 128.0.0.0/1 dev eth9",
        "ip route add blackhole 10.0.0.0/8",
        "ip address add 10.213.10.1/24 dev eth9",
        # What an earlier run of ours left.
        "ip link add vckvm0 type bridge; ip address add 10.213.20.1/22 dev vckvm0; ip link set vckvm0 up",
        "ip -6 address add fd00::1/64 dev eth9",
    ],
)
def test_other_networks_don_t_matter(tmp_path: Path, setup: str) -> None:
    assert choose(tmp_path, setup)["networks"]["vckvm0"] == "10.213.20.0/22"


@needs_root
def test_only_the_networks_of_the_arms_that_were_asked_for_count(tmp_path: Path) -> None:
    setup = "ip address add 10.213.24.5/24 dev eth9"
    assert choose(tmp_path, setup, arms="bare docker")["networks"] == {
        "vcdocker0": "10.213.16.0/22"
    }
    assert "failed" in choose(tmp_path, setup, arms="bare xen-pvh")
    assert choose(tmp_path, setup, arms="bare")["networks"] == {}


@needs_root
def test_a_bridge_of_another_network_is_not_changed(tmp_path: Path) -> None:
    setup = "ip link add vckvm0 type bridge; ip address add 172.30.20.1/22 dev vckvm0"
    result = choose(tmp_path, setup)
    assert "vckvm0 has the address 172.30.20.1" in result["failed"]
    assert "vcompare_network" in result["remedy"]


@needs_root
def test_a_host_remembers_its_network(tmp_path: Path) -> None:
    assert choose(tmp_path, "true", text="172.29.0.0/16")["changed"]
    assert not choose(tmp_path, "true", text="172.29.0.0/16")["changed"]
    state = str(tmp_path / "state")
    for subnet, expected in (
        (network.KVM, "172.29.20.0/22"),
        (network.PODMAN, "172.29.28.0/22"),
        (network.LOOPBACK, network.LOOPBACK.network),
    ):
        kind = type("Kind", (Base,), {"subnet": subnet})
        assert kind(state).subnet.network == expected
    # And back.
    assert choose(tmp_path, "true")["changed"]
    assert network.of_host(network.KVM, state) == network.KVM


@pytest.mark.parametrize(
    "text", ["10.213.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.208.0/20", "192.168.4.0/22"]
)
def test_networks_are_carved_side_by_side(text: str) -> None:
    parts = [ipaddress.IPv4Network(network.carved(one, text).network) for one in network._ALL]
    assert all(part.subnet_of(ipaddress.IPv4Network(text)) for part in parts)
    assert not any(a.overlaps(b) for a in parts for b in parts if a is not b)
    if text == network.DEFAULT_NETWORK:
        assert [str(part) for part in parts] == [one.network for one in network._ALL]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.213",
        "10.213.0.1/16",
        "10.213.0.0/24",
        "0.0.0.0/0",
        "127.0.0.0/8",
        "224.0.0.0/8",
        "fd00::/64",
        "x",
    ],
)
def test_what_can_t_be_carved_is_refused(text: str) -> None:
    with pytest.raises(BackendError, match="vcompare_network") as caught:
        network.check_network(text)
    assert "10.213.0.0/16" in caught.value.remedy
