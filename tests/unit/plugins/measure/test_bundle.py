# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was finished stays, and what was not finished is never used, wherever a crash happens."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._contract.ids import new_run_id
from ansible_collections.vcompare.lab.plugins.plugin_utils import bundle as bundle_module
from ansible_collections.vcompare.lab.plugins.plugin_utils.bundle import (
    Bundle,
    BundleError,
    file_name,
)

from vcompare_runner.bundle.read import load_bundle

RUN = "20261124-101500-ab12cd"
MANIFEST: dict[str, t.Any] = {
    "run": RUN,
    "profile": {"name": "smoke", "blocks": 2, "scenarios": ["cpu"], "description": "x"},
    "seed": 7,
    "arms": [
        {"arm": "kvm", "host": "h1", "substrate": "metal", "planned": True, "reason": None},
        {"arm": "kvm", "host": "h2", "substrate": "metal", "planned": True, "reason": None},
    ],
    "lab": {"nested": False},
    "image": {"digest": "sha256:aa"},
    "instance": {"vcpus": 1, "memory_mib": 256},
    "versions": {},
}


def measured(block: int = 1, host: str = "h1", value: float = 4000.0) -> dict[str, t.Any]:
    text = f"output of block {block} on {host}: {value} µ\n"
    key = hashlib.sha256(text.encode()).hexdigest()
    sample = {
        "schema": 1, "run": RUN, "block": block, "order": 1, "host": host, "arm": "kvm",
        "variant": "minimal", "scenario": "cpu", "metric": "events_per_second", "unit": "1/s",
        "direction": "higher", "value": value, "iteration": 1, "warmup": False, "status": "ok",
        "reason": None, "started_at": "2026-11-24T10:15:00.123Z", "host_elapsed_s": 2.0,
        "guest_elapsed_s": 2.0, "evidence": key,
    }  # fmt: skip
    proof = {"name": "p", "source": "inside", "expected": "x", "observed": "x", "holds": True}
    return {
        "run": RUN,
        "block": block,
        "host": host,
        "order": ["kvm"],
        "arms": [{"arm": "kvm", "status": "ok", "reason": None}],
        "samples": [sample, {**sample, "iteration": 2}],
        "proofs": [
            {"run": RUN, "block": block, "host": host, "arm": "kvm", "proven": True,
             "reason": None, "proofs": [proof]}
        ],
        "raw": {key: text},
        "started_at": "2026-11-24T10:15:00.000Z",
        "host_elapsed_s": 9.5,
    }  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path) -> Bundle:
    bundle = Bundle(tmp_path / "runs" / RUN)
    bundle.open(MANIFEST)
    return bundle


def lines(bundle: Bundle, name: str) -> list[dict[str, t.Any]]:
    path = bundle.path / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_new_bundle(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "runs" / RUN)
    manifest, resumed = bundle.open(MANIFEST)
    assert not resumed
    assert (bundle.path.stat().st_mode & 0o777) == 0o700
    assert json.loads((bundle.path / "manifest.json").read_text()) == manifest
    assert manifest["schema"] == 1
    assert manifest["finished_at"] is None
    assert manifest["created_at"].endswith("Z")


def test_a_seed_is_drawn_once(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / RUN)
    wanted = {**MANIFEST, "seed": None}
    drawn = bundle.open(wanted)[0]["seed"]
    assert isinstance(drawn, int)
    assert bundle.open(wanted)[0]["seed"] == drawn


def test_the_runner_reads_what_is_written(opened: Bundle) -> None:
    """The two sides of the contract meet: what this writes, vcompare_runner loads."""
    opened.write_facts("h1", {"kernel": "6.1"})
    for block in (1, 2):
        assert opened.append(measured(block), 10.0) == 2
    loaded = load_bundle(opened.path)
    assert [(b.block, b.host) for b in loaded.blocks] == [(1, "h1"), (2, "h1")]
    assert loaded.facts["h1"].kernel == "6.1"
    assert loaded.manifest.seed == 7
    assert len(loaded.proofs) == 2
    assert loaded.notes == ()


def test_evidence_is_kept_by_its_hash(opened: Bundle) -> None:
    opened.append(measured(), 10.0)
    (path,) = (opened.path / "raw").iterdir()
    assert path.name == hashlib.sha256(path.read_bytes()).hexdigest() + ".txt"


def test_evidence_that_changed_on_its_way_is_refused(opened: Bundle) -> None:
    broken = measured()
    key = next(iter(broken["raw"]))
    broken["raw"][key] += "!"
    with pytest.raises(BundleError, match="changed on its way"):
        opened.append(broken, 10.0)
    missing = {**measured(), "raw": {}}
    with pytest.raises(BundleError, match="without its evidence"):
        opened.append(missing, 10.0)
    assert opened.finished(1, "h1") is None
    assert lines(opened, "samples.jsonl") == []


def test_not_a_number_is_never_written(opened: Bundle) -> None:
    with pytest.raises(ValueError, match="JSON"):
        opened.append(measured(value=float("nan")), 10.0)
    opened.append(measured(), 10.0)
    assert len(lines(opened, "samples.jsonl")) == 2


def test_finished(opened: Bundle) -> None:
    assert opened.finished(1, "h1") is None
    opened.append(measured(), 10.0)
    done = opened.finished(1, "h1")
    assert done is not None
    assert done["controller_elapsed_s"] == 10.0
    assert done["host_elapsed_s"] == 9.5
    assert opened.finished(2, "h1") is None
    assert opened.finished(1, "h2") is None


class Crash(BaseException):
    """Stands for a killed process: nothing in the code under test catches it."""


@pytest.mark.parametrize("writes", range(6))
def test_a_crash_costs_nothing_but_its_own_block(
    opened: Bundle, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Killed after any of the steps of an append, then measured again."""
    opened.append(measured(1), 10.0)
    left = [writes]
    write_json, append = Bundle._write_json, Bundle._append

    def count() -> None:
        if left[0] == 0:
            raise Crash
        left[0] -= 1

    def counted_json(self: Bundle, *args: t.Any) -> None:
        count()
        write_json(self, *args)

    def counted_lines(self: Bundle, *args: t.Any) -> None:
        count()
        append(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "_write_json", counted_json)
        patch.setattr(Bundle, "_append", counted_lines)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: count())
        with pytest.raises(Crash):
            opened.append(measured(2, value=1.0), 10.0)
    done = opened.finished(2, "h1") is not None
    # The last step only takes away the journal of an append that is complete.
    assert done == (writes == 5)
    if not done:
        opened.append(measured(2, value=2.0), 11.0)
    opened.append(measured(1, host="h2"), 10.0)
    values = [(s["host"], s["block"], s["value"]) for s in lines(opened, "samples.jsonl")]
    second = 1.0 if done else 2.0
    assert values == [
        *[("h1", 1, 4000.0)] * 2,
        *[("h1", 2, second)] * 2,
        *[("h2", 1, 4000.0)] * 2,
    ]
    assert len(lines(opened, "proofs.jsonl")) == 3
    assert len(lines(opened, "blocks.jsonl")) == 3
    assert not (opened.path / "events" / "append.json").exists()


@pytest.mark.parametrize("name", ["samples.jsonl", "proofs.jsonl", "blocks.jsonl"])
@pytest.mark.parametrize("rest", ['{"schema": 1, "ru', "{" + "x" * 200_000])
def test_a_truncated_last_line_is_moved_away(opened: Bundle, name: str, rest: str) -> None:
    opened.append(measured(1), 10.0)
    with (opened.path / name).open("a") as file:
        file.write(rest)
    assert opened.finished(1, "h1") is not None
    opened.append(measured(2), 10.0)
    assert [line["block"] for line in lines(opened, "blocks.jsonl")] == [1, 2]
    assert len(lines(opened, "samples.jsonl")) == 4
    (moved,) = (opened.path / "events").glob(f"{name}.unfinished-*")
    assert moved.read_text() == rest


def test_resuming_undoes_a_half_block_at_once(opened: Bundle) -> None:
    opened.append(measured(1), 10.0)
    sizes = {name: opened._size(name) for name in bundle_module._LINES}
    opened._write_json("events/append.json", {"block": 2, "host": "h1", "sizes": sizes})
    opened._append("samples.jsonl", bundle_module._as_lines(measured(2)["samples"]))
    manifest, resumed = opened.open(MANIFEST)
    assert resumed
    assert manifest["seed"] == 7
    assert len(lines(opened, "samples.jsonl")) == 2


def _append(path: str, host: str) -> None:
    for block in range(1, 11):
        Bundle(Path(path)).append(measured(block, host), 1.0)


def test_hosts_in_processes_of_their_own(opened: Bundle) -> None:
    processes = [
        multiprocessing.get_context("fork").Process(target=_append, args=(str(opened.path), host))
        for host in ("h1", "h2", "h3")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(lines(opened, "blocks.jsonl")) == 30
    assert len(lines(opened, "samples.jsonl")) == 60
    pairs = [(s["host"], s["block"]) for s in lines(opened, "samples.jsonl")]
    assert pairs[0::2] == pairs[1::2]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 8}, "the seed was 7 and shall be 8"),
        ({"profile": {**MANIFEST["profile"], "blocks": 9}}, "the profile's blocks was 2"),
        ({"profile": {**MANIFEST["profile"], "name": "quick"}}, "the profile's name was 'smoke'"),
        ({"arms": MANIFEST["arms"][:1]}, "the list of arms"),
        ({"image": {"digest": "sha256:bb"}}, "the image's digest was 'sha256:aa'"),
        ({"instance": {"vcpus": 2, "memory_mib": 256}}, "the size of an instance"),
    ],
)
def test_another_experiment_is_no_resumption(
    opened: Bundle, change: dict[str, t.Any], what: str
) -> None:
    with pytest.raises(BundleError) as error:
        opened.open({**MANIFEST, **change})
    assert what in str(error.value)
    assert "another vcompare_run" in str(error.value)
    assert json.loads((opened.path / "manifest.json").read_text())["seed"] == 7


@pytest.mark.parametrize(
    "change",
    [
        {"seed": None},
        {"versions": {"vcompare": "0.2.0"}},
        {"profile": {**MANIFEST["profile"], "description": "y"}},
        {"arms": [{**arm, "planned": False, "reason": "down"} for arm in MANIFEST["arms"]]},
    ],
)
def test_what_does_not_change_the_experiment_may_change(
    opened: Bundle, change: dict[str, t.Any]
) -> None:
    manifest, resumed = opened.open({**MANIFEST, **change})
    assert resumed
    assert manifest["seed"] == 7


def test_a_run_is_finished_when_nothing_is_missing(opened: Bundle) -> None:
    for host in ("h1", "h2"):
        opened.append(measured(1, host), 1.0)
    opened.append(measured(2, "h1"), 1.0)
    manifest, missing = opened.close()
    assert missing == ["block 2 of h2"]
    assert manifest["finished_at"] is None
    opened.append(measured(2, "h2"), 1.0)
    manifest, missing = opened.close()
    assert missing == []
    assert json.loads((opened.path / "manifest.json").read_text())["finished_at"]
    # Nothing is left to do, so opening it again does not make it unfinished.
    assert opened.open(MANIFEST)[0]["finished_at"] == manifest["finished_at"]


def test_a_run_that_its_time_ended_has_no_end_when_it_goes_on(opened: Bundle) -> None:
    """Else an interruption would look as if lines had been taken away."""
    for block in (1, 2):
        for host in ("h1", "h2"):
            opened.append(measured(block, host), 1.0)
    assert opened.close("budget")[0]["last_block_sha256"]
    manifest, resumed = opened.open(MANIFEST)
    assert resumed
    assert (manifest["finished_at"], manifest["stopped"]) == (None, None)
    assert "last_block_sha256" not in json.loads((opened.path / "manifest.json").read_text())
    assert opened.close("budget")[0]["finished_at"]


def test_closing_what_was_never_opened(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(BundleError, match="no manifest"):
        Bundle(tmp_path / "x").close()


def test_a_manifest_is_never_half_written(opened: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (opened.path / "manifest.json").read_text()

    def crash(fd: int) -> None:
        raise Crash

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(Crash):
        opened._write_json("manifest.json", {"run": "other"})
    assert (opened.path / "manifest.json").read_text() == before


def test_a_broken_manifest_says_so(opened: Bundle) -> None:
    (opened.path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        opened.open(MANIFEST)


def test_events_are_lines(opened: Bundle) -> None:
    opened.note({"event": "failed", "host": "h1"})
    opened.note({"event": "failed", "host": "h2"})
    events = lines(opened, "events/measure.jsonl")
    assert [event["host"] for event in events] == ["h1", "h2"]


@pytest.mark.parametrize(
    ("host", "name"),
    [("lab-linux", "lab-linux"), ("../../etc/x", "_.._.._etc_x."), ("...", "_....")],
)
def test_a_host_can_not_name_a_file_elsewhere(host: str, name: str) -> None:
    assert file_name(host).startswith(name)
    assert "/" not in file_name(host)


def test_run_ids_differ_and_sort() -> None:
    ids = [new_run_id() for _number in range(50)]
    assert len(set(ids)) == 50
