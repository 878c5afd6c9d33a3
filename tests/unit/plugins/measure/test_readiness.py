# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The poller sees the first correct reply when it comes, and nothing else as one."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import readiness
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.readiness import (
    NotReady,
    Poller,
)

Serve = Callable[..., int]


def pong(connection: socket.socket) -> None:
    connection.settimeout(2)
    if connection.recv(64) == b"PING\r\n":
        connection.sendall(b"+PONG\r\n")
    connection.close()


def wait(address: str, port: int, timeout_s: float = 5.0) -> readiness.Readiness:
    return Poller(address, port).wait(time.monotonic(), timeout_s)


def test_a_server_that_listens_late(serve: Serve, address: str) -> None:
    began = time.monotonic()
    port = serve(pong, 0.7)
    found = Poller(address, port).wait(began, 20)
    # Not earlier than it listens, and not later than it was found.
    assert 0.7 <= found.elapsed_s <= time.monotonic() - began
    assert found.polls > 20
    assert found.wrong_replies == 0
    assert found.last_gap_s <= found.largest_gap_s


def test_elapsed_counts_from_the_given_start(serve: Serve, address: str) -> None:
    port = serve(pong)
    time.sleep(0.1)
    began = time.monotonic() - 100
    found = Poller(address, port).wait(began, 200)
    assert 100 < found.elapsed_s <= time.monotonic() - began


def test_a_long_start_is_looked_at_less_often(serve: Serve, address: str) -> None:
    port = serve(pong, 1.2)
    found = Poller(address, port).wait(time.monotonic() - 100, 200)
    # Half a second between looks, which is half a per cent of what it took by then.
    assert 2 <= found.polls <= 2 + (found.elapsed_s - 100) / 0.5
    assert found.elapsed_s > 101.2
    assert found.last_gap_s < 0.01 * found.elapsed_s or found.starved


@pytest.mark.parametrize(
    "reply",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"+PONG",
        b"+PONG\r\n+PONG\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ],
)
def test_a_wrong_reply_is_not_ready(serve: Serve, address: str, reply: bytes) -> None:
    def wrong(connection: socket.socket) -> None:
        connection.settimeout(2)
        connection.recv(64)
        connection.sendall(reply)
        connection.close()

    port = serve(wrong)
    with pytest.raises(NotReady, match=f"{address}:{port}"):
        wait(address, port, 0.4)


def test_loading_and_then_ready(serve: Serve, address: str) -> None:
    began = time.monotonic()

    def loading(connection: socket.socket) -> None:
        connection.settimeout(2)
        if time.monotonic() - began > 0.4:
            pong(connection)
        else:
            connection.recv(64)
            connection.sendall(b"-LOADING\r\n")
            connection.close()

    port = serve(loading)
    found = Poller(address, port).wait(began, 30)
    assert 0.4 <= found.elapsed_s <= time.monotonic() - began
    assert found.wrong_replies > 0


def test_a_reply_in_pieces(serve: Serve, address: str) -> None:
    def pieces(connection: socket.socket) -> None:
        connection.settimeout(2)
        connection.recv(64)
        for byte in b"+PONG\r\n":
            connection.sendall(bytes([byte]))
            time.sleep(0.01)

    assert wait(address, serve(pieces)).wrong_replies == 0


def test_a_slow_reply_to_the_first_connection_is_seen(serve: Serve, address: str) -> None:
    """Its connection is still there, although hundreds of others were tried since."""
    held: list[socket.socket] = []
    files: list[int] = []

    def slow(connection: socket.socket) -> None:
        held.append(connection)
        files.append(len(os.listdir("/proc/self/fd")) - len(held))
        if len(held) == 60:
            threading.Thread(target=pong, args=held[:1]).start()

    # No other connection gets a reply.
    wait(address, serve(slow), 60)
    assert len(held) >= 60
    # Those of the client side are bounded.
    assert max(files) - min(files) <= 16 + 32


def test_silence_is_given_up_at_the_deadline(serve: Serve, address: str) -> None:
    port = serve(lambda connection: None)
    began = time.monotonic()
    with pytest.raises(NotReady, match="0 wrong replies"):
        wait(address, port, 0.5)
    assert 0.5 <= time.monotonic() - began < 5


def test_nobody_there_and_no_file_left_open(address: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotReady, match="Connection refused"):
        wait(address, 1, 0.3)
    assert len(os.listdir("/proc/self/fd")) == before


def test_cancel_ends_the_wait(address: str) -> None:
    poller = Poller(address, 1)
    threading.Timer(0.2, poller.cancel).start()
    began = time.monotonic()
    with pytest.raises(readiness.Cancelled):
        poller.wait(began, 60)
    assert time.monotonic() - began < 30


def test_an_error_of_our_own_is_raised_at_once() -> None:
    """Too many open files: no waiting will cure that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    poller = Poller("127.0.0.1", 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            poller.wait(time.monotonic(), 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_starved_poller_says_so() -> None:
    fine = readiness.Readiness(100.0, 200, 0.5, 0.5, 0, latest_s=0.006)
    starved = readiness.Readiness(1.0, 100, 0.2, 0.004, 0, latest_s=0.196)
    assert not fine.starved
    assert starved.starved
    assert "starved: True" in starved.text()
    assert "largest_gap_s: 0.2" in starved.text()


def test_the_poller_keeps_off_the_cpus_of_the_instance(address: str) -> None:
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        pytest.skip("needs two processors")
    seen: list[set[int]] = []

    class Watching(Poller):
        def _poll(self, now: float) -> None:
            seen.append(os.sched_getaffinity(0))
            super()._poll(now)

    last = max(cpus)
    with pytest.raises(NotReady):
        Watching(address, 1, avoid_cpus=[last]).wait(time.monotonic(), 0.05)
    assert all(last not in each for each in seen)
    assert os.sched_getaffinity(0) == cpus


def test_a_real_redis(address: str, redis_server: str) -> None:
    assert not readiness.answers(address, 6379)
    started = time.monotonic()
    with subprocess.Popen(
        [redis_server, "--bind", address, "--port", "6379", "--save", ""], stdout=subprocess.DEVNULL
    ) as process:
        try:
            found = Poller(address, 6379).wait(started, 60)
            assert 0.001 < found.elapsed_s <= time.monotonic() - started
            assert readiness.answers(address, 6379)
        finally:
            process.kill()


def test_what_was_given_up_is_not_heard_of_while_a_copy_is_open(serve: Serve, address: str) -> None:
    """A program that is being started has copies of our sockets until it is loaded."""
    poller = Poller(address, serve(lambda connection: time.sleep(1)))
    poller._poll(time.monotonic())
    assert len(poller._connecting) == 1
    number = next(iter(poller._connecting))
    copy = os.dup(number)
    try:
        poller._drop(poller._connecting[number])
        assert poller._epoll.poll(0.3) == []
    finally:
        os.close(copy)
