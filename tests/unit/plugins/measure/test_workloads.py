# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers are read from what the tools of Debian bookworm really print, and from nothing less."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import readiness
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import (
    fork,
    memory_bandwidth,
    registry,
    startup,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import (
    WorkloadError,
    WorkSpec,
    implausible,
)
from hypothesis import given
from hypothesis import strategies as st

OUTPUTS = pathlib.Path(__file__).parent / "outputs"
SPEC = WorkSpec(vcpus=1, memory_mib=256, seconds=1)

# Read by eye in tests/unit/plugins/measure/outputs (sysbench 1.0.20, perf 6.1, stress-ng 0.15.06, redis 7.0).
KNOWN = {
    "cpu": 4334 / 1.0002,
    "memory-bandwidth": 17472.00 / 1.0024,
    "syscall": 225.904,
    "fork": 1654.56,
    "context-switch": 5.469075 * 1000 / 2,
    "memory-latency": 1.0205e9 / (8 * 64 * 1024 * 1024 / 8),
    "memcached": 179751.0,
    "redis": 30769.23,
}


@pytest.fixture
def redis_at(redis_server: str, address: str) -> Iterator[None]:
    """A redis at the address of the test."""
    command = [redis_server, *startup.command(address)[1:]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/") as server:
        while not readiness.answers(address, startup.PORT):
            assert server.poll() is None
        yield
        server.kill()


def printed(scenario: str) -> tuple[str, str]:
    texts = []
    for stream in ("stdout", "stderr"):
        path = OUTPUTS / f"{scenario}.{stream}"
        texts.append(path.read_text() if path.exists() else "")
    return texts[0], texts[1]


@pytest.mark.parametrize(("scenario", "value"), KNOWN.items())
def test_value_of_a_real_output(scenario: str, value: float) -> None:
    parsed = registry.WORKLOADS[scenario].parse(SPEC, *printed(scenario))
    assert parsed == pytest.approx(value, rel=1e-9)


def test_a_late_report_does_not_dilute_the_rate() -> None:
    """A real output of a busy emulated guest: 504 events in 1.0020 s, and 450.12 events a second printed."""
    parsed = registry.WORKLOADS["cpu"].parse(SPEC, *printed("cpu-held-up"))
    assert parsed == pytest.approx(504 / 1.0020)


@pytest.mark.parametrize("scenario", ["cpu", "memory-bandwidth", "memory-latency"])
def test_an_iteration_that_ended_early_is_refused(scenario: str) -> None:
    longer = dataclasses.replace(SPEC, seconds=SPEC.seconds * 2)
    with pytest.raises(WorkloadError, match="it ran for"):
        registry.WORKLOADS[scenario].parse(longer, *printed(scenario))


def test_every_workload_has_a_known_answer() -> None:
    assert set(KNOWN) == set(registry.WORKLOADS)


@pytest.mark.parametrize("scenario", KNOWN)
@given(data=st.data())
def test_a_truncated_output_gives_the_value_or_an_error(scenario: str, data: st.DataObject) -> None:
    """Never another number, wherever the output ends."""
    out, err = printed(scenario)
    cut = data.draw(st.integers(0, len(out) + len(err)))
    try:
        value = registry.WORKLOADS[scenario].parse(SPEC, out[:cut], err[: max(0, cut - len(out))])
    except WorkloadError as error:
        assert str(error)
    else:
        assert value == pytest.approx(KNOWN[scenario], rel=1e-9)


@pytest.mark.parametrize("scenario", KNOWN)
def test_an_output_printed_twice_is_refused(scenario: str) -> None:
    out, err = printed(scenario)
    with pytest.raises(WorkloadError, match="2 times"):
        registry.WORKLOADS[scenario].parse(SPEC, out * 2, err * 2)


@pytest.mark.parametrize(
    ("scenario", "spec", "message"),
    [
        ("cpu", dataclasses.replace(SPEC, vcpus=2), "1 threads instead of 2"),
        ("memory-bandwidth", dataclasses.replace(SPEC, memory_mib=1024), "blocks of 65536 KiB"),
        ("memory-latency", dataclasses.replace(SPEC, memory_mib=1024), "blocks of 65536 KiB"),
        (
            "memcached",
            dataclasses.replace(SPEC, loops={"memcached": 800}),
            "20000 requests instead of 800",
        ),
        (
            "syscall",
            dataclasses.replace(SPEC, loops={"syscall": 7}),
            r"1000000 getppid\(\) calls instead of 7",
        ),
        (
            "context-switch",
            dataclasses.replace(SPEC, loops={"context-switch": 7}),
            "200000 pipe operations between two processes instead of 7",
        ),
    ],
)
def test_other_work_than_was_asked_for_is_refused(
    scenario: str, spec: WorkSpec, message: str
) -> None:
    with pytest.raises(WorkloadError, match=message):
        registry.WORKLOADS[scenario].parse(spec, *printed(scenario))


@pytest.mark.parametrize(
    ("scenario", "old", "new"),
    [
        ("cpu", "4330.00", "8330.00"),
        ("memory-bandwidth", "(17414.39", "(27414.39"),
        ("syscall", "0.225904", "0.125904"),
        ("fork", "1654.56", "2654.56"),
        ("memory-latency", "512.00 MiB", "513.00 MiB"),
        ("memcached", "TPS: 179751", "TPS: 79751"),
        ("context-switch", "5.469075", "3.469075"),
    ],
)
def test_a_rate_that_its_own_counts_contradict_is_refused(
    scenario: str, old: str, new: str
) -> None:
    out, err = printed(scenario)
    assert old in out + err
    with pytest.raises(WorkloadError, match="own counts"):
        registry.WORKLOADS[scenario].parse(SPEC, out.replace(old, new), err.replace(old, new))


def test_stress_ng_that_did_not_succeed_is_refused() -> None:
    text = printed("fork")[1].replace("successful run completed", "unsuccessful run completed")
    with pytest.raises(WorkloadError, match="successful"):
        registry.WORKLOADS["fork"].parse(SPEC, "", text)


@given(st.integers(16, 1 << 22))
def test_memory_block_is_a_power_of_two_within_a_quarter(memory_mib: int) -> None:
    size = memory_bandwidth.block_mib(memory_mib)
    assert size & (size - 1) == 0
    assert memory_mib / 8 < size <= max(1, memory_mib / 4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e30])
@pytest.mark.parametrize("scenario", KNOWN)
def test_what_no_machine_can_do_is_implausible(scenario: str, value: float) -> None:
    workload = registry.WORKLOADS[scenario]
    assert implausible(value, workload.low, workload.high, workload.unit)
    assert not implausible(KNOWN[scenario], workload.low, workload.high, workload.unit)


@pytest.mark.parametrize(
    ("seconds", "rate", "right"),
    # 20 forks: the shortest runs are rounded by most.
    [("0.02", "1322.52", True), ("0.02", "1400.00", False), ("1.00", "19.00", False)],
)
def test_a_rate_is_held_against_a_rounded_time(seconds: str, rate: str, right: bool) -> None:
    """The first is a real one of a warm-up, which took 0.0151 s."""
    out, err = printed("fork")
    row = re.search(r"(fork +)([0-9]+)( +)([0-9.]+)( +[0-9.]+ +[0-9.]+ +)([0-9.]+)", err)
    assert row
    text = err.replace(row.group(0), f"{row[1]}20{row[3]}{seconds}{row[5]}{rate}")
    if not right:
        with pytest.raises(WorkloadError):
            registry.WORKLOADS["fork"].parse(SPEC, out, text)
    else:
        assert registry.WORKLOADS["fork"].parse(SPEC, out, text) == float(rate)


@pytest.mark.parametrize(
    "output", ["", "Could not connect", '"test","rps"\n"SET","1.0"\n', '"test","rps"\n"GET","x"\n']
)
def test_redis_says_no_rate(output: str) -> None:
    with pytest.raises(WorkloadError):
        registry.WORKLOADS["redis"].parse(SPEC, output, "")


@pytest.mark.parametrize("warmup", [False, True])
@pytest.mark.parametrize("scenario", KNOWN)
def test_the_tool_itself(
    scenario: str, warmup: bool, address: str, request: pytest.FixtureRequest
) -> None:
    """Run it: the command line is accepted, and its output is understood."""
    workload = registry.WORKLOADS[scenario]
    # A tenth of them warms up, and must take time that the tool can see.
    loops = {"syscall": 10_000, "context-switch": 1000, "redis": 20_000, "memcached": 1000}
    spec = dataclasses.replace(SPEC, loops=loops, address=address, warmup=warmup)
    if scenario == "redis":
        request.getfixturevalue("redis_at")
    argv = workload.argv(spec)
    programs = ["memcached", "memcping", "memcaslap"] if scenario == "memcached" else argv[:1]
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/", timeout=60)
    value = workload.parse(spec, done.stdout, done.stderr)
    assert not implausible(value, workload.low, workload.high, workload.unit)


def test_values_that_are_not_there_are_no_work_done() -> None:
    text = printed("memcached")[0].replace("get_misses: 0", "get_misses: 7")
    with pytest.raises(WorkloadError, match="did not have 7"):
        registry.WORKLOADS["memcached"].parse(SPEC, text, "")


def test_a_counted_fork_is_a_process() -> None:
    """The kernel counts as many new processes as stress-ng says that it made."""
    if shutil.which("stress-ng") is None:
        pytest.skip("stress-ng is not installed")

    def processes() -> int:
        lines = pathlib.Path("/proc/stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("processes "))

    before = processes()
    done = subprocess.run(
        fork.argv(SPEC), capture_output=True, text=True, check=True, cwd="/", timeout=60
    )
    made = processes() - before
    counted = fork.parse(SPEC, done.stdout, done.stderr) * SPEC.seconds
    # Others on this machine may fork meanwhile, so there can be more, but never fewer.
    assert counted * 0.98 <= made
