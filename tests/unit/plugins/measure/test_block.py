# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A block of real processes: what is measured, what is refused, and that nothing stays."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Proof, Result
from ansible_collections.vcompare.lab.plugins.module_utils._block import block
from ansible_collections.vcompare.lab.plugins.module_utils._contract import ids
from ansible_collections.vcompare.lab.plugins.module_utils._contract.reasons import IMPOSSIBLE_VALUE
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios import evidence, starting
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads import registry
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import WorkSpec
from hypothesis import given
from hypothesis import strategies as st

from .conftest import IMAGE, Arms

PLAN = block.Plan(
    run="20261124-101500-ab12cd",
    block=3,
    host="lab-linux",
    arms=("kvm", "bare"),
    scenarios=("startup", "syscall"),
    iterations=1,
    work=WorkSpec(seconds=1, loops={"syscall": 20_000}),
    image=IMAGE,
    cpuset=str(max(os.sched_getaffinity(0))),
)
# What a sample line has (docs/contracts.md).
SAMPLE = {
    "schema", "run", "block", "order", "host", "arm", "variant", "scenario", "metric", "unit",
    "direction", "value", "iteration", "warmup", "status", "reason", "started_at",
    "host_elapsed_s", "guest_elapsed_s", "evidence",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may be running: the gate that this would close has a test of its own."""
    monkeypatch.setattr(conditions, "wait_quiet", lambda timeout_s: 0.0)


def measured(plan: block.Plan, arms: Arms) -> block.Record:
    result = block.measure(plan, arms.__getitem__)
    json.dumps(result)
    for sample in result["samples"]:
        assert set(sample) - {"reason_code"} == SAMPLE
        assert (sample["value"] is None) == (sample["status"] != "ok")
        assert (sample["reason"] is None) == (sample["status"] == "ok")
        assert sample["value"] is None or math.isfinite(sample["value"])
        assert result["raw"][sample["evidence"]]
    for key, text in result["raw"].items():
        assert evidence.sha256(text) == key
    for backend in arms.values():
        assert not backend.processes, "an instance was left behind"
    return result


def reasons(result: block.Record) -> dict[str, str]:
    return {arm["arm"]: arm["reason"] or "" for arm in result["arms"]}


def statuses(result: block.Record) -> dict[str, str]:
    return {arm["arm"]: arm["status"] for arm in result["arms"]}


def test_a_good_block(local_arms: Arms) -> None:
    began = time.monotonic()
    result = measured(PLAN, local_arms)
    took = time.monotonic() - began
    assert statuses(result) == {"kvm": "ok", "bare": "ok"}
    assert result["order"] == ["kvm", "bare"]
    assert 0 < result["host_elapsed_s"] <= took + 0.001
    found = [
        (s["order"], s["arm"], s["scenario"], s["iteration"], s["warmup"])
        for s in result["samples"]
    ]
    assert found == [
        (1, "kvm", "startup", 1, False),
        (1, "kvm", "syscall", 1, True),
        (1, "kvm", "syscall", 2, False),
        (2, "bare", "startup", 1, False),
        (2, "bare", "syscall", 1, True),
        (2, "bare", "syscall", 2, False),
    ]
    for sample in result["samples"]:
        assert sample["metric"] in {one.metric for one in registry.metrics(sample["scenario"])}
    starts = [s for s in result["samples"] if s["scenario"] == "startup"]
    assert all(0.001 < s["value"] < took for s in starts)
    assert "polls:" in result["raw"][starts[0]["evidence"]]
    proof = result["proofs"][0]
    assert proof["proven"] is True
    assert {p["name"] for p in proof["proofs"]} == {"process", "root-file-system-quick", "clock"}


def test_conditions_of_each_arm_are_in_the_block(local_arms: Arms) -> None:
    result = measured(PLAN, local_arms)
    for arm in result["arms"]:
        found = arm["conditions"]
        assert found["wall_s"] > 0
        assert found["busy_s"] > 0
        assert found["quiet_cpus"] == 0.0
        assert set(found["pressure_s"]) == {"cpu", "io", "memory"}
    clock = result["host_monotonic_s"]
    assert clock["ended_s"] - clock["began_s"] == pytest.approx(result["host_elapsed_s"], abs=0.5)
    assert clock["boot_id"]


def test_an_arm_that_never_began_has_no_conditions(local_arms: Arms) -> None:
    local_arms["kvm"].fail_on["prepare"] = BackendError("it broke")
    result = measured(PLAN, local_arms)
    assert {arm["arm"]: arm["conditions"] is None for arm in result["arms"]} == {
        "kvm": True,
        "bare": False,
    }


def test_bare_again_is_an_arm_of_its_own(local_arms: Arms) -> None:
    result = measured(dataclasses.replace(PLAN, arms=("bare-again", "bare")), local_arms)
    assert statuses(result) == {"bare-again": "ok", "bare": "ok"}
    assert [line["arm"] for line in result["proofs"] if line["proven"]] == ["bare-again", "bare"]
    assert local_arms["bare-again"].log[-1] == "destroy vc-ab12cd-3-bare-again"
    assert local_arms["bare"].log[-1] == "destroy vc-ab12cd-3-bare"


def test_a_host_that_does_not_say_how_busy_it_is(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "wait_quiet", lambda timeout_s: None)
    result = measured(PLAN, local_arms)
    assert set(statuses(result).values()) == {"refused"}
    assert "/proc/stat" in reasons(result)["kvm"]


def test_instances_are_fresh_and_one_at_a_time(local_arms: Arms) -> None:
    measured(PLAN, local_arms)
    name = "vc-ab12cd-3-kvm"
    log = local_arms["kvm"].log
    assert log[0] == "prepare"
    assert log[1] == "create"
    assert log[-1] == f"destroy {name}"
    assert log.index("identify") < log.index("run /usr/lib/vcompare/digest --quick")
    assert log.count("run perf bench") == 2


def test_the_reply_is_timed_while_create_is_still_busy(local_arms: Arms) -> None:
    """``docker run`` returns long after the application replies."""
    local_arms["kvm"].create_takes_s = 1.5
    result = measured(dataclasses.replace(PLAN, arms=("kvm",)), local_arms)
    assert result["samples"][0]["value"] < 1.2


def test_full_digest(local_arms: Arms) -> None:
    result = measured(dataclasses.replace(PLAN, full_digest=True), local_arms)
    assert statuses(result) == {"kvm": "ok", "bare": "ok"}
    assert "root-file-system" in {p["name"] for p in result["proofs"][0]["proofs"]}
    assert "run /usr/lib/vcompare/digest" in local_arms["kvm"].log


def test_another_root_file_system_is_refused(local_arms: Arms) -> None:
    local_arms["kvm"].digests["quick"] = "sha256:" + "c" * 64
    result = measured(PLAN, local_arms)
    assert statuses(result) == {"kvm": "refused", "bare": "ok"}
    assert "root file system" in reasons(result)["kvm"]
    assert not result["proofs"][0]["proven"]
    kvm = [s for s in result["samples"] if s["arm"] == "kvm"]
    assert [(s["scenario"], s["status"]) for s in kvm] == [
        ("startup", "refused"),
        ("syscall", "refused"),
    ]


def test_an_unknown_digest_is_refused(local_arms: Arms) -> None:
    plan = dataclasses.replace(PLAN, image=dataclasses.replace(IMAGE, quick_digest=""))
    assert set(statuses(measured(plan, local_arms)).values()) == {"refused"}


@pytest.mark.parametrize("proofs", [[], [Proof("cpuid", "inside", "KVMKVMKVM", "", False)]])
def test_an_arm_without_proof_is_refused(local_arms: Arms, proofs: list[Proof]) -> None:
    local_arms["kvm"].proofs = proofs
    result = measured(PLAN, local_arms)
    assert statuses(result) == {"kvm": "refused", "bare": "ok"}
    assert "did not prove" in reasons(result)["kvm"]
    assert result["proofs"][0]["proven"] is False
    assert result["proofs"][0]["reason"]
    assert not any(step.startswith("run perf") for step in local_arms["kvm"].log)


@pytest.mark.parametrize("verb", ["prepare", "create", "wait_ready", "identify"])
@pytest.mark.parametrize(
    "error", [BackendError("it broke", remedy="Mend it.", evidence="last words"), ValueError("bug")]
)
def test_a_failing_arm_is_data(local_arms: Arms, verb: str, error: Exception) -> None:
    local_arms["kvm"].fail_on[verb] = error
    result = measured(PLAN, local_arms)
    assert statuses(result) == {"kvm": "failed", "bare": "ok"}
    text = "it broke. Mend it." if isinstance(error, BackendError) else "ValueError: bug"
    assert text in reasons(result)["kvm"]
    kvm = [s for s in result["samples"] if s["arm"] == "kvm"]
    assert [s["status"] for s in kvm] == ["failed", "failed"]
    seen = result["raw"][kvm[0]["evidence"]]
    assert ("last words" if isinstance(error, BackendError) else "Traceback") in seen


def test_an_arm_that_the_host_did_not_survive_is_not_tried_again(local_arms: Arms) -> None:
    result = measured(dataclasses.replace(PLAN, lost={"kvm": "the host was reset"}), local_arms)
    assert statuses(result) == {"kvm": "failed", "bare": "ok"}
    assert reasons(result)["kvm"] == "the host was reset"
    assert "create" not in local_arms["kvm"].log
    kvm = [sample for sample in result["samples"] if sample["arm"] == "kvm"]
    assert {(sample["status"], sample["reason"]) for sample in kvm} == {
        ("failed", "the host was reset")
    }


def test_an_arm_that_the_host_cannot_carry(local_arms: Arms) -> None:
    local_arms["kvm"].why_not = "no /dev/kvm"
    result = measured(PLAN, local_arms)
    assert statuses(result) == {"kvm": "failed", "bare": "ok"}
    assert "no /dev/kvm" in reasons(result)["kvm"]


def test_an_arm_that_nobody_knows(local_arms: Arms) -> None:
    result = measured(dataclasses.replace(PLAN, arms=("unknown", "bare")), local_arms)
    assert statuses(result) == {"unknown": "failed", "bare": "ok"}
    assert "Choose another." in reasons(result)["unknown"]


def test_an_application_that_never_replies(local_arms: Arms) -> None:
    local_arms["kvm"].at = "192.0.2.1"  # redis can't listen there
    plan = dataclasses.replace(PLAN, timeout_factor=0.005)
    result = block.measure(plan, local_arms.__getitem__)
    assert statuses(result)["kvm"] == "failed"
    assert "no correct reply from 192.0.2.1:6379" in reasons(result)["kvm"]


def test_an_instance_that_ends_early_is_not_waited_for(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "_LOOK_S", 0.1)
    local_arms["kvm"].at = "192.0.2.1"  # redis can't listen there, and ends
    began = time.monotonic()
    result = block.measure(PLAN, local_arms.__getitem__)
    assert time.monotonic() - began < starting.READY_S / 2
    assert statuses(result)["kvm"] == "failed"
    assert "ended before its application replied; it is stopped" in reasons(result)["kvm"]
    sample = next(one for one in result["samples"] if one["arm"] == "kvm")
    assert "its last words" in result["raw"][sample["evidence"]]


def test_something_else_answers_at_the_address(local_arms: Arms) -> None:
    other = local_arms["other"]
    other.at = local_arms["kvm"].at
    spec = block._Turn(PLAN, 1, "other", evidence.Evidence())._spec(block.startup.command(other.at))
    other.create(spec, 5)
    while not block.readiness.answers(other.at, 6379):
        time.sleep(0.01)
    result = block.measure(PLAN, local_arms.__getitem__)
    assert statuses(result) == {"kvm": "refused", "bare": "ok"}
    assert "before the instance was made" in reasons(result)["kvm"]


def test_a_tool_that_fails_fails_its_samples_only(local_arms: Arms) -> None:
    local_arms["kvm"].outputs["perf"] = Result(127, "", "perf: not found", 0.1, 0.1)
    result = measured(PLAN, local_arms)
    assert statuses(result) == {"kvm": "failed", "bare": "ok"}
    assert "ended with 127: perf: not found" in reasons(result)["kvm"]
    kvm = [s for s in result["samples"] if s["arm"] == "kvm"]
    assert [(s["scenario"], s["status"]) for s in kvm] == [
        ("startup", "ok"),
        ("syscall", "failed"),
        ("syscall", "failed"),
    ]


def test_output_that_is_not_understood_fails_the_sample(local_arms: Arms) -> None:
    local_arms["kvm"].outputs["perf"] = Result(0, "segmentation fault", "", 0.1, 0.1)
    result = measured(PLAN, local_arms)
    assert "segmentation fault" in reasons(result)["kvm"]


def test_warm_up_is_kept_and_marked_or_left_out(local_arms: Arms) -> None:
    for warmups in (0, 2):
        result = measured(dataclasses.replace(PLAN, warmups=warmups), local_arms)
        seen = [s for s in result["samples"] if (s["arm"], s["scenario"]) == ("kvm", "syscall")]
        assert [s["warmup"] for s in seen] == [True] * warmups + [False]
        texts = [result["raw"][s["evidence"]] for s in seen]
        assert [" 2000\n" in text for text in texts] == [True] * warmups + [False]


def test_an_impossible_value_is_refused(local_arms: Arms) -> None:
    text = (
        "# Executed 20000 getppid() calls\n     Total time: 0.000 [sec]\n\n"
        "       0.000001 usecs/op\n"
    )
    local_arms["kvm"].outputs["perf"] = Result(0, text, "", 0.1, 0.1)
    result = measured(dataclasses.replace(PLAN, warmups=0), local_arms)
    assert statuses(result) == {"kvm": "refused", "bare": "ok"}
    assert "physically possible" in reasons(result)["kvm"]
    codes = {sample.get("reason_code") for sample in result["samples"] if sample["arm"] == "kvm"}
    assert IMPOSSIBLE_VALUE in codes


def test_an_instance_that_hangs_ends_its_turn(local_arms: Arms) -> None:
    local_arms["kvm"].fail_on["run perf bench"] = BackendError("no answer within 61 s")
    plan = dataclasses.replace(PLAN, scenarios=("startup", "syscall", "fork"))
    result = measured(plan, local_arms)
    kvm = [(s["scenario"], s["status"]) for s in result["samples"] if s["arm"] == "kvm"]
    assert kvm == [("startup", "ok"), ("syscall", "failed"), ("fork", "failed")]
    assert local_arms["kvm"].log.count("run perf bench") == 1


def test_the_host_is_looked_at_only_for_experiments(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_xl() -> host.State:
        raise BackendError("asking Xen for its free memory: xl is not installed")

    monkeypatch.setattr(host, "state", no_xl)
    assert statuses(measured(PLAN, local_arms)) == {"kvm": "ok", "bare": "ok"}
    plan = dataclasses.replace(PLAN, arms=("kvm", "bare"), scenarios=("startup", "footprint"))
    # Bare has no experiments.
    assert statuses(measured(plan, local_arms)) == {"kvm": "failed", "bare": "ok"}


def test_load_from_elsewhere_is_refused(local_arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "wait_quiet", lambda timeout_s: 1.5)
    result = measured(PLAN, local_arms)
    assert set(statuses(result).values()) == {"refused"}
    assert "1.5 CPUs" in reasons(result)["kvm"]


def test_swapping_takes_back_what_was_measured(
    local_arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = iter(range(0, 1000, 7))
    monkeypatch.setattr(conditions, "now", lambda: conditions.Conditions(0.0, 0.0, next(pages), {}))
    result = measured(PLAN, local_arms)
    assert set(statuses(result).values()) == {"refused"}
    assert {s["status"] for s in result["samples"]} == {"refused"}
    assert "swapped 7 pages" in reasons(result)["kvm"]


def test_a_clock_that_runs_differently_is_refused(local_arms: Arms) -> None:
    local_arms["kvm"].clock_rate = 0.9
    # Work that is fixed and takes long enough to tell: what stops after a time may count nothing on a busy machine.
    long = WorkSpec(seconds=1, loops={"syscall": 5_000_000})
    plan = dataclasses.replace(PLAN, work=long)
    result = measured(plan, local_arms)
    assert statuses(result) == {"kvm": "refused", "bare": "ok"}, reasons(result)
    assert "clock" in reasons(result)["kvm"]


@given(
    rate=st.floats(0.9, 1.1),
    length=st.floats(0.5, 600),
    latencies=st.tuples(*[st.floats(0.0, 2.0)] * 4),
)
def test_clock_doubt(rate: float, length: float, latencies: tuple[float, ...]) -> None:
    """A true clock is never doubted; one that is off by more than reading explains always is."""
    before, after, before2, after2 = latencies
    first = (100 - before, 100 + after, 50.0)
    last = (100 + length - before2, 100 + length + after2, 50.0 + round(rate * length, 2))
    doubt = block.clock_doubt(first, last)
    if 0.9951 < rate < 1.0049:
        assert not doubt
    slack = sum(latencies) + 0.02
    if abs(rate - 1) * length > 0.0051 * length + 1.2 * slack:
        assert doubt


def test_leftovers_of_an_interrupted_block_go_first(local_arms: Arms) -> None:
    turn = block._Turn(dataclasses.replace(PLAN, block=2), 1, "kvm", evidence.Evidence())
    kvm = local_arms["kvm"]
    spec = turn._spec(block.startup.command(kvm.at))
    kvm.create(spec, 5)
    theirs = dataclasses.replace(spec, name="vc-theirs", owner="somebody", command=("sleep", "99"))
    kvm.create(theirs, 5)
    try:
        result = block.measure(PLAN, local_arms.__getitem__)
        assert statuses(result) == {"kvm": "ok", "bare": "ok"}
        assert set(kvm.processes) == {"vc-theirs"}
    finally:
        kvm.destroy("vc-theirs", 5)


def test_an_arm_beside_a_leftover_is_refused(local_arms: Arms) -> None:
    """What can't be removed keeps the host busy: no figure beside it can be trusted."""
    kvm = local_arms["kvm"]
    kvm.fail_on["destroy vc-ab12cd-3-kvm"] = BackendError("it does not go away")
    result = block.measure(PLAN, local_arms.__getitem__)
    assert statuses(result) == {"kvm": "ok", "bare": "refused"}
    assert "could not be removed" in reasons(result)["bare"]


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("20261124-101500-ab12cd", "vc-ab12cd-3-kvm"),
        ("My Run!", "vc-myrun-3-kvm"),
        ("übung", "vc-bung-3-kvm"),
        ("---", "vc-run-3-kvm"),
    ],
)
def test_names_of_instances(run: str, name: str) -> None:
    assert ids.instance_name(run, 3, "kvm") == name
