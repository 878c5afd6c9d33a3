# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two hosts as a pool: who takes the next instance, what counts as away, what the one may do on the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import kvm, xen
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Image,
    InstanceSpec,
    Result,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import pool
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import (
    access,
    agent,
    client,
    placement,
    probe,
)
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Arms
from .test_experiments import quiet_host, samples

__all__ = ["quiet_host"]

OFFERS = st.floats(600, 500_000)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6xT0vQe9mSzJg1bE0h8p8Yk3nq0l5Jm1mJtQm0x1yZ"


# Placing


@given(OFFERS, OFFERS, st.integers(64, 1024))
def test_a_pool_becomes_full_and_no_host_promises_what_it_has_not(
    one: float, other: float, least: int
) -> None:
    hosts = (placement.Host("a", one), placement.Host("b", other))
    size = placement.size_mib((one, other), least)
    assert size >= least
    for _step in range(5000):
        host = placement.choose(hosts, size)
        if host is None:
            break
        assert host.room_mib == max(each.room_mib for each in hosts)
        host.promise(size)
    assert not any(host.takes(size) for host in hosts)
    for host in hosts:
        assert host.promised_mib <= max(0.0, host.offer_mib - placement.RESERVE_MIB)


def test_equal_hosts_are_filled_in_turn() -> None:
    hosts = (placement.Host("a", 2000), placement.Host("b", 2000))
    size = placement.size_mib((2000, 2000), 256)
    order = []
    while (host := placement.choose(hosts, size)) is not None:
        host.promise(size)
        order.append(host.name)
    assert order == ["a", "b", "a", "b"]


# The longest time without a reply


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0, 100), st.floats(0, 100))
def test_a_gap_lies_between_replies_and_holds_the_move(
    replies: list[float], one: float, other: float
) -> None:
    began, ended = min(one, other), max(one, other)
    gap = probe.longest_gap(replies, began, ended)
    assert 0 <= gap <= 100
    assert probe.longest_gap(sorted(replies, reverse=True), began, ended) == gap
    # One reply more never makes it longer.
    assert probe.longest_gap([*replies, (began + ended) / 2], began, ended) <= gap


def test_a_gap_is_counted_from_the_reply_before_to_the_reply_after() -> None:
    assert probe.longest_gap([1.0, 1.1, 1.2, 4.2, 4.3], 1.25, 4.0) == pytest.approx(3.0)
    # What was away before is not the move's doing.
    assert probe.longest_gap([1.0, 9.0, 9.1, 9.4], 9.15, 9.3) == pytest.approx(0.3)


def test_the_probe_sees_an_application_go_and_come(
    redis_server: str, address: str, tmp_path: Path
) -> None:
    def start() -> subprocess.Popen[bytes]:
        argv = [redis_server, "--bind", address, "--port", "6379", "--protected-mode", "no"]
        return subprocess.Popen(
            [*argv, "--save", "", "--dir", str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    server = start()
    try:
        with probe.Probe(address, 0.02) as looking:
            assert looking.wait_for_reply(0.0, 60)
            began = time.monotonic()
            server.kill()
            server.wait()
            time.sleep(0.5)
            server = start()
            ended = time.monotonic()
            assert looking.wait_for_reply(ended, 60)
            replied = time.monotonic()
            gap = looking.longest(began, replied)
        assert 0.5 <= gap <= replied - began + 0.1
        assert looking.usual_gap(began) < gap
    finally:
        server.kill()
        server.wait()


# What the key opens


def test_the_key_opens_as_little_as_can_be() -> None:
    line = access.authorised_line(KEY, "10.213.10.1", "/gate")
    assert line.startswith('restrict,from="10.213.10.1",command="/gate" ssh-ed25519 ')
    assert line.endswith(" vcompare-pool\n")


@pytest.mark.parametrize(
    ("key", "address"),
    [
        (f"{KEY}\nssh-ed25519 AAAA", "10.0.0.1"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA", "10.0.0.1"),
        ("", "10.0.0.1"),
        (KEY, '10.0.0.1",command="sh'),
        (KEY, "*"),
        (KEY, ""),
    ],
)
def test_what_could_open_more_is_refused(key: str, address: str) -> None:
    with pytest.raises(BackendError):
        access.authorised_line(key, address, "/gate")


@given(st.lists(st.sampled_from(["ssh-rsa AAAA me@home", "# a comment", "", KEY])))
def test_only_our_lines_go(lines: list[str]) -> None:
    theirs = "".join(f"{line}\n" for line in lines)
    ours = access.authorised_line(KEY, "10.0.0.1", "/gate")
    assert access.without_ours(theirs + ours) == theirs
    assert access.without_ours(ours + theirs) == theirs


@pytest.fixture
def gate(tmp_path: Path) -> t.Callable[[str], subprocess.CompletedProcess[str]]:
    """The gate, with programs behind it that say how they were called."""
    for name in ("virt-ssh-helper", "xl", "python3"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n', encoding="ascii")
        program.chmod(0o755)
    text = access.GATE.replace("PATH=/", f"PATH={tmp_path}:/").replace(
        "/usr/bin/python3", str(tmp_path / "python3")
    )
    path = tmp_path / "gate"
    path.write_text(text, encoding="ascii")

    def call(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(path)],
            env={**os.environ, "SSH_ORIGINAL_COMMAND": command},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'virt-ssh-helper qemu:///system'", "virt-ssh-helper qemu:///system\n"),
        ("sh -c 'virt-ssh-helper '\\''qemu:///system'\\'''", "virt-ssh-helper qemu:///system\n"),
        ("xl migrate-receive", "xl migrate-receive\n"),
        ("xl migrate-receive -e", "xl migrate-receive -e\n"),
    ],
)
def test_the_gate_lets_through_what_a_move_needs(
    gate: t.Callable[[str], subprocess.CompletedProcess[str]], command: str, said: str
) -> None:
    assert gate(command).stdout == said


def test_the_gate_lets_through_what_libvirt_asks_for(
    gate: t.Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """By the library that is here: what it sends is written nowhere."""
    if not kvm.HAS_LIBVIRT:
        pytest.skip("python3-libvirt is not installed")
    program, asked = tmp_path / "ssh", tmp_path / "asked"
    # The last word is the command.
    program.write_text(
        f'#!/bin/sh\nfor word; do :; done\nprintf %s "$word" > {asked}\nexit 1\n', encoding="ascii"
    )
    program.chmod(0o755)
    with pytest.raises(kvm.libvirt.libvirtError):
        kvm.libvirt.open(kvm.peer_uri("192.0.2.1", str(program)))
    assert gate(asked.read_text(encoding="utf-8")).stdout == "virt-ssh-helper qemu:///system\n"


def test_the_gate_starts_the_agent(
    gate: t.Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    assert "pool.agent import main" in gate(access.AGENT_COMMAND).stdout


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sh",
        "virt-ssh-helper 'qemu:///session'; sh",
        "sh -c 'virt-ssh-helper qemu:///system; sh'",
        "xl destroy 1",
        "xl migrate-receive; reboot",
        "xl migrate-receive -e; reboot",
        "xl migrate-receive $(reboot)",
        f"{access.AGENT_COMMAND}; sh",
        f"{access.AGENT_COMMAND}\nsh",
    ],
)
def test_the_gate_refuses_everything_else(
    gate: t.Callable[[str], subprocess.CompletedProcess[str]], command: str
) -> None:
    done = gate(command)
    assert (done.returncode, done.stdout) == (126, "")


def test_the_key_is_made_once_and_taken_away(tmp_path: Path) -> None:
    folder = str(tmp_path / "pool")
    first = access.make_key(folder)
    assert first == access.make_key(folder)
    assert first.startswith("ssh-ed25519 ")
    assert (tmp_path / "pool").stat().st_mode & 0o777 == 0o700
    assert access.take_away(folder)
    assert not access.take_away(folder)


def test_the_way_to_the_peer_knows_one_host_key(tmp_path: Path) -> None:
    program = access.write_client("10.213.10.2", KEY, str(tmp_path))
    text = Path(program).read_text(encoding="ascii")
    assert "StrictHostKeyChecking=yes" in text
    assert f"UserKnownHostsFile={tmp_path}/known_hosts" in text
    assert (tmp_path / "known_hosts").read_text(encoding="ascii") == f"10.213.10.2 {KEY}\n"
    with pytest.raises(BackendError, match="not a host key"):
        access.write_client("10.213.10.2", "", str(tmp_path))


# What the two say to each other


def test_a_specification_arrives_with_the_image_of_the_peer() -> None:
    here, there = Image("/dev/a", digest="sha256:1"), Image("/dev/b", digest="sha256:1")
    spec = InstanceSpec("vc-x", image=here, command=("redis", "--save", ""), options={"a": 1})
    arrived = agent.spec_of(agent.spec_to_plain(spec), there)
    assert arrived.image == there
    assert (arrived.command, arrived.options) == (spec.command, spec.options)


def test_an_agent_that_was_not_opened_does_nothing() -> None:
    mine = agent.Agent()
    assert "before it was opened" in mine.answer({"verb": "state", "name": "vc-x"})["failed"]
    assert "no verb" in mine.answer({"verb": "shell"})["failed"]
    assert "failed" in mine.answer({})
    assert mine.close() == ""


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> t.Callable[[str], client.Conversation]:
    """A conversation with a program in the agent's place."""
    monkeypatch.setattr(access, "write_client", lambda address, key, **more: "ssh")

    def begin(program: str) -> client.Conversation:
        def popen(_program: str, _address: str) -> subprocess.Popen[bytes]:
            pipe = subprocess.PIPE
            return subprocess.Popen(
                [sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe
            )

        monkeypatch.setattr(access, "popen", popen)
        monkeypatch.setattr(client, "_CONNECT_S", 1.0)
        return client.Conversation(client.Peer("b", "10.0.0.2", "10.0.0.1", KEY), 1.0)

    return begin


def test_answers_refusals_and_failures_are_told_apart(
    talk: t.Callable[[str], client.Conversation],
) -> None:
    begun = talk(
        "import json\n"
        "for reply in ({'answer': 7}, {'refused': 'no'}, {'failed': 'x', 'remedy': 'y', 'evidence': 'z'}):\n"
        "    input(); print(json.dumps(reply), flush=True)\n"
    )
    assert begun.ask("a", 5) == 7
    with pytest.raises(NotPossible, match="no"):
        begun.ask("b", 5)
    with pytest.raises(BackendError) as caught:
        begun.ask("c", 5)
    assert (caught.value.message, caught.value.remedy, caught.value.evidence) == ("b: x", "y", "z")
    begun.end()


def test_a_connection_that_ends_says_what_ssh_said(
    talk: t.Callable[[str], client.Conversation],
) -> None:
    begun = talk("import sys; input(); sys.stderr.write('Host key verification failed.\\n')")
    with pytest.raises(BackendError, match="Host key verification failed"):
        begun.ask("open", 5)
    begun.end()


def test_no_answer_is_waited_for_for_ever(talk: t.Callable[[str], client.Conversation]) -> None:
    begun = talk("import time; input(); time.sleep(60)")
    with pytest.raises(BackendError, match="did not answer state within"):
        begun.ask("state", 0.1)
    begun.forget()


# The experiment


def test_without_a_second_host_there_is_no_pool(local_arms: Arms) -> None:
    result, found = samples(local_arms, "pool")
    assert {metric for metric, _variant in found} == {
        "all_hosts_filled", "instances_placed", "moved_alive", "move_downtime", "placed_again", "time_to_placed_again",
    }  # fmt: skip
    for sample in found.values():
        assert sample["status"] == "refused"
        assert sample["reason"] == (
            "needs a second host of this technology: --nodes 3 or 4, or a host in docker_peers"
        )
    assert result["arms"][0]["status"] == "ok"


def test_a_peer_that_is_not_reached_costs_the_pool_only(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_way(address: str, host_key: str, **_more: int) -> str:
        raise BackendError("'' is not a host key of type ed25519")

    monkeypatch.setattr(access, "write_client", no_way)
    peer = client.Peer("lab-linux-2", "10.213.10.2", "10.213.10.1", "")
    _result, found = samples(local_arms, "startup", "pool", peers={"docker": peer})
    assert found["time_to_first_reply", "minimal"]["status"] == "ok"
    assert found["moved_alive", "minimal"]["status"] == "failed"
    assert "not a host key" in str(found["moved_alive", "minimal"]["reason"])


def _value(config: str, key: str) -> str:
    return re.findall(f'^{key} = "(.*)"$', config, re.MULTILINE)[0]


def test_what_cannot_arrive_is_made_anew_with_an_identity_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    domains: dict[str, str] = {}

    def host_run(argv: t.Sequence[str], *_rest: object, **_more: object) -> Result:
        said = ""
        if argv[:2] == ["xl", "create"]:
            config = Path(argv[-1]).read_text(encoding="utf-8")
            domains[_value(config, "uuid")] = _value(config, "name")
        elif argv[:2] == ["xl", "destroy"]:
            del domains[list(domains)[int(argv[2]) - 1]]
        elif argv[:2] == ["xl", "list"]:
            lines = [
                f"{name} {number} 64 1 -b---- 0.1 {uuid} - - 0"
                for number, (uuid, name) in enumerate(domains.items(), start=1)
            ]
            said = "\n".join(["Name", *lines])
        return Result(0, said, "", 0.0, None)

    monkeypatch.setattr(xen, "host_run", host_run)
    monkeypatch.setattr(xen.shutil, "which", lambda *_names, **_more: "/usr/sbin/xl")
    monkeypatch.setattr(xen.Xen, "available", lambda self: "")
    monkeypatch.setattr(xen.Xen, "_prepare_host", lambda self, spec: None)
    monkeypatch.setattr(xen.Machine, "_stage", lambda self, spec, record: None)
    monkeypatch.setattr(xen.XenPv, "_host_cpus", lambda self: None)
    monkeypatch.setattr(xen.XenPv, "_remove_way_in", lambda self, name, record: None)
    there = agent.Agent()
    there._backend, there._image, there._owner = xen.XenPv(str(tmp_path)), Image("/dev/b"), "me"

    class Pool:
        """The peer's agent, without a way to it."""

        def on_peer(self, verb: str, spec: InstanceSpec, _timeout_s: float, **given: t.Any) -> None:
            said = there.answer({"verb": verb, "spec": agent.spec_to_plain(spec), **given})
            assert "answer" in said, said

        def destroy_on_peer(self, name: str) -> None:
            said = there.answer({"verb": "destroy", "name": name, "limit_s": 5.0})
            assert "answer" in said, said

    spec, its_uuid = InstanceSpec("vc-mover", owner="me"), "a5330114-37e4-4888-a17f-11cd35f73564"
    peer = t.cast("pool.Session", Pool())
    peer.on_peer("expect", spec, 5.0, known={"uuid": its_uuid})
    pool._lay_ready_anew(peer, spec)
    peer.on_peer("start", spec, 5.0, limit_s=5.0)
    assert list(domains.values()) == ["vc-mover"]
    assert its_uuid not in domains
    # It is ours, which one that was expected, but made here, would not be.
    assert there.backend.info("vc-mover").ours
    peer.destroy_on_peer("vc-mover")
    assert not domains
