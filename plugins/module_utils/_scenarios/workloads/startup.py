# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time to the first correct reply of redis, seen from the host; see ``readiness.py``.

Not a command that runs inside, so it has no command line of a workload: it is what the instance's
application is, and between which values its figure may lie.
"""

from __future__ import annotations

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import Metric

NAME = "startup"
METRIC = "time_to_first_reply"
UNIT = "s"
DIRECTION = "lower"
PORT = 6379

# The fastest published start of anything with an application in it is above a millisecond
# (LightVM's unikernel: 2.3 ms); an hour is longer than any deadline of ours.
LOW = 0.001
HIGH = 3600.0
FIGURE = Metric(NAME, METRIC, UNIT, DIRECTION, LOW, HIGH)


def command(address: str) -> tuple[str, ...]:
    """The application of an instance: redis without persistence, on the instance's own address.

    The address is given in every arm, since the arms that share the host's network (bare, dom0)
    must not listen on addresses that are not theirs, and the command shall be the same in each.
    """
    return (
        "redis-server",
        "--bind",
        address,
        "--port",
        str(PORT),
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
    )
