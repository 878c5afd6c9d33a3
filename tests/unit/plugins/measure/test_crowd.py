# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many instances at once: ten applications, as many as a host carries, and replicas behind a proxy."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset
from ansible_collections.vcompare.lab.plugins.module_utils._arms import registry as backends
from ansible_collections.vcompare.lab.plugins.module_utils._arms.network import NoAddress
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Info, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._block import block
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import applications
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    crowd,
    delivery,
    density,
    driver,
    limits,
    load,
    memcached,
    proxy,
    resp,
    ten_apps,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.readiness import PING, Poller
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import WorkSpec
from hypothesis import given
from hypothesis import strategies as st

from .conftest import IMAGE, Arms, LocalBackend

PLAN = block.Plan(
    run="20261124-101500-ab12cd",
    block=1,
    host="lab-linux",
    arms=("docker",),
    scenarios=(),
    iterations=1,
    work=WorkSpec(seconds=1),
    image=IMAGE,
    cpuset=str(max(os.sched_getaffinity(0))),
)
Samples = Mapping[tuple[str, str], dict[str, object]]


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may be running."""
    monkeypatch.setattr(conditions, "wait_quiet", lambda timeout_s: 0.0)


@pytest.fixture
def memcached_program() -> str:
    found = shutil.which("memcached")
    if found is None:
        pytest.skip("memcached is not installed")
    return found


def samples(local: Arms, *scenarios: str, **changes: object) -> tuple[block.Record, Samples]:
    plan = dataclasses.replace(PLAN, scenarios=scenarios, **changes)  # type: ignore[arg-type]
    result = block.measure(plan, local.__getitem__)
    for backend in local.values():
        assert not backend.processes, "an instance was left behind"
    return result, {(sample["metric"], sample["variant"]): sample for sample in result["samples"]}


# Readiness of both applications


REPLIES = st.one_of(st.binary(max_size=20), st.sampled_from([b"+PONG\r\n", b"+PON", b"+PONG\r\n+"]))


@given(REPLIES)
def test_redis_is_judged_as_a_whole(received: bytes) -> None:
    assert PING.answered(received) == (received == b"+PONG\r\n")
    assert PING.hopeful(received) == (b"+PONG\r\n".startswith(received) and len(received) < 7)


def test_memcached_is_judged_by_its_line() -> None:
    question = applications.MEMCACHED.question
    assert question.answered(b"VERSION 1.6.18\r\n")
    assert not question.answered(b"VERSION 1.6.18\r\nmore")
    assert not question.answered(b"ERROR\r\n")
    assert question.hopeful(b"VERS")
    assert question.hopeful(b"VERSION 1.6")
    assert not question.hopeful(b"ERR")


def test_memcached_is_asked_from_outside(memcached_program: str, address: str) -> None:
    application = applications.MEMCACHED
    assert not memcached.alive(address, 0.1)
    began = time.monotonic()
    with subprocess.Popen(application.command(address)) as server:
        try:
            poller = Poller(address, application.port, question=application.question)
            assert 0 < poller.wait(began, 30).elapsed_s < 30
            assert memcached.alive(address, 5)
            memcached.put(address, "word", "value", 5)
            target = driver.Target(
                "it",
                address,
                application.port,
                b"get word\r\n",
                b"VALUE word 0 5\r\nvalue\r\nEND\r\n",
            )
            assert driver.drive([target], 0.2, 5).replies["it"] > 0
        finally:
            server.kill()


def test_a_list_of_redis_is_lines(redis_server: str, address: str) -> None:
    command = delivery.application("v2", 1).command(address)
    with subprocess.Popen([redis_server, *command[1:]], stdout=subprocess.DEVNULL) as server:
        try:
            assert resp.ask(address, "CONFIG GET proc-title-template", 10).endswith("\nv2-1")
        finally:
            server.kill()


# Memory


@given(
    st.floats(-50, 50),
    st.floats(-1000, 1000),
    st.lists(st.integers(0, 500), min_size=2, unique=True),
)
def test_the_slope_of_a_line_is_found(rise: float, start: float, counts: list[int]) -> None:
    found = crowd.slope([(count, start + rise * count) for count in counts])
    assert found == pytest.approx(rise, abs=1e-6)


def test_one_point_has_no_slope() -> None:
    assert crowd.slope([]) is None
    assert crowd.slope([(3, 1.0), (3, 2.0)]) is None


@given(st.integers(5, 200), st.integers(400, 3000), st.integers(1, 30))
def test_the_projection_is_where_the_guard_says_no(each: int, first: int, seen: int) -> None:
    memory = crowd.Memory(32, own_kernel=False)
    memory.reserve_mib = 300
    for count in range(seen + 1):
        memory.note(count, 1e6 - count * each)
    assert memory.marginal_mib() == pytest.approx(each)
    memory = crowd.Memory(32, own_kernel=False)
    memory.reserve_mib = 300
    count = 0
    memory.note(0, first)
    while not memory.refusal() and count < 30000:
        count += 1
        memory.note(count, first - count * each)
    if count > 1:
        projected = memory.projected()
        assert projected is not None
        # Before the first it is not known what one takes, and the guard lets one more come.
        assert abs(projected - count) <= 1
        assert first - count * each >= 300 or count == 1


def test_a_hypervisor_has_a_memory_of_its_own() -> None:
    memory = crowd.Memory(96, own_kernel=True)
    memory.reserve_mib = 300
    memory.note(0, 600, 205)
    # Two fit by what Xen has, and dom0 is not what carries them.
    assert not memory.refusal()
    assert not memory.refusal(2)
    memory.note(1, 595, 105)
    assert not memory.refusal()
    memory.note(2, 590, 5)
    assert memory.refusal().startswith("the hypervisor has 5 MiB left")
    assert memory.marginal_mib() == pytest.approx(105)
    assert memory.projected() == 2
    # The same with room in Xen, and none in dom0.
    memory = crowd.Memory(96, own_kernel=True)
    memory.reserve_mib = 300
    memory.note(0, 305, 2000)
    memory.note(1, 301, 1900)
    assert memory.refusal().startswith("the host's kernel has 301 MiB left")


def test_a_machine_takes_its_memory_as_a_whole() -> None:
    container, machine = crowd.Memory(96, own_kernel=False), crowd.Memory(96, own_kernel=True)
    for memory in (container, machine):
        memory.reserve_mib = 300
        memory.note(0, 350)
    assert not container.refusal()
    assert machine.refusal()


# Ten applications


def test_ten_applications(
    local_arms: Arms, memcached_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "RESERVE_SHARE", 0.0)
    result, found = samples(local_arms, "ten-apps")
    assert {metric for metric, _variant in found} == {
        "total_start_time", "host_memory", "disk", "aggregate_throughput", "fairness",
    }  # fmt: skip
    assert {sample["status"] for sample in found.values()} == {"ok"}, found
    assert local_arms["docker"].log.count("create") == 11
    assert 0 < found["fairness", "minimal"]["value"] <= 1  # type: ignore[operator]
    evidence = str(result["raw"][found["aggregate_throughput", "minimal"]["evidence"]])
    assert "-app9" in evidence


def test_fewer_than_ten_have_no_figure(
    local_arms: Arms, memcached_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def refusal(memory: crowd.Memory, more: int = 1) -> str:
        looked.append(more)
        return "the host's kernel has too little" if len(looked) > 3 else ""

    monkeypatch.setattr(crowd.Memory, "refusal", refusal)
    result, found = samples(local_arms, "ten-apps")
    assert {sample["status"] for sample in found.values()} == {"refused"}
    for sample in found.values():
        assert "3 of 10 instances" in str(sample["reason"])
        assert "too little" in str(sample["reason"])
    assert result["arms"][0]["status"] == "ok"


def test_one_of_ten_that_fails_is_said(local_arms: Arms, memcached_program: str) -> None:
    _fails_at(local_arms, "app4", BackendError("no room on the disk"))
    _result, found = samples(local_arms, "ten-apps")
    assert {sample["status"] for sample in found.values()} == {"failed"}
    assert "4 of 10 instances replied" in str(found["fairness", "minimal"]["reason"])
    assert "no room on the disk" in str(found["fairness", "minimal"]["reason"])


def _fails_at(local: Arms, tag: str, error: BackendError, verb: str = "create") -> None:
    arm = local["docker"]
    call = getattr(arm, verb)

    def fails(spec: InstanceSpec, *rest: float) -> Info:
        if spec.name.endswith(tag):
            raise error
        return call(spec, *rest)  # type: ignore[no-any-return]

    setattr(arm, verb, fails)


def test_fairness_is_that_of_the_worse_application() -> None:
    assert ten_apps.fairness({"redis": [10, 8], "memcached": [100, 50]}) == 0.5
    assert ten_apps.fairness({"redis": [10, 10], "memcached": [1, 1]}) == 1
    assert ten_apps.fairness({"redis": [10, 0], "memcached": [1, 1]}) == 0
    assert ten_apps.fairness({"redis": [0, 0]}) == 0


def _serving(address: str, reply: bytes) -> Iterator[int]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for _line in self.rfile:
                self.wfile.write(reply)

    with socketserver.ThreadingTCPServer((address, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_wrong_reply_is_none(address: str) -> None:
    for port in _serving(address, b"-LOADING\r\n"):
        target = driver.Target("it", address, port, b"PING\r\n", b"+PONG\r\n")
        with pytest.raises(BackendError, match="it replied b'-LOADING"):
            driver.drive([target], 5, 5)


def test_replies_are_counted_for_each(address: str) -> None:
    for port in _serving(address, b"+PONG\r\n"):
        targets = [driver.Target(name, address, port, b"PING\r\n", b"+PONG\r\n") for name in "ab"]
        driven = driver.drive(targets, 0.5, 5)
        assert set(driven.replies) == {"a", "b"}
        assert all(count > 0 for count in driven.replies.values())
        assert 0.5 <= driven.elapsed_s < 5
        assert 0 < driven.own_share <= 1.05


# As many as a host carries


def test_memory_ends_it_and_a_thousand_is_a_projection(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(memory: crowd.Memory, count: int) -> None:
        memory.reserve_mib = 300
        memory.note(count, 1000 - 50 * count)

    monkeypatch.setattr(crowd.Memory, "look", look)
    result, found = samples(local_arms, "density")
    assert found["instances", "stock"]["value"] == 14
    assert found["projected_instances", "stock"]["value"] == 14
    assert found["marginal_memory", "stock"]["value"] == pytest.approx(50)
    thousand = found["thousand_served", "stock"]
    assert thousand["status"] == "refused"
    assert "14 replied; it was ended by the host's memory" in str(thousand["reason"])
    assert "PROJECTION from the memory that each took: 14" in str(thousand["reason"])
    for metric in density.metrics(density.TUNED):
        sample = found[metric.metric, "tuned"]
        assert sample["status"] == "refused"
        assert "not measured: with stock limits it was ended by the host's memory" in str(
            sample["reason"]
        )
    assert result["arms"][0]["status"] == "ok"


def test_a_failure_ends_it_and_is_tried_with_raised_limits(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(crowd, "RESERVE_SHARE", 0.0)
    monkeypatch.setattr(density, "THOUSAND", 5)
    setting = tmp_path / "kernel/pid_max"
    setting.parent.mkdir()
    setting.write_text("100\n", encoding="ascii")
    raised = limits.raised
    monkeypatch.setattr(limits, "raised", lambda: raised(tmp_path))
    _fails_at(local_arms, "stock3", BackendError("no more processes"))
    arm, held = local_arms["docker"], {}
    create = arm.create

    def noted(spec: InstanceSpec, timeout_s: float) -> Info:
        held[spec.name.rpartition("-")[2]] = spec.cpuset
        return create(spec, timeout_s)

    arm.create = noted  # type: ignore[method-assign]
    result, found = samples(local_arms, "density")
    # One processor each, in turn.
    cpus = sorted(cpuset.online())
    assert [held[f"tuned{number}"] for number in range(5)] == [
        str(cpus[number % len(cpus)]) for number in range(5)
    ]
    assert found["instances", "stock"]["value"] == 3
    assert found["thousand_served", "stock"]["value"] == 0
    evidence = str(result["raw"][found["instances", "stock"]["evidence"]])
    assert "ended by a failure: no more processes" in evidence
    assert found["instances", "tuned"]["value"] == 5
    assert found["thousand_served", "tuned"]["value"] == 1
    assert "kernel/pid_max 100 → 4194304" in str(
        result["raw"][found["instances", "tuned"]["evidence"]]
    )
    assert setting.read_text(encoding="ascii") == "100\n"


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        (signal.SIGKILL, "1 of which had ended"),
        (signal.SIGSTOP, "while they went on running"),
    ],
)
def test_one_that_does_not_reply_any_more_ends_it(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch, what: signal.Signals, seen: str
) -> None:
    monkeypatch.setattr(crowd, "RESERVE_SHARE", 0.0)
    monkeypatch.setattr(density, "THOUSAND", 6)
    arm = local_arms["docker"]
    create = arm.create

    def hits_the_first(spec: InstanceSpec, timeout_s: float) -> Info:
        if spec.name.endswith("stock3"):
            arm.processes[f"{spec.name[:-1]}0"].send_signal(what)
        return create(spec, timeout_s)

    arm.create = hits_the_first  # type: ignore[method-assign]
    result, found = samples(local_arms, "density", timeout_factor=0.3)
    assert found["instances", "stock"]["value"] == 2
    evidence = str(result["raw"][found["instances", "stock"]["evidence"]])
    assert "ended by the service level: of 4 instances 1 did not reply" in evidence
    assert seen in evidence
    assert ("stock0 said last:\nits last words" in evidence) == (what == signal.SIGKILL)
    assert found["thousand_served", "stock"]["value"] == 0


@pytest.mark.parametrize("what", ["time", "addresses"])
def test_what_is_no_limit_of_the_host_gives_no_count(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(crowd, "RESERVE_SHARE", 0.0)
    if what == "time":
        monkeypatch.setattr(density, "_LONGEST_S", 0.3)
    else:
        _fails_at(local_arms, "stock4", NoAddress("all 3 are taken"), "address")
    _result, found = samples(local_arms, "density")
    for metric in ("instances", "thousand_served"):
        sample = found[metric, "stock"]
        assert sample["status"] == "refused"
        assert f"ended by {'the time' if what == 'time' else 'our addresses'}" in str(
            sample["reason"]
        )
    assert found["instances", "tuned"]["status"] == "refused"


def test_limits_are_raised_and_put_back(tmp_path: Path) -> None:
    for number, limit in enumerate(limits.LIMITS):
        path = tmp_path / limit.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit.value + 1 if number == 0 else 5}\n", encoding="ascii")
    (tmp_path / limits.LIMITS[-1].path).unlink()
    with pytest.raises(KeyError), limits.raised(tmp_path) as words:
        assert limits.LIMITS[0].path not in words
        assert f"{limits.LIMITS[-1].path} could not be raised" in words
        for number, limit in enumerate(limits.LIMITS[:-1]):
            value = int((tmp_path / limit.path).read_text(encoding="ascii"))
            assert value == limit.value + (number == 0)
        raise KeyError
    for limit in limits.LIMITS[1:-1]:
        assert (tmp_path / limit.path).read_text(encoding="ascii") == "5\n"
    assert all(limit.why for limit in limits.LIMITS)


# Delivery


def test_a_load_keeps_its_rate_beside_a_service_that_stalls() -> None:
    asked: list[float] = []

    def stalls(left_s: float) -> None:
        asked.append(time.monotonic())
        if len(asked) in (3, 4):
            time.sleep(0.5)
        if len(asked) == 6:
            raise ConnectionRefusedError("nobody there")

    with load.Load(stalls, 20, 0.4) as under:
        while len(asked) < 20:
            time.sleep(0.01)
    requests = under.requests()
    # Each is due at its time, whatever became of those before; a busy machine may make more of them late.
    spaces = {round(b.due_s - a.due_s, 6) for a, b in itertools.pairwise(requests)}
    assert spaces == {0.05}
    said, failed = delivery.summary(requests)
    assert 3 <= failed < len(requests)
    assert "1 × nobody there" in said
    assert "the reply came after 0.5" in said


def test_a_load_that_hardly_ran_is_not_steady() -> None:
    under = load.Load(lambda left_s: None, 10, 1)
    with under:
        while len(under._pending) < 9:
            time.sleep(0.01)
    under._ended = under._began + 1
    assert under.steady
    under._ended = under._began + 1000
    assert not under.steady


STATISTICS = (
    "# pxname,svname,scur,status,last_chk,\n"
    "service,FRONTEND,3,OPEN,,\nreplicas,place0,0,DRAIN,,\nreplicas,place1,2,UP,,\n"
)


def test_the_proxy_is_read() -> None:
    assert proxy.row(STATISTICS, 0)["status"] == "DRAIN"
    assert proxy.row(STATISTICS, 1)["scur"] == "2"
    with pytest.raises(BackendError, match="says nothing of place 2"):
        proxy.row(STATISTICS, 2)


def test_the_proxy_begins_without_replicas() -> None:
    text = proxy.config("127.0.77.9", 3, 0.5)
    assert text.count(" disabled\n") == 3
    assert "bind 127.0.77.9:16379\n" in text
    assert "tcp-check send PING\\r\\n\n" in text


def test_there_must_be_room_for_all_replicas(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd.Memory, "refusal", lambda memory, more=1: f"no room for {more}")
    _result, found = samples(local_arms, "delivery")
    assert {sample["status"] for sample in found.values()} == {"refused"}
    assert "no room for 3" in str(found["update_time", "minimal"]["reason"])


class Outside(LocalBackend):
    """The host's own processes, of which it is known which they are."""

    def info(self, name: str) -> Info:
        return dataclasses.replace(super().info(name), details={"pid": self.processes[name].pid})


def test_replicas_grow_and_are_updated_behind_a_real_proxy(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("HAProxy is not installed")
    monkeypatch.setattr(crowd, "RESERVE_SHARE", 0.0)
    monkeypatch.setattr(delivery, "_RATE", 50.0)
    outside = Outside("bare", address)
    monkeypatch.setattr(backends, "own_arm", lambda: "bare")
    monkeypatch.setattr(backends, "backend", lambda arm: outside)
    local_arms["bare"] = outside
    result, found = samples(local_arms, "delivery")
    assert {sample["status"] for sample in found.values()} == {"ok"}, found
    assert found["failed_requests", "minimal"]["value"] == 0
    assert found["no_request_failed", "minimal"]["value"] == 1
    assert local_arms["docker"].log.count("create") == 7
    assert "requests at 50/s" in str(result["raw"][found["failed_requests", "minimal"]["evidence"]])
    assert not outside.processes


def test_versions_are_told_apart() -> None:
    assert not delivery.names(delivery.OLD) & delivery.names(delivery.NEW)
