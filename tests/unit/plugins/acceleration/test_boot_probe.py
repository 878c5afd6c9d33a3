# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A boot ends as soon as its outcome is known, and leaves no QEMU behind."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import boot_probe

from .conftest import MARKER, tiny_kernel

Make = Callable[..., boot_probe.Machine]
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="no qemu-system-x86_64 here"
)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_marker_ends_the_boot_and_qemu(machine: Make, tmp_path: pathlib.Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; echo noise; echo 'x {MARKER}'; exec sleep 120"
    start = time.monotonic()
    done = boot_probe.boot(machine(script), "tcg", "max", 60)
    assert done.reached
    assert time.monotonic() - start < 40
    assert gone(int((tmp_path / "pid").read_text()))


def test_abort_is_told_at_once_with_what_qemu_said(machine: Make) -> None:
    script = "echo 'error: failed to set MSR 0x10a' >&2; kill -ABRT $$"
    start = time.monotonic()
    done = boot_probe.boot(machine(script), "kvm", "host", 60)
    assert not done.reached
    assert time.monotonic() - start < 40
    assert "SIGABRT" in done.why
    assert "MSR 0x10a" in done.why
    assert "MSR 0x10a" in done.evidence()


def test_internal_error_does_not_wait_for_the_deadline(
    machine: Make, tmp_path: pathlib.Path
) -> None:
    # A real QEMU prints this, stops the machine, and stays.
    script = f"echo $$ > {tmp_path}/pid; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 120"
    start = time.monotonic()
    done = boot_probe.boot(machine(script), "kvm", "host", 60)
    assert not done.reached
    assert time.monotonic() - start < 40
    assert "KVM internal error" in done.why
    assert gone(int((tmp_path / "pid").read_text()))


def test_crawling_boot_ends_at_the_deadline(machine: Make, tmp_path: pathlib.Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; while :; do echo line; sleep 0.05; done"
    start = time.monotonic()
    done = boot_probe.boot(machine(script), "kvm", "host", 0.6)
    assert not done.reached
    assert 0.5 < time.monotonic() - start < 30
    assert "deadline" in done.why
    assert "line" in done.console
    assert gone(int((tmp_path / "pid").read_text()))


def test_clean_exit_without_the_marker_is_no_boot(machine: Make) -> None:
    done = boot_probe.boot(machine("echo bye; exit 3"), "tcg", "max", 60)
    assert not done.reached
    assert "exit code 3" in done.why


def test_flood_of_output_keeps_the_tail_only(machine: Make) -> None:
    script = f"head -c 3000000 /dev/zero | tr '\\0' 'a'; echo; echo end; echo {MARKER}"
    done = boot_probe.boot(machine(script), "tcg", "max", 60)
    assert done.reached


@needs_qemu
def test_real_machine_reaches_the_marker(machine: Make) -> None:
    real = machine(kernel=tiny_kernel(MARKER.encode()), qemu="qemu-system-x86_64")
    done = boot_probe.boot(real, "tcg", "max,-smap", 60)
    assert done.reached, done


@needs_qemu
def test_real_machine_without_the_marker_does_not(machine: Make) -> None:
    real = machine(kernel=tiny_kernel(b"something else"), qemu="qemu-system-x86_64")
    # It stays until the deadline; a busy machine may need a later one to come as far as its words.
    for deadline_s in (3, 60):
        done = boot_probe.boot(real, "tcg", "max,-smap", deadline_s)
        assert not done.reached
        if "something else" in done.console:
            break
    assert "something else" in done.console


def test_qemu_dies_with_a_killed_parent(tmp_path: pathlib.Path, machine: Make) -> None:
    pid_file = tmp_path / "pid"
    slow = machine(f"echo $$ > {pid_file}; exec sleep 120")
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from ansible_collections.vcompare.lab.plugins.module_utils._lab.boot_probe import *\n"
        "boot(Machine(sys.argv[1], '/dev/null', '/dev/null', '', 'm'), 'tcg', 'max', 60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, slow.qemu, *sys.path])
    try:
        deadline = time.monotonic() + 20
        while not (pid_file.exists() and pid_file.read_text().strip()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        parent.kill()
        parent.wait()
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while not gone(child) and "Z" not in state(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"qemu": "no-such-qemu"}, "apt-get install qemu-system-x86"),
        ({"kernel": "/no/such/kernel"}, "/no/such/kernel"),
        ({"initrd": "/no/such/initrd"}, "/no/such/initrd"),
        ({"append": f"console=ttyS0 say={MARKER}"}, "part of the kernel command line"),
        ({"marker": ""}, "marker"),
    ],
)
def test_hopeless_machine_is_refused_before_a_start(
    machine: Make, change: dict[str, str], says: str
) -> None:
    wrong = dataclasses.replace(machine("exit 0"), **change)  # type: ignore[arg-type]
    with pytest.raises(VcompareError) as error:
        wrong.check()
    assert says in error.value.as_result()["msg"]
