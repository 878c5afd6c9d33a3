# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host that was lost in a block was reset, and in which arm's turn.

Some work is more than a host bears: that is a finding about the arm, and no reason to lose the others. What a module
had measured by then is lost with the host; its journal, which is on the disk before a thing is made, tells how far it
was. A node of a lab that fell silent is reset by us; a host that is not ours is waited for, and never touched.
"""

from __future__ import annotations

import json
import subprocess
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR

# As long as a silent node is waited for elsewhere.
BACK_S = 300.0
# One that was reset by itself is up by then.
BOOTS_S = 120.0
_PAUSE_S = 5.0
_RESET_S = 60.0
# An emulated host's clock may be so much too fast or too slow.
_CLOCK = 0.97
# Its services first: the arms that are left need them.
_COMMAND = (
    "timeout 120 systemctl is-system-running --wait >/dev/null 2>&1;"
    f" cut -d' ' -f1 /proc/uptime && tail -n 50 {STATE_DIR}/journal.jsonl"
)


def culprit(
    on_host: t.Callable[[str], str],
    began: float,
    names: t.Mapping[str, str],
    strike: t.Callable[[], bool] | None = None,
    back_s: float = BACK_S,
    boots_s: float = BOOTS_S,
    pause_s: float = _PAUSE_S,
) -> tuple[str, str]:
    """Wait for a lost host; return the arm whose turn it did not survive, and how that was seen.

    Both are empty where it does not come back in time, was up all the time, or had made none of the instances.

    :param on_host: runs a command there and returns its output; raises AnsibleConnectionFailure.
    :param began: when the block was sent, by the monotonic clock.
    :param names: of the arms' instances, by arm; those of their company begin with them.
    :param strike: resets a silent node of a lab; says whether there was one to reset.
    """
    deadline = time.monotonic() + back_s
    silent = False
    while True:
        try:
            said = on_host(_COMMAND).splitlines()
            break
        except AnsibleConnectionFailure:
            now = time.monotonic()
            if strike and not silent and now > deadline - back_s + boots_s:
                if not strike():
                    return "", ""
                silent, deadline = True, now + back_s
            if now > deadline:
                return "", ""
            time.sleep(pause_s)
    try:
        up_s = float(said[0])
    except (IndexError, ValueError):
        return "", ""
    if up_s > _CLOCK * (time.monotonic() - began):
        return "", ""
    for line in reversed(said[1:]):
        arm, made = _maker(line, names)
        if arm:
            what = "fell silent, and had to be reset" if silent else "was reset"
            return (
                arm,
                f"the host {what}, in the turn of {arm} ({made} was the last that was made there)",
            )
    return "", ""


def node(domain: str) -> bool:
    """Reset a node of a lab on this machine, like its reset button; return whether it was there and is reset."""
    argv = ["virsh", "--connect", "qemu:///system", "reset", domain]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_RESET_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _maker(line: str, names: t.Mapping[str, str]) -> tuple[str, str]:
    """Return whose instance a line of the journal says to be made, and its name."""
    try:
        record = json.loads(line)
        made = str(record["id"]) if record["op"] == "create" else ""
    except (ValueError, KeyError, TypeError):
        return "", ""
    # The longest: another arm's name may begin with this one's.
    whose = [arm for arm, name in names.items() if made == name or made.startswith(f"{name}-")]
    return max(whose, key=len, default=""), made
