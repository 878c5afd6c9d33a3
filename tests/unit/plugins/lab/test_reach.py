"""Waiting for a node: what answers, what does not, and what the user is told of it."""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import reach
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab, Node


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(str(tmp_path), "default")


@pytest.fixture
def listening() -> t.Iterator[Node]:
    """A node that greets as sshd does, and says no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[socket.socket] = []

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    connections.append(connection)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield Node("lab-linux", "127.0.0.1", server.getsockname()[1], "no-domain")
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in connections:
            connection.close()


def _ssh_is(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a shell script in the place of ssh; it adds a line to ``calls`` each time."""
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\necho called >>{folder}/calls\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def _message(lab: Lab, node: Node, timeout_s: float, alive: bool = True) -> str:
    with pytest.raises(VcompareError) as caught:
        reach.wait(lab, node, timeout_s, lambda: alive, lambda: "the last of its console")
    assert "the last of its console" in str(caught.value.evidence)
    return str(caught.value)


def test_a_command_that_runs_is_enough(
    lab: Lab, listening: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ssh_is(tmp_path, "exit 0", monkeypatch)
    assert 0 <= reach.wait(lab, listening, 30, lambda: True, lambda: "") < 30


def test_ssh_that_connects_and_stays_silent_ends_with_the_console(
    lab: Lab, listening: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ssh_is(tmp_path, "exec sleep 60", monkeypatch)
    monkeypatch.setattr(reach, "_LEAST_S", 0.1)
    assert "ssh connected, and nothing came back" in _message(lab, listening, 0.5)


def test_a_wrong_host_key_is_not_tried_again(
    lab: Lab, listening: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ssh_is(tmp_path, "echo 'Host key verification failed.' >&2; exit 255", monkeypatch)
    assert "Host key verification failed" in _message(lab, listening, 60)
    assert (tmp_path / "calls").read_text(encoding="utf-8").count("called") == 1


def test_what_ssh_said_last_is_told(
    lab: Lab, listening: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ssh_is(tmp_path, "echo 'Permission denied (publickey).' >&2; exit 255", monkeypatch)
    assert "Permission denied" in _message(lab, listening, 1)


def test_a_port_where_nobody_listens(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        node = Node("lab-xen", "127.0.0.1", server.getsockname()[1], "no-domain")
        assert reach.in_use(node)
    assert not reach.in_use(node)
    assert "no connection" in _message(lab, node, 0.5)


def test_a_domain_that_ended_is_not_waited_for(
    lab: Lab, listening: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ssh_is(tmp_path, "exit 255", monkeypatch)
    assert "ended while it started" in _message(lab, listening, 60, alive=False)
