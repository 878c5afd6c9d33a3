# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a node can be reached: its forwarded port, and ssh with the lab's own keys."""

from __future__ import annotations

import socket
import subprocess
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import PAIR_PORT, Lab, Node

# A command that began close to the deadline gets so long all the same.
_LEAST_S = 30.0
# The most that a node took to boot, in boots of the lab's kernel alone under TCG: into Linux, and into Xen.
_BOOTS, _BOOTS_OF_XEN = 60, 180


def boot_deadline_s(
    asked_s: float, acceleration: t.Mapping[str, t.Any], restarted: bool = False
) -> float:
    """Seconds that a node may take to boot: what was asked for, and more on a slow lab server.

    :param acceleration: what `acceleration.Ladder` proved; ``tcg_boot_s`` is null where that was not measured.
    :param restarted: whether it may boot into Xen.
    """
    boots = _BOOTS_OF_XEN if restarted else _BOOTS
    return max(asked_s, boots * float(acceleration.get("tcg_boot_s") or 0.0))


def ssh_arguments(lab: Lab, node: Node) -> list[str]:
    """ssh to a node: its own key, its own host key, and nothing of the user's configuration."""
    return [
        *("ssh", "-F", "/dev/null", "-i", f"{lab.keys}/id_ed25519", "-p", str(node.port)),
        *("-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"),
        f"root@{node.address}",
    ]


def in_use(node: Node) -> bool:
    """Whether something listens on the node's address and port already."""
    with socket.socket() as probe:
        # A connection of an earlier lab that is still winding up must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((node.address, node.port))
        except OSError:
            return True
    return False


def pair_in_use(node: Node) -> bool:
    """Whether something takes datagrams already where the node's second card would."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((node.address, PAIR_PORT))
        except OSError:
            return True
    return False


def _banner(node: Node) -> bool:
    # User networking accepts for a node that does not listen yet, so only what it says counts.
    try:
        with socket.create_connection((node.address, node.port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait(
    lab: Lab,
    node: Node,
    timeout_s: float,
    alive: t.Callable[[], bool],
    console: t.Callable[[], str],
) -> float:
    """Wait until a command runs on the node over ssh, and set its clock; return the seconds that it took.

    A node that starts from a snapshot has the time of the snapshot.

    :param alive: whether its domain still runs; asked every few seconds.
    :param console: the last lines of its console.
    :raises VcompareError: the deadline passed or the domain ended.
    """
    begin = time.monotonic()
    deadline = begin + timeout_s
    tried, last = 0, "no connection"
    next_look = begin + 5
    while time.monotonic() < deadline:
        tried += 1
        if _banner(node):
            try:
                done = subprocess.run(
                    [*ssh_arguments(lab, node), "date", "-u", "-s", f"@{time.time():.0f}"],
                    check=False,
                    capture_output=True,
                    stdin=subprocess.DEVNULL,
                    timeout=max(_LEAST_S, deadline - time.monotonic()),
                )
            except subprocess.TimeoutExpired:
                last = "ssh connected, and nothing came back"
                break
            if done.returncode == 0:
                return time.monotonic() - begin
            last = command.tail(done.stderr, 3)
            if "Host key verification failed" in last:
                break
        if time.monotonic() > next_look:
            next_look = time.monotonic() + 5
            if not alive():
                raise VcompareError(
                    f"The node {node.name} ended while it started.",
                    "See its console below.",
                    console(),
                )
        time.sleep(0.2)
    raise VcompareError(
        f"The node {node.name} ({node.address}:{node.port}) was not reached over ssh within "
        f"{time.monotonic() - begin:.0f} s; {tried} attempts, the last: {last}.",
        "See the last lines of its console below; on a slow machine raise nested_lab_boot_timeout.",
        console(),
    )
