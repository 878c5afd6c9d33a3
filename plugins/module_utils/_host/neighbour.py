# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a new address on a bridge of ours visible within milliseconds instead of seconds.

Linux asks for the hardware address of an unknown neighbour once a second, and keeps the packets for
it until then; and it believes an old hardware address for seconds. Either would add up to some
seconds of the host's own doing to the time in which a virtual machine starts, and none to that of
an instance whose address is on the host itself. So, on bridges of ours only, the host asks every
few milliseconds while a start is timed, and forgets what it knew of the address before.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import subprocess
import typing as t

_ROUTES = "/proc/net/route"
_SETTING = "/proc/sys/net/ipv4/neigh/{interface}/retrans_time_ms"
# Names of our bridges (docs/contracts.md).
_OURS = re.compile(r"vc[a-z0-9]+\Z")
_RETRANS_MS = "10"


def interface_of(address: str, routes: str) -> str:
    """Return the interface that a routing table sends an address to, or an empty string.

    :param routes: text of ``/proc/net/route`` (addresses in it are little-endian hexadecimal).
    """
    wanted = int(ipaddress.IPv4Address(address))
    best, found = -1, ""
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        network = int.from_bytes(bytes.fromhex(fields[1]), "little")
        mask = int.from_bytes(bytes.fromhex(fields[7]), "little")
        if wanted & mask == network and mask > best:
            best, found = mask, fields[0]
    return found


@contextlib.contextmanager
def noticed_quickly(address: str) -> t.Iterator[str]:
    """While this lasts, a neighbour that comes up at the address is noticed within about 10 ms.

    Gives the name of the interface that was changed, or an empty string when the address is not on
    a bridge of ours. The setting is put back afterwards.
    """
    try:
        with open(_ROUTES, encoding="ascii") as handle:
            interface = interface_of(address, handle.read())
    except OSError:
        interface = ""
    path = _SETTING.format(interface=interface)
    if not _OURS.match(interface) or not os.access(path, os.W_OK):
        yield ""
        return
    with open(path, encoding="ascii") as handle:
        before = handle.read().strip()
    _forget(address, interface)
    _write(path, _RETRANS_MS)
    try:
        yield interface
    finally:
        _write(path, before)


def _forget(address: str, interface: str) -> None:
    """Drop the entry of an address: its next owner has another hardware address."""
    program = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program:
        subprocess.run(
            [program, "neigh", "flush", "to", address, "dev", interface],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=10,
            check=False,
        )


def _write(path: str, value: str) -> None:
    # The bridge may be gone by now, together with its settings.
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as handle:
        handle.write(value)
