"""A full disk is named, whatever failed because of it. That a comparison says so: tests/faults/running.sh."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from vcompare_runner.run import room
from vcompare_runner.run.events import RunState
from vcompare_runner.run.playbook import Outcome, failure_lines

_Usage = namedtuple("_Usage", "total used free")


def _home(folder: Path) -> Path:
    (folder / "labs" / "default").mkdir(parents=True)
    (folder / "runs").mkdir()
    return folder


def _free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: _Usage(0, 0, mib * 2**20))


def test_one_disk_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = _home(tmp_path)
    _free(monkeypatch, 3)
    (said,) = room.full_disks(home).values()
    assert f"the disk of {home} is full (3 MiB free)" in said
    _free(monkeypatch, 300)
    assert room.full_disks(home) == {}


def test_a_home_that_is_not_there_yet_has_no_full_disk(tmp_path: Path) -> None:
    assert room.full_disks(tmp_path / "nowhere") == {}


def test_it_is_said_once_and_not_looked_at_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    said: list[str] = []
    watch = room.RoomWatch(_home(tmp_path), said.append, lambda: now)
    _free(monkeypatch, 300)
    watch.tick()
    _free(monkeypatch, 0)
    now += 1.0
    watch.tick()
    assert said == []
    for _look in range(3):
        now += 10.0
        watch.tick()
    assert len(said) == 1


def test_a_failure_names_the_full_disk_before_the_log(tmp_path: Path) -> None:
    outcome = Outcome(4, False, RunState(), tmp_path / "log", full=("the disk of X is full",))
    assert failure_lines(outcome)[-2:] == ["the disk of X is full", f"log: {tmp_path / 'log'}"]
