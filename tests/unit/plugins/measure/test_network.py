# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What iperf3 and sockperf print, and servers that are there for as long as they are needed."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    network,
    served,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.stage import Stage
from hypothesis import given
from hypothesis import strategies as st

from .conftest import LocalBackend

OUTPUTS = pathlib.Path(__file__).parent / "outputs"
ROUND_TRIP = (OUTPUTS / "network-round-trip.stdout").read_text(encoding="utf-8")
THROUGHPUT = (OUTPUTS / "network-throughput.json").read_text(encoding="utf-8")
# Read by eye.
MEDIAN_US = 4.373
MIB_S = 2658009088 / 1.000493 / 1048576


def test_values_of_real_outputs() -> None:
    assert network.round_trip(ROUND_TRIP)[0] == MEDIAN_US
    assert network.throughput(THROUGHPUT, 1)[0] == pytest.approx(MIB_S)


@given(st.integers(0, max(len(ROUND_TRIP), len(THROUGHPUT))))
def test_truncated_outputs_give_the_value_or_an_error(cut: int) -> None:
    for read, text, value in (
        (network.round_trip, ROUND_TRIP, MEDIAN_US),
        (lambda text: network.throughput(text, 1), THROUGHPUT, MIB_S),
    ):
        try:
            found, _words = read(text[:cut])
        except BackendError as error:
            assert error.message
        else:
            assert found == pytest.approx(value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # Half of it is what sockperf prints without --full-rtt.
        ("Round trip is", "Latency is", "the round trip"),
        ("dropped messages = 0", "dropped messages = 3", "lost 3 messages"),
        ("percentile 50.000", "percentile 51.000", "the median"),
    ],
)
def test_something_else_than_round_trips_is_refused(old: str, new: str, said: str) -> None:
    assert old in ROUND_TRIP
    with pytest.raises(BackendError, match=said):
        network.round_trip(ROUND_TRIP.replace(old, new))


def test_what_iperf3_says_went_wrong_is_said() -> None:
    said = json.dumps({"start": {}, "error": "unable to connect to server: Connection refused"})
    with pytest.raises(BackendError, match="Connection refused"):
        network.throughput(said, 1)
    with pytest.raises(BackendError, match="instead of 5 s"):
        network.throughput(THROUGHPUT, 5)
    for text in ("", "[]", "{}", '{"end": {"sum_received": {}}}', '{"end": []}'):
        with pytest.raises(BackendError, match="did not say what arrived"):
            network.throughput(text, 1)


@pytest.fixture
def stage(address: str) -> Stage:
    """As much of a stage as a server needs: commands run, on this machine."""
    backend = LocalBackend("bare", address)

    def run(argv: t.Sequence[str], timeout_s: float) -> Result:
        return backend.run("vc-a", argv, timeout_s)

    return SimpleNamespace(run=run)  # type: ignore[return-value]


def listens(address: str, port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((address, port)) == 0


needs_ss = pytest.mark.skipif(
    not (shutil.which("ss") and shutil.which("setsid")), reason="ss or setsid is not installed"
)


@needs_ss
def test_a_server_is_there_for_as_long_as_it_is_needed(
    stage: Stage, address: str, redis_server: str
) -> None:
    argv = [redis_server, "--bind", address, "--port", "7379", "--save", ""]
    with (
        pytest.raises(ZeroDivisionError),
        served.serving(stage, address, 7379, argv),
    ):
        assert listens(address, 7379)
        raise ZeroDivisionError
    assert wait_until(lambda: not listens(address, 7379), 10)


@needs_ss
@pytest.mark.parametrize("argv", [["sh", "-c", "echo no such port >&2; exit 3"], ["/no/such"]])
def test_a_server_that_does_not_begin_is_said(stage: Stage, address: str, argv: list[str]) -> None:
    with (
        pytest.raises(BackendError, match=r"inside ended with 1: .*no.such"),
        served.serving(stage, address, 7380, argv),
    ):
        pytest.fail("it was taken for one that listens")


def test_another_process_with_its_number_is_left_alone() -> None:
    """Where an instance shares the host's processes."""
    script = ["/bin/sh", "-c", served._END, "end", str(os.getpid()), "iperf3"]
    result: Result = LocalBackend("bare", "").run("vc-a", script, 10)
    assert result.rc == 0
