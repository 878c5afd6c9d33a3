# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Each gate passes what is fine, and refuses what is not."""

from __future__ import annotations

import json
import math
import typing as t
from pathlib import Path

import numpy as np
import pytest
from chained import chain_up, clocks
from hypothesis import given
from hypothesis import strategies as st
from synthetic import METRICS, Synthetic, host_of, read_lines, write_lines

from vcompare_runner._contract.arms import AGAIN, arm_order
from vcompare_runner._contract.reasons import GATE, Reason
from vcompare_runner.analysis.gates import Gates, judge_gates, reach
from vcompare_runner.analysis.statistics import Interval, analyse
from vcompare_runner.bundle import conditions
from vcompare_runner.bundle import gate_limits as limits
from vcompare_runner.bundle.clocks import judge_hosts, rate
from vcompare_runner.bundle.conditions import ControllerClock, HostClock
from vcompare_runner.bundle.read import load_bundle
from vcompare_runner.bundle.schema import Bundle
from vcompare_runner.core import words
from vcompare_runner.core.errors import BundleError
from vcompare_runner.report import build_report, write_report_of
from vcompare_runner.verdict import comparisons
from vcompare_runner.verdict.court import Court
from vcompare_runner.verdict.schema import ClaimTest

Record = dict[str, t.Any]
Change = t.Callable[[Record], None]
BLOCKS = 7


def made(tmp_path: Path, change: Change = lambda line: None, **fields: t.Any) -> Bundle:
    synthetic = Synthetic(
        arms=("bare", "docker", "xen-pv"), scenarios=("startup", "cpu"), blocks=BLOCKS, **fields
    )
    return load_bundle(chain_up(synthetic.write(tmp_path), change))


def again(folder: Path, ratio: float = 1.0, noise: float = 0.01) -> Path:
    """Measure bare once more in each block, with this ratio to the first time."""
    rng = np.random.default_rng(1)
    lines = {name: read_lines(folder / f"{name}.jsonl") for name in ("samples", "proofs", "blocks")}
    for name in ("samples", "proofs"):
        for record in [each for each in lines[name] if each["arm"] == "bare"]:
            copy = record | {"arm": AGAIN}
            if name == "samples":
                copy["value"] *= ratio * float(np.exp(rng.normal(0, noise)))
            lines[name].append(copy)
    for line in lines["blocks"]:
        if line["host"] == host_of("bare"):
            line["arms"].append({"arm": AGAIN, "status": "ok", "reason": None})
            line["order"].append(AGAIN)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["arms"].append(manifest["arms"][0] | {"arm": AGAIN})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, records in lines.items():
        write_lines(folder / f"{name}.jsonl", records)
    return folder


def of(gates: Gates, name: str, passed: bool | None) -> list[t.Any]:
    return [result for result in gates.results if (result.name, result.passed) == (name, passed)]


def blocks_used(bundle: Bundle, arm: str) -> set[int]:
    samples = bundle.samples
    return {
        int(samples.block[index])
        for index in np.flatnonzero(samples.used)
        if samples.keys[samples.series[index]].arm == arm
    }


def on(arm: str, block: int | None, **changes: t.Any) -> Change:
    """Change the conditions of an arm in one block, or in all."""

    def change(line: Record) -> None:
        for each in line["arms"]:
            if each["arm"] == arm and block in (None, line["block"]):
                for key, value in changes.items():
                    if key in ("cpu", "io", "memory"):
                        each["conditions"]["pressure_s"][key] = value
                    else:
                        each["conditions"][key] = value

    return change


def test_nothing_is_refused_where_nothing_is_wrong(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    gates = judge_gates(bundle)
    assert [result for result in gates.results if result.passed is False] == []
    judged = {result.name for result in gates.results if result.passed}
    assert judged == set(limits.LIMITS) - {limits.AA, limits.DIGEST}
    for result in gates.results:
        assert result.name in limits.LIMITS
        assert result.sentence
        assert result.limit is None or result.figure is None or result.figure <= result.limit
    for arm in ("bare", "docker", "xen-pv"):
        assert gates.refuses("cpu", arm, host_of(arm)) == []
        assert blocks_used(bundle, arm) == set(range(1, BLOCKS + 1))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (limits.QUIET, {"quiet_cpus": 0.8}),
        (limits.STEAL, {"steal_s": 3.0}),
        (limits.SWAP, {"swapped_pages": 3}),
        (f"{limits.PRESSURE}-memory", {"memory": 0.5}),
        (f"{limits.PRESSURE}-cpu", {"cpu": 6.0}),
        (f"{limits.PRESSURE}-io", {"io": 4.0}),
    ],
)
def test_conditions_of_one_turn_refuse_that_turn(tmp_path: Path, name: str, change: Record) -> None:
    bundle = made(tmp_path, on("docker", 3, **change))
    gates = judge_gates(bundle)
    (result,) = of(gates, name, False)
    assert (result.arm, result.host, result.block, result.scope) == (
        "docker",
        "lab-linux",
        3,
        "arm",
    )
    assert result.figure > result.limit
    assert blocks_used(bundle, "docker") == set(range(1, BLOCKS + 1)) - {3}
    assert blocks_used(bundle, "bare") == set(range(1, BLOCKS + 1))
    # One turn of seven is no reason to refuse the arm.
    assert gates.refuses("cpu", "docker", "lab-linux") == []
    assert f"refused by the gate {name}" in "".join(bundle.samples.why_not.values())


def test_an_arm_with_too_few_turns_left_is_refused(tmp_path: Path) -> None:
    def change(line: Record) -> None:
        if line["block"] <= 4:
            on("docker", line["block"], quiet_cpus=1.0)(line)

    gates = judge_gates(made(tmp_path, change))
    (result,) = gates.refuses("cpu", "docker", "lab-linux")
    assert result.name == limits.QUIET
    assert "in 4 of 7 blocks" in result.sentence
    assert gates.refuses("cpu", "bare", "lab-linux") == []


def test_what_a_host_does_not_say_is_not_judged(tmp_path: Path) -> None:
    nothing = {"quiet_cpus": None, "steal_s": None, "swapped_pages": None, "cpu": None, "io": None,
               "memory": None}  # fmt: skip
    bundle = made(tmp_path, on("docker", None, **nothing))
    found = [r for r in judge_gates(bundle).results if r.arm == "docker" and r.scope == "arm"]
    unjudged = {result.name for result in found if result.passed is None}
    assert {limits.QUIET, limits.STEAL, limits.SWAP, "pressure-cpu", "pressure-io"} <= unjudged
    assert all(result.figure is None for result in found if result.passed is None)
    assert blocks_used(bundle, "docker") == set(range(1, BLOCKS + 1))


def test_time_that_xen_gives_its_own_guests_is_not_stolen(tmp_path: Path) -> None:
    gates = judge_gates(made(tmp_path, on("xen-pv", None, steal_s=5.0)))
    assert of(gates, limits.STEAL, False) == []
    assert {r.arm for r in of(gates, limits.STEAL, None)} == {"xen-pv"}


@pytest.mark.parametrize(
    ("arm", "own", "below", "carries", "expected"),
    [
        ("docker", 6.0, 0.0, True, 0.1),
        ("docker", 0.0, 6.0, True, 0.05),
        ("docker", None, 6.0, True, 0.05),
        # What another machine knows says nothing of this one.
        ("docker", None, 6.0, False, None),
        ("docker", None, None, True, None),
        ("docker", 6.0, None, False, 0.1),
        # In dom0 the time went to Xen's own guests; only the machine below knows of others.
        ("xen-pv", 6.0, 0.0, True, 0.0),
        ("xen-pv", 6.0, None, True, None),
    ],
)
def test_a_share_that_no_one_knows_is_unknown_and_never_zero(
    tmp_path: Path,
    arm: str,
    own: float | None,
    below: float | None,
    carries: bool,
    expected: float | None,
) -> None:
    def change(line: Record) -> None:
        on(arm, None, steal_s=own, wall_s=60.0, cpus=1)(line)
        line["controller"] |= {"steal_s": below, "wall_s": 60.0, "cpus": 2}
        line["controller"]["nodes_here"] = 2 if carries else 0

    shares = conditions.stolen(made(tmp_path, change).blocks)
    assert {share for (_block, _host, name), share in shares.items() if name == arm} == {expected}


def test_a_speed_is_not_judged_where_no_one_knows_what_was_stolen(tmp_path: Path) -> None:
    def change(line: Record) -> None:
        for each in line["arms"]:
            each["conditions"]["steal_s"] = None
        line["controller"]["steal_s"] = None

    sentence = "it is not known how much CPU time was stolen"
    assert sentence in json.dumps(build_report(made(tmp_path / "unknown", change)))
    assert sentence not in json.dumps(build_report(made(tmp_path / "known")))


def test_what_an_arm_always_waits_is_its_own(tmp_path: Path) -> None:
    gates = judge_gates(made(tmp_path, on("docker", None, cpu=6.0)))
    assert of(gates, "pressure-cpu", False) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (limits.FOREIGN, {"busy_foreign_cpus": 0.9}),
        (limits.CONTROLLER_STEAL, {"steal_s": 20.0}),
        (limits.CONTROLLER_SWAP, {"swapped_pages": 5000}),
        (limits.CONTROLLER_PRESSURE, {"pressure_s": {"cpu": 1.0, "io": 0.0, "memory": 9.0}}),
    ],
)
def test_load_on_the_machine_below_refuses_the_block(
    tmp_path: Path, name: str, change: Record
) -> None:
    def disturb(line: Record) -> None:
        if line["block"] == 2 and line["host"] == "lab-linux":
            line["controller"] |= change

    bundle = made(tmp_path, disturb)
    (result,) = of(judge_gates(bundle), name, False)
    assert (result.scope, result.block, result.host, result.arm) == ("block", 2, "lab-linux", None)
    for arm in ("bare", "docker"):
        assert blocks_used(bundle, arm) == set(range(1, BLOCKS + 1)) - {2}
    assert blocks_used(bundle, "xen-pv") == set(range(1, BLOCKS + 1))


def test_load_on_a_controller_that_carries_nothing_is_no_matter(tmp_path: Path) -> None:
    def disturb(line: Record) -> None:
        line["controller"] |= {"busy_foreign_cpus": 30.0, "nodes_here": 0, "swapped_pages": 10**6}

    gates = judge_gates(made(tmp_path, disturb))
    assert [result for result in gates.results if result.passed is False] == []
    assert of(gates, limits.FOREIGN, None)[0].figure == 30.0


def test_load_all_the_time_refuses_every_arm(tmp_path: Path) -> None:
    def disturb(line: Record) -> None:
        line["controller"]["busy_foreign_cpus"] = 1.2

    bundle = made(tmp_path, disturb)
    gates = judge_gates(bundle)
    for arm in ("bare", "docker", "xen-pv"):
        assert [r.name for r in gates.refuses("cpu", arm, host_of(arm))] == [limits.FOREIGN]
    assert not bundle.samples.used.any()
    claims = {claim["id"]: claim for claim in build_report(bundle)["claims"]}
    # It was measured, so it is not "not run".
    assert claims["near-native"]["verdict"] == "REFUSED"
    assert "foreign-load: 1.20 CPUs" in claims["near-native"]["sentence"]
    assert "quieter host" in claims["near-native"]["settle"]


def test_arms_of_which_a_gate_left_no_common_block_are_refused(tmp_path: Path) -> None:
    def disturb(line: Record) -> None:
        for outcome in line["arms"]:
            if outcome["arm"] == ("docker" if line["block"] % 2 else "bare"):
                outcome["conditions"]["quiet_cpus"] = 0.8

    bundle = made(tmp_path, disturb)
    assert not blocks_used(bundle, "docker") & blocks_used(bundle, "bare")
    claim = next(each for each in build_report(bundle)["claims"] if each["id"] == "near-native")
    cpu = next(each for each in claim["tests"] if each["name"] == "cpu")
    assert (cpu["outcome"], cpu["cause"]) == ("refused", "gate")
    assert (
        "no block has a figure of both it and bare: refused by the gate quiet-host" in cpu["reason"]
    )


def test_what_would_settle_it_follows_from_what_refused(tmp_path: Path) -> None:
    folder = Synthetic(refused={"docker": "its CPUID signature was wrong"}).write(tmp_path)
    claim = next(
        each for each in build_report(load_bundle(folder))["claims"] if each["id"] == "near-native"
    )
    cpu = next(each for each in claim["tests"] if each["name"] == "cpu")
    assert (cpu["outcome"], cpu["cause"]) == ("refused", "unproven")
    assert "quieter" not in claim["settle"]


def test_reasons_of_one_gate_are_summed_up() -> None:
    pages = ("the host swapped 3 pages", "the host swapped 5 pages")
    first, second = (Reason(GATE, f"refused by the gate swap: {each}", "swap") for each in pages)
    text = words.reasons([first, "it hung", "it hung", second])
    assert text == "refused by the gate swap: the host swapped 3 pages (so in 2 blocks); it hung"


# Clocks


def test_a_host_clock_that_is_off_refuses_the_host(tmp_path: Path) -> None:
    def slow(line: Record) -> None:
        if line["host"] == "lab-xen":
            line["clocks"] = clocks(line["block"], rate=0.97)

    gates = judge_gates(made(tmp_path, slow))
    (result,) = of(gates, limits.HOST_CLOCK, False)
    assert (result.host, result.scope) == ("lab-xen", "host")
    assert gates.refuses("cpu", "xen-pv", "lab-xen") == [result]
    assert gates.refuses("cpu", "docker", "lab-linux") == []


@given(
    true=st.floats(0.9, 1.1),
    before=st.lists(st.floats(0.5, 12.0), min_size=2, max_size=12),
    after=st.lists(st.floats(0.1, 12.0), min_size=12, max_size=12),
    length=st.floats(10, 200),
    start=st.integers(0, 10**6),
)
def test_bounds_hold_the_true_rate(
    true: float, before: list[float], after: list[float], length: float, start: float
) -> None:
    """Whatever the transfers took: the true rate is never outside of what is said."""
    pairs, now = [], start
    for transfer, answer in zip(before, after, strict=False):
        began = now + transfer
        ended = began + length
        pairs.append(
            (
                HostClock(boot_id="h", began_s=true * began, ended_s=true * ended),
                ControllerClock(boot_id="c", sent_s=now, received_s=ended + answer),
            )
        )
        now = ended + answer + 1
    found = rate(pairs)
    assert found is not None
    assert found.least <= true * (1 + 1e-6)
    assert found.most >= true * (1 - 1e-6)


def test_bounds_get_closer_the_longer_a_run_is() -> None:
    def of_blocks(count: int) -> float:
        pairs = []
        for block in range(count):
            both = clocks(block)
            pairs.append((HostClock(**both["host"]), ControllerClock(**both["controller"])))
        found = rate(pairs)
        assert found is not None
        return found.most - found.least

    assert of_blocks(1) == float("inf")
    assert of_blocks(5) > of_blocks(20) > of_blocks(60)
    assert of_blocks(60) < 0.01


def test_clocks_of_different_boots_are_not_compared() -> None:
    """A host that was started again counts from zero."""
    pairs = []
    for block in range(10):
        both = clocks(block)
        if block >= 5:
            both["host"] |= {"boot_id": "second", "began_s": 10.0, "ended_s": 10.0 + 61.1}
        if block < 5 or block == 5:
            pairs.append((HostClock(**both["host"]), ControllerClock(**both["controller"])))
    found = rate(pairs)
    assert found is not None
    assert found.least <= 1 <= found.most


@pytest.mark.parametrize("sessions", [("41-7", "52-9"), (None, None)])
def test_a_node_that_was_put_back_to_its_snapshot_is_not_compared_with_what_it_was(
    sessions: tuple[str | None, str | None],
) -> None:
    """The same boot, and an earlier clock: that run was resumed in a lab that had been stopped."""
    pairs = []
    for block in range(10):
        both = clocks(block)
        if block >= 5:
            both["host"]["began_s"] -= 480.0
            both["host"]["ended_s"] -= 480.0
        both["controller"]["session"] = sessions[block >= 5]
        pairs.append((HostClock(**both["host"]), ControllerClock(**both["controller"])))
    found = rate(pairs)
    assert found is not None
    assert found.least <= 1 <= found.most < 1.1


def test_joined_runs_are_held_against_a_clock_of_their_own(tmp_path: Path) -> None:
    """The second one's lab was put back to its snapshot, and had been up longer than the first one's."""
    bundles = []
    for number, later in enumerate((0.0, 1000.0)):

        def put_back(line: Record, number: int = number, later: float = later) -> None:
            line["clocks"]["host"]["began_s"] += later
            line["clocks"]["host"]["ended_s"] += later
            line["clocks"]["controller"]["sent_s"] += 5000.0 * number
            line["clocks"]["controller"]["received_s"] += 5000.0 * number

        bundles.append(made(tmp_path / str(number), put_back))
    blocks = [
        line.model_copy(update={"run": str(number)})
        for number, bundle in enumerate(bundles)
        for line in bundle.blocks
    ]
    assert all(result.passed for result in judge_hosts(blocks))


def test_a_clock_that_goes_back_while_a_playbook_measures_is_doubted() -> None:
    pairs = []
    for block in range(4):
        both = clocks(block)
        both["host"]["began_s"] -= 480.0 * (block >= 2)
        both["host"]["ended_s"] -= 480.0 * (block >= 2)
        both["controller"]["session"] = "41-7"
        pairs.append((HostClock(**both["host"]), ControllerClock(**both["controller"])))
    found = rate(pairs)
    assert found is not None
    assert found.off > 0.5


def test_an_instance_clock_that_is_off(tmp_path: Path) -> None:
    def fast(line: Record) -> None:
        for arm in line["arms"]:
            if arm["arm"] == "docker":
                arm["clock"]["instance_s"] = 20.5

    gates = judge_gates(made(tmp_path, fast))
    assert {r.arm for r in of(gates, limits.GUEST_CLOCK, False)} == {"docker"}
    assert [r.name for r in gates.refuses("cpu", "docker", "lab-linux")] == [limits.GUEST_CLOCK]


# Proofs, digests, values, record


def test_an_arm_without_proof(tmp_path: Path) -> None:
    gates = judge_gates(made(tmp_path, refused={"docker": "it did not prove what it is"}))
    assert len(of(gates, limits.PROOF, False)) == BLOCKS
    (result,) = gates.refuses("startup", "docker", "lab-linux")
    assert result.name == limits.PROOF
    assert "in 7 of 7 blocks" in result.sentence


def test_another_digest(tmp_path: Path) -> None:
    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), blocks=5).write(tmp_path)
    proofs = read_lines(folder / "proofs.jsonl")
    for line in proofs:
        wrong = line["arm"] == "docker"
        line["proofs"].append(
            {"name": "root-file-system-quick", "source": "inside", "expected": "sha256:aa",
             "observed": "sha256:bb" if wrong else "sha256:aa", "holds": not wrong}
        )  # fmt: skip
        line["proven"] = not wrong
    write_lines(folder / "proofs.jsonl", proofs)
    gates = judge_gates(load_bundle(chain_up(folder)))
    assert {result.arm for result in of(gates, limits.DIGEST, False)} == {"docker"}
    assert {result.arm for result in of(gates, limits.DIGEST, True)} == {"bare"}
    names = {result.name for result in gates.refuses("cpu", "docker", "lab-linux")}
    assert names == {limits.PROOF, limits.DIGEST}


def test_impossible_values(tmp_path: Path) -> None:
    folder = Synthetic(arms=("bare", "docker"), scenarios=("startup", "cpu"), blocks=5).write(
        tmp_path
    )
    samples = read_lines(folder / "samples.jsonl")
    for record in samples:
        if record["arm"] == "docker" and record["scenario"] == "cpu" and record["block"] < 5:
            record["value"] = -1.0
    write_lines(folder / "samples.jsonl", samples)
    gates = judge_gates(load_bundle(chain_up(folder)))
    assert [r.name for r in gates.refuses("cpu", "docker", "lab-linux")] == [limits.VALUES]
    assert gates.refuses("startup", "docker", "lab-linux") == []


@pytest.mark.parametrize("code", ["impossible-value", None])
def test_a_value_that_the_host_refused_is_known_by_its_code(
    tmp_path: Path, code: str | None
) -> None:
    """Whatever words another version of the host has for it."""
    folder = Synthetic(arms=("bare", "docker"), scenarios=("startup", "cpu"), blocks=5).write(
        tmp_path
    )
    samples = read_lines(folder / "samples.jsonl")
    for record in samples:
        if record["arm"] == "docker" and record["scenario"] == "cpu" and record["block"] < 5:
            record.update(value=None, status="refused", reason="bogus")
            record.update({"reason_code": code} if code else {"reason": "physically possible"})
    write_lines(folder / "samples.jsonl", samples)
    bundle = load_bundle(chain_up(folder))
    refused = [r.name for r in judge_gates(bundle).refuses("cpu", "docker", "lab-linux")]
    assert refused == ([limits.VALUES] if code else [])
    assert {why.code for why in bundle.samples.why_not.values()} == {code or "refused"}


def test_a_reason_code_has_a_type(tmp_path: Path) -> None:
    folder = Synthetic(arms=("bare",), scenarios=("cpu",), blocks=2).write(tmp_path)
    samples = read_lines(folder / "samples.jsonl")
    samples[0]["reason_code"] = 7
    write_lines(folder / "samples.jsonl", samples)
    with pytest.raises(BundleError, match="reason_code"):
        load_bundle(chain_up(folder))


def test_a_changed_record(tmp_path: Path) -> None:
    made(tmp_path)
    (folder,) = tmp_path.iterdir()
    path = folder / "samples.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"arm":"docker"', b'"arm": "docker"'))
    gates = judge_gates(load_bundle(folder))
    assert {r.name for r in gates.refuses("cpu", "docker", "lab-linux")} == {limits.RECORD}


# Bare against bare


def test_bare_against_bare(tmp_path: Path) -> None:
    folder = again(Synthetic(arms=("bare", "docker"), blocks=10).write(tmp_path))
    gates = judge_gates(load_bundle(chain_up(folder)))
    for scenario, (metric, *_rest) in METRICS.items():
        noise = gates.aa_noise(scenario, metric)
        assert noise is not None
        assert noise.low < 1.01
        assert noise.high > 0.99
        wide = gates.aa(scenario, metric, math.log(1.2))
        narrow = gates.aa(scenario, metric, math.log(1.001))
        assert wide is not None and wide.passed is True
        assert narrow is not None and narrow.passed is False
        assert "bare against bare" in narrow.sentence
    assert gates.aa_noise("cpu", "no such metric") is None
    assert gates.aa("cpu", "no such metric", 0.1) is None
    assert gates.aa_noise("cpu", "events_per_second", host="lab-xen") is None


def test_bare_that_is_steadily_off_from_itself_is_noise_too(tmp_path: Path) -> None:
    folder = again(Synthetic(arms=("bare", "docker"), blocks=10).write(tmp_path), 1.04, 0.001)
    gates = judge_gates(load_bundle(chain_up(folder)))
    verdict = gates.aa("cpu", "events_per_second", math.log(1.05))
    assert verdict is not None
    assert verdict.passed is False


def test_reach() -> None:
    assert reach(Interval(0.9, 1.05, 0.95, 1.0)) == pytest.approx(-math.log(0.9))
    assert reach(Interval(0.99, 1.05, 0.95, 1.0)) == pytest.approx(math.log(1.05))


def test_bare_again_is_no_technology_in_the_report(tmp_path: Path) -> None:
    folder = again(Synthetic(arms=("bare", "docker"), blocks=6).write(tmp_path))
    bundle = load_bundle(chain_up(folder))
    report = build_report(bundle)
    assert {arm["arm"] for arm in report["arms"]} == {"bare", "docker"}
    assert all(arm["arm"] != AGAIN for each in report["scenarios"] for arm in each["arms"])
    gates = {gate["name"]: gate for gate in report["gates"]}
    assert list(gates) == list(limits.LIMITS)
    assert len(gates[limits.AA]["results"]) == len(METRICS)
    assert "bare against bare is" in gates[limits.AA]["shown"][0]
    assert AGAIN not in report["reproduce"]["measure"]
    index = write_report_of(bundle, tmp_path / "report")
    html = index.read_text()
    assert "Does bare differ from itself?" in html
    assert "does bare differ from itself" in (tmp_path / "report" / "report.md").read_text().lower()


def test_what_was_refused_is_in_the_report(tmp_path: Path) -> None:
    bundle = made(tmp_path / "runs", on("docker", 3, quiet_cpus=0.8))
    report = build_report(bundle)
    gate = next(gate for gate in report["gates"] if gate["name"] == limits.QUIET)
    assert gate["refused"] == 1
    assert gate["worst"]["figure"] == 0.8
    assert "docker on lab-linux, block 3: 0.80 CPUs" in gate["shown"][0]
    problem = next(p for p in report["problems"] if p["arm"] == "docker")
    assert problem["blocks"] == [3]
    assert "refused by the gate quiet-host" in problem["reason"]
    assert gate["shown"][0] in write_report_of(bundle, tmp_path / "out").read_text()


def test_bundles_without_figures_pass_no_gate_by_silence(bundle_dir: Path) -> None:
    """An old bundle has no conditions: nothing was judged, and nothing says it passed."""
    report = build_report(load_bundle(bundle_dir))
    answers = {gate["name"]: gate["answer"] for gate in report["gates"]}
    for name in (limits.QUIET, limits.STEAL, limits.FOREIGN, limits.HOST_CLOCK):
        assert answers[name] == "no figures"
    assert answers[limits.RECORD].startswith("not judged")
    assert "not measured twice" in answers[limits.AA]


def test_order_of_arms() -> None:
    assert sorted(["kvm", "kata", AGAIN, "docker", "bare"], key=arm_order) == [
        "bare",
        AGAIN,
        "docker",
        "kvm",
        "kata",
    ]


@pytest.mark.parametrize("speed", [False, True])
def test_what_else_the_machine_did_refuses_figures_and_no_answers(
    tmp_path: Path, speed: bool
) -> None:
    """An answer that no speed decides stays; one that it decides goes with the figures."""

    def disturb(line: Record) -> None:
        line["controller"] |= {"steal_s": 20.0}

    folder = Synthetic(arms=("bare", "docker"), scenarios=("cpu",), blocks=3).write(tmp_path)
    samples = read_lines(folder / "samples.jsonl")
    answer = {"scenario": "two-kernels", "metric": "kernels_differ", "unit": "yes/no", "value": 0.0}
    first = {
        each["block"]: each | answer | {"direction": "higher", "iteration": 1}
        for each in samples
        if each["arm"] == "docker"
    }
    write_lines(folder / "samples.jsonl", [*samples, *first.values()])
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["profile"]["scenarios"].append("two-kernels")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    bundle = load_bundle(chain_up(folder, disturb))
    used = {
        bundle.samples.keys[bundle.samples.series[index]].metric
        for index in np.flatnonzero(bundle.samples.used)
    }
    assert used == {"kernels_differ"}
    gates = judge_gates(bundle)
    assert gates.refuses("two-kernels", "docker", "lab-linux")
    assert gates.refuses("two-kernels", "docker", "lab-linux", answers=True) == []
    test = ClaimTest(
        name="share",
        scenario="two-kernels",
        metric="kernels_differ",
        arms=["docker"],
        comparison="yes_no",
        direction="never",
        why="a test's own",
        hardware_speed=speed,
    )
    (result,) = Court(bundle, analyse(bundle), gates).test(test, "docker")
    if result.open:
        comparisons.decide(result)
    assert result.outcome == ("refused" if speed else "holds")
    assert "None" not in result.reason
