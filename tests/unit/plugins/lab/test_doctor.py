# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the doctor finds in a home, with real files, locks and processes; libvirt's part is in the integration tests."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until
from ansible_collections.vcompare.lab.plugins.module_utils._images import capacity
from ansible_collections.vcompare.lab.plugins.module_utils._lab import doctor, server
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a libvirt to ask."""
    monkeypatch.setattr(server, "silent_daemons", lambda: ["libvirtd"])
    monkeypatch.setattr(server, "kvm_device_of_nobody", lambda: False)
    monkeypatch.setattr(doctor, "LOOKS", (doctor._images, doctor._disk))
    return tmp_path


def problems(home: Path) -> list[doctor.Finding]:
    return [each for each in doctor.Doctor(str(home)).examine() if each.level == doctor.PROBLEM]


def test_a_home_without_anything_has_nothing_wrong(home: Path) -> None:
    found = doctor.Doctor(str(home / "none")).examine()
    assert {each.level for each in found} == {doctor.OK}
    assert {each.check for each in found} == {"images", "disk"}


def test_an_image_that_was_begun_is_taken_away_unless_it_is_being_built(home: Path) -> None:
    images = home / "images"
    (images / "guest-1.partial" / "work").mkdir(parents=True)
    with open(images / "guest-1.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert problems(home) == []
    (finding,) = problems(home)
    assert "guest-1.partial was begun" in finding.what
    (said,) = doctor.repair([finding])
    assert said.startswith("images: repaired")
    assert not (images / "guest-1.partial").exists()
    assert problems(home) == []


def test_images_that_no_lab_uses_are_told_and_kept(home: Path) -> None:
    for name in ("guest-1", "guest-2"):
        (home / "images" / name).mkdir(parents=True)
        (home / "images" / name / "rootfs.ext4").write_bytes(b"x" * (3 << 20))
    lab = Lab(str(home), "one")
    os.makedirs(lab.folder)
    Path(lab.state).write_text(json.dumps({"settings": {"guest_image": "/x/guest-2"}}))
    (note,) = [each for each in doctor.Doctor(str(home)).examine() if each.level == doctor.NOTE]
    assert "1 images that no lab uses take 3 MiB" in note.what
    assert note.repair is None


def test_a_disk_about_to_fill(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "disk_mib", lambda path: 100)
    (finding,) = problems(home)
    assert "100 MiB free" in finding.what
    assert finding.repair is None


def test_one_look_that_fails_stops_no_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken(doctor_: doctor.Doctor) -> None:
        raise VcompareError("nobody answers", "Ask louder.")

    monkeypatch.setattr(doctor, "LOOKS", (_broken, doctor._disk))
    found = doctor.Doctor(str(home)).examine()
    assert [each.level for each in found] == [doctor.PROBLEM, doctor.OK]
    assert (found[0].check, found[0].remedy) == ("broken", "Ask louder.")


def test_a_repair_that_fails_is_said_and_stops_no_other(tmp_path: Path) -> None:
    def fails() -> None:
        raise VcompareError("it is stuck")

    done: list[str] = []
    with pytest.raises(VcompareError, match="first: x: it is stuck"):
        doctor.repair(
            [
                doctor.Finding("first", doctor.PROBLEM, "x", repair=fails),
                doctor.Finding("second", doctor.PROBLEM, "y", repair=lambda: done.append("y")),
            ]
        )
    assert done == ["y"]


def test_a_lab_that_is_worked_on_is_left_alone(home: Path) -> None:
    lab = Lab(str(home), "busy")
    os.makedirs(lab.folder)
    with open(os.path.join(lab.folder, "lock"), "w+") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        (finding,) = doctor._labs(doctor.Doctor(str(home)))
        assert (finding.level, finding.repair) == (doctor.NOTE, None)
        assert "process 4711" in finding.what
        with pytest.raises(VcompareError, match="process 4711"):
            NestedLab(lab).stop()
    # A lock that nobody holds says nothing, whatever stands in it.
    assert doctor._holder(lab) == ""


def test_the_keys_of_a_lab_on_another_machine_are_left_alone(home: Path) -> None:
    lab = Lab(str(home), "far")
    os.makedirs(lab.keys)
    (finding,) = doctor._labs(doctor.Doctor(str(home)))
    assert (finding.level, finding.repair) == (doctor.NOTE, None)


def test_a_journal_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"op": "create"}\n{"op": "cre\n{"op": "gone"}\n')
    assert doctor._cut_lines(str(path)) == 1
    assert doctor._cut_lines(str(tmp_path / "none")) == 0


def test_whose_marker_it_is(tmp_path: Path) -> None:
    lab = Lab(str(tmp_path), "some-lab")
    assert doctor._lab_of(str(tmp_path), lab.owner) == lab
    assert doctor._lab_of(str(tmp_path / "other"), lab.owner) is None
    assert doctor._lab_of(str(tmp_path), "somebody") is None


def emulator(program: str, folder: str) -> subprocess.Popen[bytes]:
    """A process that calls itself so, and has a disk below a folder among its arguments."""
    return subprocess.Popen(
        [program, "-c", "import time; time.sleep(60)", "-name", "guest=vc-a,debug-threads=on", f"{folder}one/disk"],
        executable=sys.executable,
    )  # fmt: skip


def test_an_emulator_is_found_by_its_name_and_disk_and_ended(tmp_path: Path) -> None:
    folder = f"{tmp_path}/labs/"
    ours = emulator("/usr/bin/qemu-system-x86_64", folder)
    others = [emulator("/usr/bin/editor", folder), emulator("qemu-system-x86_64", "/elsewhere/")]
    try:
        found = wait_until(lambda: ours.pid in doctor._emulators(folder), 10, 0.05)
        assert found and doctor._emulators(folder) == {ours.pid: "vc-a"}
        # A child that has ended is there until it is waited for.
        threading.Timer(0.3, ours.wait).start()
        doctor._end(ours.pid)
        assert doctor._emulators(folder) == {}
        assert [other.poll() for other in others] == [None, None]
    finally:
        for process in (ours, *others):
            process.kill()
            process.wait()
