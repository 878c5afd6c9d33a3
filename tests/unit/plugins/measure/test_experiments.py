# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Experiments on real processes of this machine: what they give, what they refuse, and what one failure costs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Image,
    Info,
    InstanceSpec,
    Result,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._block import block
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    base,
    calls,
    containment,
    disk,
    host,
    isolation,
    registry,
    resp,
    served,
    systems,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.load import (
    Request,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.stage import Stage
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import WorkSpec

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


def samples(local: Arms, *scenarios: str, **changes: object) -> tuple[block.Record, Samples]:
    plan = dataclasses.replace(PLAN, scenarios=scenarios, **changes)  # type: ignore[arg-type]
    result = block.measure(plan, local.__getitem__)
    for backend in local.values():
        assert not backend.processes, "an instance was left behind"
    return result, {(sample["metric"], sample["variant"]): sample for sample in result["samples"]}


def evidence_of(result: block.Record, sample: Mapping[str, object]) -> str:
    return str(result["raw"][sample["evidence"]])


def test_what_an_instance_costs(local_arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    # Here instances are processes of this one; those of a daemon are not.
    monkeypatch.setattr(host, "_descendants", lambda pid, processes: {pid})
    result, found = samples(local_arms, "footprint")
    assert {metric for metric, _variant in found} == {
        "host_memory", "process_memory", "disk", "processes", "idle_cpu", "marginal_memory",
    }  # fmt: skip
    assert {sample["reason"] for sample in found.values()} == {None}
    processes = found["processes", "minimal"]
    assert processes["value"] >= 1
    assert "redis" in evidence_of(result, processes)
    assert found["process_memory", "minimal"]["value"] > 1  # type: ignore[operator]
    # A redis that nobody asks looks around ten times a second.
    idle = found["idle_cpu", "minimal"]
    assert idle["value"] > 1e-5  # type: ignore[operator]
    # By itself: what other tests start in the meantime counts as new processes as well.
    shown = re.search(r" in ([\d.]+) s: .*redis[^(]*\(\d+\) ([\d.]+) ms", evidence_of(result, idle))
    assert shown
    assert 0 < float(shown[2]) / 1000 < float(shown[1]) / 2
    size = os.lstat(local_arms["docker"].files("")[0]).st_blocks / 2
    assert found["disk", "minimal"]["value"] == size


def test_a_short_profile_makes_no_further_instances(local_arms: Arms) -> None:
    _result, found = samples(local_arms, "footprint", "churn", "isolation", company=False)
    assert ("host_memory", "minimal") in found
    assert ("marginal_memory", "minimal") not in found
    assert local_arms["docker"].log.count("create") == 1


def test_what_no_technology_carries_has_no_experiments(local_arms: Arms) -> None:
    result, found = samples(local_arms, "startup", "footprint", "containment", arms=("bare",))
    assert list(found) == [("time_to_first_reply", "minimal")]
    assert result["arms"][0]["status"] == "ok"


def test_a_shared_kernel_hides_nothing_and_is_not_crashed(local_arms: Arms) -> None:
    result, found = samples(local_arms, "containment")
    assert found["own_kernel", "minimal"]["value"] == 0
    visible = found["host_facts_visible", "minimal"]
    assert visible["value"] >= 5
    assert "this boot" in evidence_of(result, visible)
    crash = found["host_survives_crash", "minimal"]
    assert crash["status"] == "refused"
    assert "no kernel of its own" in str(crash["reason"])
    # What a technology can't do is no trouble of the arm.
    assert result["arms"][0]["status"] == "ok"


def test_calls_that_are_refused_are_not_let_through() -> None:
    tried = [number for number in calls.NUMBERS if number != 153]
    how = dict.fromkeys(tried, 14) | {
        101: 1,
        102: 13,
        103: 38,
        104: 1031,
        105: 0,
        106: 1014,
    }
    said = ",".join(f"{number}:{outcome}" for number, outcome in how.items())
    boot, outcomes = calls.parse(f"a-b-c\nsysbench 1.0\nvcompare-calls:{{{said}}}\n")
    assert boot == "a-b-c"
    assert calls.let_through(outcomes) == set(tried) - {101, 102, 103, 104}
    with pytest.raises(BackendError, match="1 of 380 system calls"):
        calls.parse("a-b-c\nvcompare-calls:{1:0}\n")


@pytest.mark.parametrize(("own", "counted"), [(True, 0), (False, 379)])
def test_what_another_kernel_permits_is_not_the_hosts(
    local_arms: Arms, own: bool, counted: int
) -> None:
    boot = "another" if own else pathlib.Path(calls._BOOT_ID).read_text().strip()
    said = ",".join(
        f"{number}:{1 if number == 101 else 22}" for number in calls.NUMBERS if number != 153
    )
    local_arms["docker"].outputs["/bin/sh -c ulimit -c 0"] = Result(
        0, f"{boot}\nvcompare-calls:{{{said}}}\n", "", 0.1, 0.1, (0.0, 0.1, 0.0)
    )
    result, found = samples(local_arms, "containment")
    permitted = found["host_calls_permitted", "minimal"]
    assert permitted["value"] == counted
    assert "379 were let through" in evidence_of(result, permitted)
    assert "1 by EPERM" in evidence_of(result, permitted)


def test_facts_are_compared_with_the_hosts_own() -> None:
    said = (
        "vcompare-fact:this boot\na\nvcompare-fact:its disks\nsda\nsdb\nvcompare-fact:its users\n\n"
    )
    outside = containment.parse(said)
    assert outside == {"this boot": "a", "its disks": "sda\nsdb", "its users": ""}
    assert containment.seen(outside, outside) == ["this boot", "its disks"]
    assert containment.seen({**outside, "its disks": "vda"}, outside) == ["this boot"]
    assert containment.seen({}, outside) == []


def test_every_fact_is_read_by_a_shell() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", containment.script()], capture_output=True, text=True, check=True
    )
    found = containment.parse(done.stdout)
    assert set(found) == set(containment.FACTS)
    assert found["this boot"]
    assert found["its disks"].startswith("major")


def test_instances_are_tossed_about(local_arms: Arms) -> None:
    result, found = samples(local_arms, "churn")
    assert {sample["status"] for sample in found.values()} == {"ok"}
    assert found["no_cycle_failed", "minimal"]["value"] == 1
    assert found["nothing_left_over", "minimal"]["value"] == 1
    assert found["cycles_per_second", "minimal"]["value"] > 0  # type: ignore[operator]
    assert found["burst_start_time", "minimal"]["value"] > 0  # type: ignore[operator]
    assert "3 at once" in evidence_of(result, found["burst_start_time", "minimal"])


def test_a_cycle_that_fails_is_counted(local_arms: Arms) -> None:
    arm = local_arms["docker"]
    create, made = arm.create, []

    def fails_the_second_time(spec: InstanceSpec, timeout_s: float) -> Info:
        made.append(spec)
        if len(made) == 3:
            raise BackendError("no room")
        return create(spec, timeout_s)

    arm.create = fails_the_second_time  # type: ignore[method-assign]
    result, found = samples(local_arms, "churn")
    assert found["no_cycle_failed", "minimal"]["value"] == 0
    assert "no room" in evidence_of(result, found["no_cycle_failed", "minimal"])


def test_what_is_left_over_is_found(local_arms: Arms) -> None:
    # Of this process alone: another test suite may run on this machine.
    seconds = f"31.{os.getpid()}"
    arm = local_arms["docker"]
    create, left = arm.create, []

    def leaves_something(spec: InstanceSpec, timeout_s: float) -> Info:
        if "cycle0" in spec.name:
            left.append(subprocess.Popen(["setsid", "-f", "sleep", seconds]))
        return create(spec, timeout_s)

    arm.create = leaves_something  # type: ignore[method-assign]
    try:
        result, found = samples(local_arms, "churn", timeout_factor=0.1)
    finally:
        subprocess.run(["pkill", "-xf", f"sleep {seconds}"], check=False)
        for process in left:
            process.wait()
    clean = found["nothing_left_over", "minimal"]
    assert clean["value"] == 0
    assert "sleep" in evidence_of(result, clean)


def outside(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[Sequence[str]], Result]
) -> list[str]:
    """Have what experiments do from outside answered; return what they started and what of it is gone."""
    log: list[str] = []

    def start(self: Stage, tag: str, command: Sequence[str] = ()) -> InstanceSpec:
        log.append(f"start {tag}")
        return dataclasses.replace(self.spec, name=tag)

    monkeypatch.setattr(Stage, "outside", start)
    monkeypatch.setattr(Stage, "run_outside", lambda self, spec, argv, timeout_s: answer(argv))
    monkeypatch.setattr(Stage, "gone_outside", lambda self, spec: log.append(f"gone {spec.name}"))
    return log


def a_victim(local_arms: Arms, outputs: pathlib.Path) -> LocalBackend:
    """Have an arm whose work of the processor is always the same."""
    arm = local_arms["docker"]
    text = (outputs / "cpu.stdout").read_text(encoding="utf-8")
    arm.outputs["sysbench cpu"] = Result(0, text, "", 2.0, 2.0, (0.0, 0.1, 0.0))
    return arm


class Asked:
    """A load that has ended."""

    rate = 10.0

    def __init__(self, took_s: Sequence[float | None], steady: bool = True) -> None:
        self.took_s, self.steady = took_s, steady

    def requests(self) -> list[Request]:
        return [
            # Refused at once: a quick failure is not a quick reply.
            Request(0.0, 0.01, "refused") if took is None else Request(0.0, took, "")
            for took in self.took_s
        ]


def test_the_median_of_replies_counts_those_that_never_came() -> None:
    found = isolation.Replies.of(Asked([0.1, 0.2, 0.3, 0.4, None]))  # type: ignore[arg-type]
    assert found == isolation.Replies(asked=5, median_s=0.3, longest_s=0.4, failed=1)
    late = isolation.Replies.of(Asked([0.1, None, 0.3, None, 0.2]))  # type: ignore[arg-type]
    assert late.median_s == 0.3


@pytest.mark.parametrize(
    ("took_s", "steady", "why"),
    [
        ([0.1, None], True, "1 of 2 requests .refused"),
        ([], True, "0 of 0 requests .nothing was asked"),
        ([0.1, 0.1], False, "could not keep to 10 requests a second"),
    ],
)
def test_half_of_the_replies_make_no_median(
    took_s: Sequence[float | None], steady: bool, why: str
) -> None:
    with pytest.raises(BackendError, match=why):
        isolation.Replies.of(Asked(took_s, steady))  # type: ignore[arg-type]


def test_a_neighbour_that_does_not_work_is_no_neighbour(
    local_arms: Arms, outputs: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm, clock = a_victim(local_arms, outputs), (0.0, 0.1, 0.0)
    arm.outputs["stress-ng"] = Result(1, "", "unknown option", 0.1, 0.1, clock)
    arm.outputs["pgrep"] = Result(1, "0\n", "", 0.1, 0.1, clock)
    taken = outside(monkeypatch, lambda argv: Result(0, "LISTEN\n", "", 0.1, 0.1))
    arm.outputs["iperf3"] = arm.outputs["stress-ng"]
    result, found = samples(local_arms, "isolation", work=WorkSpec(seconds=1))
    assert len(found) == 16
    for sample in found.values():
        assert sample["status"] == "failed"
        assert "unknown option" in str(sample["reason"])
    assert result["arms"][0]["status"] == "failed"
    assert taken == ["start sink", "gone sink"]
    # Each is tried by itself, with a victim of its own after one that failed.
    assert arm.log.count("create") == 1 + len(isolation.hogs(isolation.EXPLICIT)) + 2 * len(
        isolation.HOGS
    )


def test_what_is_kept_beside_a_neighbour(
    local_arms: Arms, outputs: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm, clock = a_victim(local_arms, outputs), (0.0, 0.1, 0.0)
    # Neighbours that sleep: what they do to a victim is for a real lab to say.
    for hog in isolation.HOGS:
        arm.outputs["pgrep -c " + hog.process] = Result(0, "2\n", "", 0.1, 0.1, clock)
    # They end by themselves, and this machine's others are left alone.
    arm.outputs["pkill"] = Result(0, "", "", 0.1, 0.1, clock)
    run, taken = arm.run, outside(monkeypatch, lambda argv: Result(0, "LISTEN\n", "", 0.1, 0.1))

    def sleeps(name: str, argv: list[str], timeout_s: float) -> Result:
        if argv[0] in ("stress-ng", "iperf3"):
            assert isolation._HOST not in argv
            return run(name, ["sleep", "3"], timeout_s)
        return run(name, argv, timeout_s)

    arm.run = sleeps  # type: ignore[method-assign,assignment]
    result, found = samples(local_arms, "isolation", work=WorkSpec(seconds=1))
    kept = {key: sample for key, sample in found.items() if key[0].startswith("kept_")}
    assert {sample["value"] for sample in kept.values()} == {1.0}
    assert len(found) == 2 * len(kept)
    assert {sample["status"] for sample in found.values()} == {"ok"}
    evidence = evidence_of(result, found["reply_time_beside_cpu_hog", "default-limits"])
    # Ten a second, while the work is done: it takes a second, or a little more.
    asked = re.findall(r"of (\d+) without one", evidence)
    assert len(asked) == 2
    assert all(int(count) >= 10 for count in asked)
    assert arm.log.count("create") == 4
    assert {variant for _metric, variant in found} == {"default-limits", "explicit-limits"}
    assert ("kept_beside_network_hog", "default-limits") in found
    assert ("kept_beside_network_hog", "explicit-limits") not in found
    assert taken == ["start sink", "gone sink"]


def on_a_disk(arm: LocalBackend, outputs: pathlib.Path, device: str) -> list[int]:
    """Have an arm answer as one with a data disk; return the sizes of those that it is asked for."""
    clock, run, prepare = (0.0, 0.1, 0.0), arm.run, arm.prepare
    sizes: list[int] = []

    def answers(name: str, argv: Sequence[str], timeout_s: float) -> Result:
        text = " ".join(argv)
        if text == "cat /proc/self/mountinfo":
            return Result(0, f"24 1 {device} / /mnt rw - ext4 /dev/vdb rw\n", "", 0.1, 0.1, clock)
        if "sysbench fileio" in text:
            modes = [mode for mode in ("seqrd", "rndrd", "seqwr") if f"mode={mode}" in text]
            files = [(outputs / f"disk-{mode}.stdout").read_text() for mode in modes]
            return Result(0, "".join(files), "", 0.1, 0.1, clock)
        return run(name, argv, timeout_s)

    def notes(spec: InstanceSpec) -> None:
        sizes.append(spec.data_mib)
        prepare(spec)

    arm.run, arm.prepare = answers, notes  # type: ignore[method-assign]
    return sizes


def test_a_disk_is_measured_in_every_arm(local_arms: Arms, outputs: pathlib.Path) -> None:
    # A device that this machine has as well.
    device = next(path.name for path in pathlib.Path("/sys/dev/block").iterdir())
    sizes = {arm: on_a_disk(local_arms[arm], outputs, device) for arm in ("bare", "docker")}
    plan = {"arms": ("bare", "docker"), "company": True}
    result, _found = samples(local_arms, "startup", "disk", "churn", **plan)
    for arm in ("bare", "docker"):
        found = {
            sample["metric"]: sample["status"]
            for sample in result["samples"]
            if sample["arm"] == arm and sample["scenario"] == "disk"
        }
        assert found == dict.fromkeys(
            ("sequential_read_throughput", "random_read_rate", "sequential_write_throughput"), "ok"
        )
        # Only the first instance: those of other experiments have none.
        assert sizes[arm][0] == disk.DATA_MIB
        assert set(sizes[arm][1:]) <= {0}
    assert len(sizes["docker"]) > 1


def test_an_instance_has_no_disk_that_nothing_needs(
    local_arms: Arms, outputs: pathlib.Path
) -> None:
    sizes = on_a_disk(local_arms["docker"], outputs, "0:1")
    samples(local_arms, "startup", "footprint", company=False)
    assert sizes == [0]


def test_a_file_system_without_a_device_is_refused(local_arms: Arms, outputs: pathlib.Path) -> None:
    on_a_disk(local_arms["docker"], outputs, "0:9999")
    result, found = samples(local_arms, "disk")
    assert {sample["status"] for sample in found.values()} == {"refused"}
    assert "no block device of its own" in str(found["random_read_rate", "minimal"]["reason"])
    assert result["arms"][0]["status"] == "ok"


@pytest.mark.parametrize("works", [True, False])
def test_the_way_between_host_and_instance(
    local_arms: Arms, outputs: pathlib.Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    arm, clock = local_arms["bare"], (0.0, 0.1, 0.0)
    ended: list[str] = []
    run = arm.run

    def serves(name: str, argv: Sequence[str], timeout_s: float) -> Result:
        if argv[2:3] == [served._BEGIN]:
            return Result(0, "4711\n", "", 0.1, 0.1, clock)
        if argv[2:3] == [served._END]:
            ended.extend(argv[4:])
            return Result(0, "", "", 0.1, 0.1, clock)
        return run(name, argv, timeout_s)

    def client(argv: Sequence[str]) -> Result:
        if not works:
            return Result(1, '{"error": "no route"}', "", 0.1, 0.1, clock)
        name = "throughput.json" if argv[0] == "iperf3" else "round-trip.stdout"
        return Result(0, (outputs / f"network-{name}").read_text(), "", 0.1, 0.1, clock)

    arm.run = serves  # type: ignore[method-assign]
    started = outside(monkeypatch, client)
    _result, found = samples(local_arms, "network", arms=("bare",))
    status = "ok" if works else "failed"
    assert {metric: sample["status"] for (metric, _variant), sample in found.items()} == {
        "throughput": status,
        "round_trip_time": status,
    }
    # However it went, the servers are gone.
    assert ended == ["4711", "iperf3", *(["4711", "sockperf"] if works else [])]
    assert started[0] == "start net"


def test_an_arm_without_snapshots_says_so(local_arms: Arms) -> None:
    result, found = samples(local_arms, "snapshots")
    assert {sample["status"] for sample in found.values()} == {"refused"}
    assert {sample["reason"] for sample in found.values()} == {"plain processes have no snapshots"}
    assert result["arms"][0]["status"] == "ok"


def with_images(folder: pathlib.Path) -> dict[str, Image]:
    """Another release that is this machine's own, and a system that is not a program of Linux."""
    (folder / "lkrn").write_bytes(b"\xeb\x3c no program")
    (folder / "lkrn").chmod(0o755)
    entry = {"name": "A system", "file": "lkrn", "console": "its last (words|breath)"}
    (folder / "systems.json").write_text(json.dumps([entry, {**entry, "file": "not there"}]))
    return {"other-release": IMAGE, "other-systems": Image(rootfs=str(folder))}


def test_one_kernel_is_not_two(local_arms: Arms, tmp_path: pathlib.Path) -> None:
    result, found = samples(local_arms, "two-kernels", images=with_images(tmp_path))
    (sample,) = found.values()
    assert (sample["metric"], sample["value"], sample["status"]) == ("kernels_differ", 0, "ok")
    assert os.uname().release in evidence_of(result, sample)


def test_two_kernels_are_seen_by_what_instances_say(
    local_arms: Arms, tmp_path: pathlib.Path
) -> None:
    arm = local_arms["docker"]
    run = arm.run

    def says(name: str, argv: list[str], timeout_s: float) -> Result:
        if argv[0] == "uname" and name.endswith("-release"):
            return Result(0, "6.12.0\n", "", 0.1, 0.1, (0.0, 0.1, 0.0))
        return run(name, argv, timeout_s)

    arm.run = says  # type: ignore[method-assign,assignment]
    result, found = samples(local_arms, "two-kernels", images=with_images(tmp_path))
    assert found["kernels_differ", "minimal"]["value"] == 1
    assert "6.12.0" in evidence_of(result, found["kernels_differ", "minimal"])


def test_what_needs_an_image_that_is_not_there_is_refused(local_arms: Arms) -> None:
    result, found = samples(local_arms, "two-kernels", "os-variety")
    assert {sample["status"] for sample in found.values()} == {"refused"}
    assert "other-release is not on this host" in str(found["kernels_differ", "minimal"]["reason"])
    assert result["arms"][0]["status"] == "ok"


def test_no_program_of_linux_runs_in_what_shares_its_kernel(
    local_arms: Arms, tmp_path: pathlib.Path
) -> None:
    result, found = samples(local_arms, "os-variety", images=with_images(tmp_path))
    # This machine's own release is no other one.
    assert found["boots_other_release", "minimal"]["value"] == 0
    assert found["boots_other_kernel", "minimal"]["value"] == 0
    other = found["boots_other_system", "minimal"]
    assert (other["value"], other["status"]) == (0, "ok"), other
    assert "refused: " in evidence_of(result, other)
    assert "exec format error" in evidence_of(result, other).lower()


def test_what_is_refused_once_it_was_started_is_refused(
    local_arms: Arms, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = with_images(tmp_path)
    (tmp_path / "lkrn").write_text("#!/bin/sh\nexit 1\n")
    arm = local_arms["docker"]
    monkeypatch.setattr(arm, "console", lambda name: "exec /lkrn: exec format error")
    result, found = samples(local_arms, "os-variety", images=images)
    other = found["boots_other_system", "minimal"]
    assert (other["value"], other["status"]) == (0, "ok")
    assert "exec /lkrn: exec format error" in evidence_of(result, other)
    # With other last words it is a failure.
    monkeypatch.setattr(arm, "console", lambda name: "out of memory")
    _result, found = samples(local_arms, "os-variety", images=images)
    assert found["boots_other_system", "minimal"]["status"] == "failed"
    assert "ended before it was seen" in str(found["boots_other_system", "minimal"]["reason"])


def test_a_failure_is_no_answer(local_arms: Arms, tmp_path: pathlib.Path) -> None:
    local_arms["docker"].refuses_systems = ("something else",)
    _result, found = samples(local_arms, "os-variety", images=with_images(tmp_path))
    assert found["boots_other_system", "minimal"]["status"] == "failed"
    assert "xec format error" in str(found["boots_other_system", "minimal"]["reason"])
    assert found["boots_other_release", "minimal"]["status"] == "ok"


def test_another_system_is_seen_by_its_own_words(local_arms: Arms, tmp_path: pathlib.Path) -> None:
    images = with_images(tmp_path)
    (tmp_path / "lkrn").write_text("#!/bin/sh\nexec sleep 60\n")
    result, found = samples(local_arms, "os-variety", images=images)
    other = found["boots_other_system", "minimal"]
    assert other["value"] == 1
    assert "'its last words' on its console" in evidence_of(result, other)


def test_a_console_is_read_without_what_moves_its_cursor() -> None:
    system = System("m", "/m", console="Memtest86")
    assert systems.seen(system, "\x1b[1;1H\x1b[0;37;44mMem\x1b[1;4Htest86+ v6")
    assert not systems.seen(system, "\x1b[2JLoading")


@pytest.mark.parametrize("text", ["", "[", '[{"name": "x"}]', '[{"file": "x", "colour": 1}]'])
def test_a_broken_catalogue_is_said(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "systems.json").write_text(text)
    with pytest.raises(BackendError, match="catalogue of systems"):
        systems.read(str(tmp_path))


def test_a_step_that_fails_costs_its_own_figures_only(local_arms: Arms) -> None:
    local_arms["docker"].outputs["/bin/sh -c echo vcompare-fact"] = Result(
        3, "", "no shell", 0.1, 0.1, (0.0, 0.1, 0.0)
    )
    local_arms["docker"].outputs["/bin/sh -c echo 'vcompare-fact"] = Result(
        3, "", "no shell", 0.1, 0.1, (0.0, 0.1, 0.0)
    )
    _result, found = samples(local_arms, "startup", "footprint", "containment")
    assert found["own_kernel", "minimal"]["status"] == "failed"
    assert "no shell" in str(found["own_kernel", "minimal"]["reason"])
    assert found["host_memory", "minimal"]["status"] == "ok"
    assert found["time_to_first_reply", "minimal"]["status"] == "ok"


def test_an_arm_that_is_given_up_owes_no_figure(local_arms: Arms) -> None:
    local_arms["docker"].why_not = "the daemon does not run"
    _result, found = samples(local_arms, "footprint", "snapshots", "containment")
    metrics = [
        metric
        for name in ("footprint", "snapshots", "containment")
        for metric in registry.EXPERIMENTS[name].metrics
    ]
    assert set(found) == {(metric.metric, metric.variant) for metric in metrics}
    assert {sample["status"] for sample in found.values()} == {"failed"}


def test_new_processes_are_told_from_old_ones(tmp_path: pathlib.Path) -> None:
    # By a name of its own: others on this machine may start the same program.
    name = f"vc-{os.getpid()}"
    (tmp_path / name).symlink_to(str(shutil.which("sleep")))
    before = host.state()
    with subprocess.Popen(["setsid", "-f", str(tmp_path / name), "60"]):
        pass
    new: list[host.Process] = []
    try:
        # It is a copy of setsid until it has begun.
        deadline = time.monotonic() + 30
        while not new and time.monotonic() < deadline:
            came = host.state().new_processes(before)
            new = [process for process in came if process.name == name]
        assert len(new) == 1
        assert host.proportional_mib(new) > 0
    finally:
        for process in new:
            os.kill(process.pid, signal.SIGKILL)
    # What this process started is its own.
    with subprocess.Popen(["sleep", "27.2"]) as child:
        assert child.pid not in {process.pid for process in host.state().new_processes(before)}
        child.kill()


def test_a_process_stays_the_same_under_another_name() -> None:
    early, late = host.Process(7, 100, "runc"), host.Process(7, 100, "redis-server")
    assert not host.State(1.0, frozenset({late})).new_processes(host.State(1.0, frozenset({early})))
    assert {early}.intersection({late})
    assert host.Process(7, 101, "runc") != early


def test_redis_is_asked_from_outside(redis_server: str, address: str) -> None:
    assert not resp.ping(address, 0.1)
    command = [redis_server, "--bind", address, "--save", "", "--protected-mode", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/") as server:
        try:
            assert resp.ping(address, 10)
            assert resp.ask(address, "GET nothing", 5) == "-1"
            assert resp.ask(address, "SET word before", 5) == "OK"
            assert resp.ask(address, "GET word", 5) == "before"
            with pytest.raises(BackendError, match="answered NONSENSE with -ERR"):
                resp.ask(address, "NONSENSE", 5)
        finally:
            server.kill()


def test_time_on_a_cpu_is_counted() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"]) as busy:
        mine = next(each for each in host.state().processes if each.pid == busy.pid)
        before, began = host.cpu_s([mine])[mine], time.monotonic()
        spent = 0.0
        while spent < 0.2 and time.monotonic() - began < 60:
            time.sleep(0.1)
            spent = host.cpu_s([mine])[mine] - before
        took = time.monotonic() - began
        busy.kill()
    # One thread has one CPU at most; the kernel counts in steps of 10 ms.
    assert 0.2 <= spent <= took + 0.05
    assert host.cpu_s([host.Process(1 << 22, 0, "none")]) == {}


def test_time_of_a_thread_that_ended_stays_counted() -> None:
    work = (
        "import sys, threading; work = threading.Thread(target=lambda: [sum(range(999)) for _ in range(20_000)]);"
        "sys.stdin.readline(); work.start(); print(flush=True); sys.stdin.readline();"
        "work.join(); print(flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as busy:
        assert busy.stdin and busy.stdout
        mine = next(each for each in host.state().processes if each.pid == busy.pid)
        found = []
        for _moment in range(2):
            busy.stdin.write(b"\n")
            busy.stdin.flush()
            busy.stdout.readline()
            time.sleep(0.1)
            found.append(host.cpu_s([mine])[mine])
        busy.kill()
    # Of the thread, a part was there at the first look, and none at the second.
    assert found[1] > found[0]


def test_no_metric_has_two_meanings() -> None:
    for experiment in registry.EXPERIMENTS.values():
        keys = [(metric.metric, metric.variant) for metric in experiment.metrics]
        assert len(keys) == len(set(keys))
        assert {metric.scenario for metric in experiment.metrics} == {experiment.name}
        assert {step.moment for step in experiment.steps} <= {base.REST, base.LATER, base.LAST}
