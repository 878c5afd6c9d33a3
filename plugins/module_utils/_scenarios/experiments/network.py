# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way between the host and an instance: how much goes through it, and how long a word there and back takes.

The server is inside, and the client is a process of the host's own from the same root file system, on another CPU where
the host has one. So what is between the two is what the technology puts there: nothing but the loopback interface for
plain processes, a bridge and a pair of interfaces for containers, and a virtual card on it for machines. No cable.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Metric,
    Stage,
    Step,
    replied,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.served import (
    serving,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    WorkloadError,
    find,
)

NAME = "network"
THROUGHPUT = Metric(NAME, "throughput", "MiB/s", "higher", 0.001, 1e6)
ROUND_TRIP = Metric(NAME, "round_trip_time", "us", "lower", 0.1, 1e7)

THROUGHPUT_PORT, ROUND_TRIP_PORT = 5201, 11111
# Until TCP's window is open, and an emulated processor has translated the path.
_OMITTED_S = 1
# sockperf takes 0.45 s of its time for warming up and ending.
_LEAST_ROUND_TRIP_S = 2
_BYTES = 64

_KIND = re.compile(r"^sockperf: Summary: Round trip is ([0-9.]+) usec *$", re.MULTILINE)
_MEDIAN = re.compile(r"^sockperf: ---> percentile 50\.000 = +([0-9.]+)\n", re.MULTILINE)
_LOST = re.compile(r"# dropped messages = ([0-9]+);", re.MULTILINE)
_SEEN = re.compile(r"Total ([0-9]+) observations", re.MULTILINE)
# Fewer have no median to speak of.
_LEAST_SEEN = 20


def measured(stage: Stage) -> t.Iterator[Figure]:
    """Send to the instance for a fixed time; then ask it again and again, one question at a time."""
    address = stage.backend.address(stage.spec)
    client = stage.outside("net")
    at, port = ["-B", address], ["-p", str(THROUGHPUT_PORT)]
    with serving(stage, address, THROUGHPUT_PORT, ["iperf3", "-s", "-1", *at, *port]):
        argv = ["iperf3", "-c", address, *port, "-t", str(stage.seconds)]
        argv += ["-O", str(_OMITTED_S), "-J"]
        result = stage.run_outside(client, argv, 60.0 + stage.seconds)
        value, text = throughput(result.stdout, stage.seconds)
        yield Figure(THROUGHPUT, value, text)
    seconds = max(stage.seconds, _LEAST_ROUND_TRIP_S)
    where = ["--tcp", "-i", address, "-p", str(ROUND_TRIP_PORT)]
    with serving(stage, address, ROUND_TRIP_PORT, ["sockperf", "server", *where]):
        argv = [
            "sockperf",
            "ping-pong",
            *where,
            "-t",
            str(seconds),
            "-m",
            str(_BYTES),
            "--full-rtt",
        ]
        result = stage.run_outside(client, argv, 60.0 + seconds)
        value, text = round_trip(replied(result, "sockperf from the host"))
        yield Figure(ROUND_TRIP, value, text)
    stage.gone_outside(client)


def throughput(text: str, seconds: int) -> tuple[float, str]:
    """Read what arrived in the instance, in MiB per second, from iperf3's JSON.

    :raises BackendError: iperf3 had an error, or ended early.
    """
    try:
        said = json.loads(text)
        if said.get("error"):
            raise BackendError(f"iperf3 from the host: {said['error']}")
        received = said["end"]["sum_received"]
        count, spent_s = int(received["bytes"]), float(received["seconds"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackendError(
            f"iperf3 from the host did not say what arrived: {text.strip()[-200:] or 'nothing'}"
        ) from None
    if spent_s < seconds * 0.99:
        raise BackendError(f"iperf3 ran for {spent_s:g} s instead of {seconds} s")
    return count / spent_s / (
        1 << 20
    ), f"{count} bytes arrived in {spent_s:g} s, by iperf3 over TCP"


def round_trip(text: str) -> tuple[float, str]:
    """Read the median of the round trips in microseconds from what sockperf printed.

    :raises BackendError: it did not measure round trips, lost some, or had too few.
    """
    try:
        mean = float(find(_KIND, text, "the round trip").group(1))
        median = float(find(_MEDIAN, text, "the median").group(1))
        lost = int(find(_LOST, text, "the number of dropped messages").group(1))
        seen = int(find(_SEEN, text, "the number of observations").group(1))
    except WorkloadError as error:
        raise BackendError(f"sockperf from the host: {error}") from None
    if lost or seen < _LEAST_SEEN:
        raise BackendError(f"sockperf saw {seen} round trips and lost {lost} messages")
    return (
        median,
        f"median of {seen} round trips of {_BYTES} bytes over TCP; their mean is {mean:g} us",
    )


EXPERIMENT = Experiment(NAME, (Step(LATER, (THROUGHPUT, ROUND_TRIP), measured),), without=())
