# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts that are not ordinary ones: of a whole system, and from the disk."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._block import block
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions, page_cache
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import full_start
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.workloads.base import WorkSpec
from hypothesis import given
from hypothesis import strategies as st

from .conftest import IMAGE, Arms

PLAN = block.Plan(
    run="20261124-101500-ab12cd",
    block=1,
    host="lab-linux",
    arms=("docker",),
    scenarios=(),
    iterations=1,
    work=WorkSpec(seconds=1, memory_mib=1),
    image=IMAGE,
    cpuset=str(max(os.sched_getaffinity(0))),
    images={full_start.ROLE: dataclasses.replace(IMAGE, rootfs="/dev/zero")},
)
FILES = Path(__file__).resolve().parents[4] / "roles" / "measure" / "files" / "full-system"
BOOTED = {
    "init": "/usr/lib/systemd/systemd",
    "state": "running",
    **dict.fromkeys(full_start.UNITS, "active"),
    "application": "redis-server",
    "finished": "12345678",
    "failed": "",
}


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests may be running."""
    monkeypatch.setattr(conditions, "wait_quiet", lambda timeout_s: 0.0)


class Cache:
    """The page cache of a host, which other programs of this machine still need."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, arms: Arms) -> None:
        self.arms, self.read, self.running = arms, 0.0, -1
        self.each_look_mib = 12.5
        monkeypatch.setattr(page_cache, "drop", self.drop)
        monkeypatch.setattr(page_cache, "cached_mib", lambda: 30.0 if self.running >= 0 else 500.0)
        monkeypatch.setattr(page_cache, "read_mib", self.read_mib)

    def drop(self) -> None:
        self.running = sum(len(arm.processes) for arm in self.arms.values())
        for arm in self.arms.values():
            arm.log.append("drop")

    def read_mib(self) -> float:
        self.read += self.each_look_mib
        return self.read


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, local_arms: Arms) -> Cache:
    return Cache(monkeypatch, local_arms)


def samples(
    local: Arms, *scenarios: str, **changes: object
) -> tuple[block.Record, Mapping[tuple[str, str], dict[str, object]]]:
    """Measure a block; return it, and its samples by arm and scenario."""
    plan = dataclasses.replace(PLAN, scenarios=scenarios, **changes)  # type: ignore[arg-type]
    result = block.measure(plan, local.__getitem__)
    for backend in local.values():
        assert not backend.processes, "an instance was left behind"
    return result, {(sample["arm"], sample["scenario"]): sample for sample in result["samples"]}


def test_a_cold_start_finds_nothing_in_memory(local_arms: Arms, cache: Cache) -> None:
    result, found = samples(local_arms, "startup", "cold-start")
    cold = found["docker", "cold-start"]
    assert (cold["metric"], cold["variant"], cold["status"]) == (
        "time_to_first_reply",
        "minimal",
        "ok",
    )
    assert 0.001 < cold["value"] < 30  # type: ignore[operator]
    # What still ran would have its programs mapped, and they would stay.
    assert cache.running == 0
    text = result["raw"][cold["evidence"]]
    assert "from 500 to 30 MiB" in text
    assert "12.5 MiB were read" in text
    # What makes an instance ready comes before, and only its start after.
    log = local_arms["docker"].log
    dropped = log.index("drop")
    assert log[:dropped].count("prepare") == 3
    assert log[dropped:].count("create") == 1
    assert "prepare" not in log[dropped:]


def test_every_arm_has_a_cold_start(local_arms: Arms, cache: Cache) -> None:
    arms = ("bare", "bare-again", "docker", "xen-dom0", "docker-in-kvm")
    _result, found = samples(local_arms, "cold-start", arms=arms)
    assert {arm for arm, _scenario in found} == set(arms)
    assert {sample["status"] for sample in found.values()} == {"ok"}


def test_a_start_that_reads_nothing_was_not_cold(local_arms: Arms, cache: Cache) -> None:
    cache.each_look_mib = 0.0
    _result, found = samples(local_arms, "startup", "cold-start")
    assert found["docker", "cold-start"]["status"] == "failed"
    assert "was not cold" in str(found["docker", "cold-start"]["reason"])
    assert found["docker", "startup"]["status"] == "ok"


def test_a_host_that_keeps_its_cache_refuses(
    local_arms: Arms, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise NotPossible("read-only")

    monkeypatch.setattr(page_cache, "drop", refuse)
    result, found = samples(local_arms, "cold-start")
    assert found["docker", "cold-start"]["status"] == "refused"
    assert result["arms"][0]["status"] == "ok"


def test_a_busy_host_refuses_a_cold_start(
    local_arms: Arms, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([0.0, 1.7])
    monkeypatch.setattr(conditions, "wait_quiet", lambda timeout_s: next(looks))
    _result, found = samples(local_arms, "cold-start")
    assert found["docker", "cold-start"]["status"] == "refused"
    assert "1.7 CPUs" in str(found["docker", "cold-start"]["reason"])


@pytest.mark.parametrize(
    ("scenarios", "company", "starts"),
    [
        (("startup",), True, 1),
        (("startup", "cold-start"), False, 1),
        # Untimed, the turn's own, and cold.
        (("startup", "cold-start"), True, 3),
    ],
)
def test_turns_are_warm_again_where_others_end_cold(
    local_arms: Arms, cache: Cache, scenarios: tuple[str, ...], company: bool, starts: int
) -> None:
    result, found = samples(local_arms, *scenarios, arms=("bare", "docker"), company=company)
    for arm in ("bare", "docker"):
        assert local_arms[arm].log.count("create") == starts
        assert found[arm, "startup"]["status"] == "ok"
    assert ("warm" in result["arms"][1]["phases_s"]) == (starts > 1)
    if starts > 1:
        # The one that warms is gone before the turn's own is made ready.
        log = local_arms["docker"].log
        gone = next(place for place, verb in enumerate(log) if verb.endswith("-warm"))
        assert log[:gone].count("create") == 1
        assert log[:gone].count("prepare") == 1


def test_a_container_of_a_whole_system_boots_nothing(local_arms: Arms) -> None:
    arm = local_arms["docker"]
    arm.outputs["test -x /usr/lib/systemd/systemd"] = Result(0, "", "", 0.1, 0.1)
    arm.outputs["readlink /proc/1/exe"] = Result(0, "/usr/bin/redis-check-rdb\n", "", 0.1, 0.1)
    result, found = samples(local_arms, "full-start", arms=("bare", "docker"))
    assert list(found) == [("docker", "full-start")]
    sample = found["docker", "full-start"]
    assert (sample["metric"], sample["status"]) == ("time_to_first_reply", "ok")
    assert "process 1 is /usr/bin/redis-check-rdb" in result["raw"][sample["evidence"]]
    # The turn's own, once untimed, and the one that counts.
    assert arm.log.count("create") == 3


def test_a_container_of_something_else_is_no_whole_system(local_arms: Arms) -> None:
    local_arms["docker"].outputs["test -x"] = Result(1, "", "", 0.1, 0.1)
    _result, found = samples(local_arms, "full-start")
    assert found["docker", "full-start"]["status"] == "failed"


def test_a_whole_system_that_is_not_there_is_refused(local_arms: Arms) -> None:
    _result, found = samples(local_arms, "full-start", images={})
    assert found["docker", "full-start"]["status"] == "refused"
    assert "full-system is not on this host" in str(found["docker", "full-start"]["reason"])


@pytest.mark.parametrize(
    ("init", "status"), [("/usr/lib/systemd/systemd", "ok"), ("/usr/bin/dash", "failed")]
)
def test_a_machine_shows_what_it_has_booted(local_arms: Arms, init: str, status: str) -> None:
    arm = local_arms["kvm"]
    arm.own_kernel = True
    said = "".join(f"{name} {value}\n" for name, value in {**BOOTED, "init": init}.items())
    arm.outputs["/bin/sh -c " + full_start._LOOK[:20]] = Result(0, said, "", 0.1, 0.1)
    result, found = samples(local_arms, "full-start", arms=("kvm",))
    sample = found["kvm", "full-start"]
    assert sample["status"] == status, sample
    if status == "ok":
        assert "finished 12.35 s after" in result["raw"][sample["evidence"]]
    else:
        assert "process 1 is /usr/bin/dash" in str(sample["reason"])


@given(name=st.sampled_from(sorted(set(BOOTED) - {"failed"})), said=st.sampled_from(["", "dead"]))
def test_a_boot_without_any_part_is_none(name: str, said: str) -> None:
    assert not full_start.doubts_of(BOOTED)
    assert full_start.doubts_of({**BOOTED, name: said})
    assert full_start.doubts_of({key: BOOTED[key] for key in BOOTED if key != name})
    # A unit that failed is told, and no reason to doubt the others.
    assert not full_start.doubts_of({**BOOTED, "state": "degraded", "failed": "a.service"})


def test_what_a_boot_is_asked_for_is_a_script() -> None:
    """On a machine without systemd it says so of each, and nothing of it is a doubt that is missed."""
    argv = ["/bin/sh", "-c", full_start._LOOK, "look", "1", *full_start.UNITS]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found = full_start.parse(done.stdout)
    assert set(BOOTED) <= set(found)


@pytest.mark.parametrize(
    "words",
    [["/bin/echo", "-n", "a b", "", "$HOME", '"%n\\'], ["/bin/echo", "--save", ""]],
)
def test_the_service_runs_what_the_seed_says(tmp_path: Path, words: list[str]) -> None:
    seed = tmp_path / "command"
    seed.write_text("".join(f"{word}\n" for word in words))
    script = (FILES / "application.sh").read_text().replace("/run/vcompare-seed/command", str(seed))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    expected = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == expected.stdout


def test_the_page_cache_is_counted_without_memory_that_is_on_no_disk(tmp_path: Path) -> None:
    meminfo, vmstat = tmp_path / "meminfo", tmp_path / "vmstat"
    meminfo.write_text("MemFree: 1 kB\nBuffers: 1024 kB\nCached: 4096 kB\nShmem: 2048 kB\n")
    vmstat.write_text("pgpgin 3072\npgpgout 1\n")
    assert page_cache.cached_mib(meminfo) == 3
    assert page_cache.read_mib(vmstat) == 3
    # This machine's own.
    assert page_cache.cached_mib() > 0
    assert page_cache.read_mib() > 0
    with pytest.raises(BackendError):
        page_cache.read_mib(tmp_path / "none")


def test_all_of_the_cache_is_dropped(tmp_path: Path) -> None:
    switch = tmp_path / "drop_caches"
    page_cache.drop(switch)
    assert switch.read_text() == "3\n"
    with pytest.raises(NotPossible, match="can't be dropped"):
        page_cache.drop(tmp_path / "none" / "drop_caches")
