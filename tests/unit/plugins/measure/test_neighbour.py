# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An address that comes up is seen at once, not at the next of ARP's questions."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host import neighbour
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.readiness import Poller

# Captured on a host with Docker; the last route is the default one.
ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0102A8C0	0003	0	0	0	00000000	0	0	0
vcdocker0	0001D50A	00000000	0001	0	0	0	00FFFFFF	0	0	0
vckvm0	0002D50A	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	0000D50A	00000000	0001	0	0	0	0000FFFF	0	0	0
"""


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("10.213.1.7", "vcdocker0"),
        ("10.213.2.250", "vckvm0"),
        ("10.213.9.9", "eth0"),
        ("198.51.100.1", "eth0"),
    ],
)
def test_the_longest_prefix_decides(address: str, interface: str) -> None:
    assert neighbour.interface_of(address, ROUTES) == interface


def test_no_route_no_interface() -> None:
    assert neighbour.interface_of("10.0.0.1", ROUTES.splitlines()[0]) == ""


def test_only_our_own_bridges_are_touched() -> None:
    with neighbour.noticed_quickly("127.0.0.1") as interface:
        assert interface == ""


# Of this process alone: another test suite may run on this machine, or have been killed on it.
NUMBER = os.getpid() % 250
NAMESPACE, BRIDGE, ADDRESS = f"vctest{os.getpid()}", f"vct{os.getpid()}", f"10.213.{NUMBER}.7"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@pytest.fixture
def other_host() -> Iterator[None]:
    """A network namespace behind an interface of ours, with a server that has no address yet."""
    if os.geteuid() != 0:
        pytest.skip("making a network namespace takes root")
    try:
        ip("netns", "add", NAMESPACE)
        ip("link", "add", BRIDGE, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
        ip("addr", "add", f"10.213.{NUMBER}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        ip("-n", NAMESPACE, "link", "set", "eth0", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)
        pytest.skip(f"no network namespaces here: {error}")
    server = subprocess.Popen(
        ["ip", "netns", "exec", NAMESPACE, "python3", "-c", SERVER], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"listening\n"
    yield
    server.kill()
    server.wait()
    server.stdout.close()
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
    ip("netns", "del", NAMESPACE)


SERVER = """
import socket
listener = socket.create_server(("0.0.0.0", 6379), backlog=512)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    if connection.recv(64):
        connection.sendall(b"+PONG\\r\\n")
    connection.close()
"""


@pytest.mark.usefixtures("other_host")
def test_an_address_that_comes_up_is_seen_at_once() -> None:
    """Without the setting, the same takes until ARP's next question: 20 s here."""
    setting = pathlib.Path(f"/proc/sys/net/ipv4/neigh/{BRIDGE}/retrans_time_ms")
    setting.write_text("20000")
    before = setting.read_text()
    came_up: list[float] = []

    def come_up() -> None:
        time.sleep(1.3)
        ip("-n", NAMESPACE, "addr", "add", f"{ADDRESS}/24", "dev", "eth0")
        came_up.append(time.monotonic())

    thread = threading.Thread(target=come_up)
    with neighbour.noticed_quickly(ADDRESS) as interface:
        assert interface == BRIDGE
        assert setting.read_text() != before
        thread.start()
        started = time.monotonic()
        found = Poller(ADDRESS, 6379).wait(started, 60)
        thread.join()
    assert setting.read_text() == before
    assert started + found.elapsed_s - came_up[0] < 10


def test_a_bridge_that_is_gone_is_no_error() -> None:
    setting = pathlib.Path("/proc/sys/net/ipv4/neigh/vcgone0/retrans_time_ms")
    assert not setting.exists()
    neighbour._write(str(setting), "10")
    assert not setting.exists()


def test_addresses_are_what_the_kernel_says() -> None:
    """The real table of this machine can be read."""
    routes = pathlib.Path("/proc/net/route").read_text()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))
        except OSError:
            assert neighbour.interface_of("198.51.100.1", routes) == ""
            return
    assert neighbour.interface_of("198.51.100.1", routes)
