# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A second application: memcaslap reads from and writes to a memcached of its own instance, a fixed number of times.

Nine of ten requests are reads, of values of a kilobyte: memcaslap's own mixture. The server is started for each
iteration and ended after it, and its start is not in the figure. Client and server share the instance, as with redis.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    Workload,
    WorkloadError,
    WorkSpec,
    find,
)

NAME = "memcached"
_REQUESTS = 20_000
_CLIENTS = 8
_PORT = 11211
_MEMORY_MIB = 64
# memcaslap of libmemcached 1.1: the time has one decimal, so the printed rate is the exact one.
_DONE = re.compile(r"^Run time: ([0-9.]+)s Ops: ([0-9]+) TPS: ([0-9]+) Net_rate: ", re.MULTILINE)
_MISSES = re.compile(r"^get_misses: ([0-9]+)$", re.MULTILINE)
# Half of the last digit, and a little; a rate is printed without decimals.
_ROUNDING_S = 0.051

# The application's own address, as in startup.py. It ends with the shell, whatever becomes of the client.
_SCRIPT = (
    "memcached -u root -l $1 -p $2 -m $3 -t $4 & server=$!; trap 'kill $server; wait $server' EXIT; tries=0; "
    "until memcping --servers=$1:$2 2>/dev/null; do tries=$((tries + 1)); "
    "[ $tries -lt 300 ] && [ -d /proc/$server ] || exit 1; sleep 0.1; done; "
    "memcaslap --servers=$1:$2 --execute_number=$5 --concurrency=$6 --threads=1"
)


def _count(spec: WorkSpec) -> int:
    asked = spec.loops.get(NAME, _REQUESTS)
    asked = asked // 10 if spec.warmup else asked
    # Each of the clients does as many.
    return max(asked // _CLIENTS, 1) * _CLIENTS


def argv(spec: WorkSpec) -> list[str]:
    """The command line."""
    values = (_PORT, _MEMORY_MIB, spec.vcpus, _count(spec), _CLIENTS)
    return ["/bin/sh", "-c", _SCRIPT, NAME, spec.address, *map(str, values)]


def parse(spec: WorkSpec, stdout: str, stderr: str) -> float:
    """Read requests per second."""
    done = find(_DONE, stdout, "the rate")
    seconds, requests, rate = float(done.group(1)), int(done.group(2)), int(done.group(3))
    if requests != _count(spec):
        raise WorkloadError(f"memcaslap made {requests} requests instead of {_count(spec)}")
    misses = int(find(_MISSES, stdout, "'get_misses'").group(1))
    if misses:
        raise WorkloadError(f"memcached did not have {misses} of the values that were asked for")
    least = requests / (seconds + _ROUNDING_S) - 1
    most = requests / (seconds - _ROUNDING_S) + 1 if seconds > _ROUNDING_S else float("inf")
    if not least <= rate <= most:
        raise WorkloadError(
            f"memcaslap printed {rate} requests a second, but its own counts give {least:g} to {most:g}"
        )
    return float(rate)


WORKLOAD = Workload(
    name=NAME,
    metric="requests_per_second",
    unit="1/s",
    direction="higher",
    argv=argv,
    parse=parse,
    # One processor answers some hundred thousand; a hundred times as many need many clients.
    low=0.1,
    high=1e7,
)
