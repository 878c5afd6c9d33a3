# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""KVM only when the last rung holds; otherwise TCG, and the rung that forbids KVM is named."""

from __future__ import annotations

import errno
import pathlib
import typing as t
from collections.abc import Callable

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import (
    acceleration,
    boot_probe,
    emulator,
)
from ansible_collections.vcompare.lab.plugins.module_utils._lab.acceleration import Ladder, decide
from ansible_collections.vcompare.lab.plugins.module_utils._lab.boot_probe import Boot, Machine

TCG_CPU = emulator.cpu((10, 0))

Make = Callable[..., Machine]


class Host:
    """A machine with everything in order, until a test says otherwise."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.architecture = "x86_64"
        self.open_errors: list[Exception] = []
        self.boots: dict[str, Boot] = {
            TCG_CPU: Boot(True, 6.0, ""),
            "host": Boot(True, 1.0, ""),
        }
        self.asked: list[tuple[str, str, float]] = []
        self.write("dev/kvm", "")
        self.write("proc/cpuinfo", "flags\t\t: fpu svm\n")
        self.write("sys/module/kvm_amd/parameters/nested", "1\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def surroundings(self) -> acceleration.Surroundings:
        def open_kvm(_device: str) -> None:
            for error in self.open_errors:
                raise error

        def boot(_machine: Machine, accel: str, cpu: str, deadline_s: float) -> Boot:
            self.asked.append((accel, cpu, deadline_s))
            return self.boots[cpu]

        return acceleration.Surroundings(
            root=self.root,
            architecture=lambda: self.architecture,
            open_kvm=open_kvm,
            boot=boot,
            qemu_version=lambda _program: (10, 0),
        )

    def judge(
        self, machine: Machine | None, wanted: str = "auto", needs_nesting: bool = True
    ) -> dict[str, t.Any]:
        around = self.surroundings()
        ladder = Ladder(machine, 60, around)
        ladder.climb(wanted)
        return decide(ladder, wanted, needs_nesting, around)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path / "root")


@pytest.fixture
def lab(machine: Make) -> Machine:
    return machine("exit 0")


def rungs(result: dict[str, t.Any]) -> dict[str, bool | None]:
    return {rung["name"]: rung["holds"] for rung in result["rungs"]}


def test_everything_holds(host: Host, lab: Machine) -> None:
    result = host.judge(lab)
    assert result["accel"] == "kvm"
    assert set(rungs(result).values()) == {True}
    assert list(rungs(result)) == list(acceleration.RUNGS)
    assert (result["tcg_boot_s"], result["kvm_boot_s"], result["kvm_cpu"]) == (6.0, 1.0, "host")
    assert result["nested"] is True
    assert result["refused_arms"] == []
    # TCG first, and what it took is the deadline under KVM.
    assert [(cpu, deadline) for _accel, cpu, deadline in host.asked] == [
        (TCG_CPU, 60),
        ("host", 6.0),
    ]


def test_kvm_that_aborts_is_tried_once_more_without_the_register(host: Host, lab: Machine) -> None:
    host.boots["host"] = Boot(False, 0.1, "QEMU was ended by SIGABRT", qemu_said="MSR 0x10a")
    host.boots["host,-arch-capabilities"] = Boot(True, 1.5, "")
    result = host.judge(lab)
    assert (result["accel"], result["kvm_cpu"]) == ("kvm", "host,-arch-capabilities")
    # Both tries share one deadline.
    assert host.asked[-1][2] == pytest.approx(5.9)


def test_kvm_that_crawls_is_refused(host: Host, lab: Machine) -> None:
    host.boots["host"] = Boot(False, 0.1, "QEMU was ended by SIGABRT", qemu_said="MSR 0x10a")
    host.boots["host,-arch-capabilities"] = Boot(
        False, 5.9, "no user space within the deadline", console="Probing EDD"
    )
    result = host.judge(lab)
    assert result["accel"] == "tcg"
    assert rungs(result)["boots_kernel"] is False
    assert "boots_kernel" in result["reason"]
    assert "SIGABRT" in result["reason"]
    assert "MSR 0x10a" in result["evidence"]
    assert "Probing EDD" in result["evidence"]
    assert result["tcg_boot_s"] == 6.0
    assert result["kvm_boot_s"] is None
    assert result["remedy"]


def test_kvm_as_slow_as_tcg_is_refused(host: Host, lab: Machine) -> None:
    host.boots[TCG_CPU] = Boot(True, 2.0, "")
    host.boots["host"] = Boot(True, 2.0, "user space after 2.0 s")
    result = host.judge(lab)
    assert result["accel"] == "tcg"
    assert rungs(result)["boots_kernel"] is False
    assert len(host.asked) == 2


def test_missing_flags_alone_forbid_nothing(host: Host, lab: Machine) -> None:
    host.write("proc/cpuinfo", "flags\t\t: fpu\n")
    result = host.judge(lab)
    assert result["accel"] == "kvm"
    assert rungs(result)["cpu_flags"] is False


def test_present_flags_alone_prove_nothing(host: Host, lab: Machine) -> None:
    (host.root / "dev/kvm").unlink()
    result = host.judge(lab)
    assert result["accel"] == "tcg"
    assert rungs(result)["cpu_flags"] is True
    assert rungs(result)["device_present"] is False
    assert rungs(result)["boots_kernel"] is None
    assert "firmware" in result["remedy"]
    assert host.asked == []


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "group kvm"), (errno.ENODEV, "dmesg")]
)
def test_device_that_does_not_open(host: Host, lab: Machine, number: int, remedy: str) -> None:
    host.open_errors = [OSError(number, "no")]
    result = host.judge(lab)
    assert result["accel"] == "tcg"
    assert rungs(result)["device_opens"] is False
    assert remedy in result["remedy"]


def test_without_a_kernel_nothing_is_proven(host: Host) -> None:
    result = host.judge(None)
    assert result["accel"] == "tcg"
    assert rungs(result)["boots_kernel"] is None
    assert "kernel" in result["remedy"]
    with pytest.raises(VcompareError, match="boots_kernel"):
        host.judge(None, "kvm")


def test_kernel_that_fails_under_tcg_is_an_error(host: Host, lab: Machine) -> None:
    host.boots[TCG_CPU] = Boot(False, 60, "no user space", console="Oops")
    with pytest.raises(VcompareError, match="under TCG") as error:
        host.judge(lab)
    assert "Oops" in error.value.evidence


def test_kvm_that_was_asked_for_fails_with_rung_and_remedy(host: Host, lab: Machine) -> None:
    (host.root / "dev/kvm").unlink()
    with pytest.raises(VcompareError, match="device_present") as error:
        host.judge(lab, "kvm")
    assert error.value.remedy


def test_tcg_that_was_asked_for_leaves_kvm_alone(host: Host, lab: Machine) -> None:
    host.open_errors = [AssertionError("opened")]
    result = host.judge(lab, "tcg")
    assert result["accel"] == "tcg"
    assert list(rungs(result).values()) == [True] + [None] * 4
    assert host.asked == []


@pytest.mark.parametrize("wanted", ["auto", "kvm", "tcg"])
def test_other_architectures_are_told(host: Host, lab: Machine, wanted: str) -> None:
    host.architecture = "aarch64"
    with pytest.raises(VcompareError, match="aarch64 is not supported yet"):
        host.judge(lab, wanted)


@pytest.mark.parametrize(
    ("parameter", "nested"),
    [("1", True), ("Y", True), ("0", False), ("N", False), (None, None)],
)
def test_nesting(host: Host, lab: Machine, parameter: str | None, nested: bool | None) -> None:
    path = host.root / "sys/module/kvm_amd/parameters/nested"
    path.unlink() if parameter is None else path.write_text(parameter + "\n")
    result = host.judge(lab)
    assert result["nested"] is nested
    if nested:
        assert result["accel"] == "kvm"
    else:
        # Every arm is measured before any arm is fast.
        assert result["accel"] == "tcg"
        assert "nested=1" in result["remedy"]
    assert host.judge(lab, needs_nesting=False)["accel"] == "kvm"


def test_kvm_without_nesting_names_the_lost_arms(host: Host, lab: Machine) -> None:
    host.write("sys/module/kvm_amd/parameters/nested", "0\n")
    result = host.judge(lab, "kvm")
    assert result["accel"] == "kvm"
    assert {"kvm", "xen-pvh"} <= {entry["arm"] for entry in result["refused_arms"]}
    assert all("nested" in entry["reason"] for entry in result["refused_arms"])
    assert "kvm_amd nested=1" in result["remedy"]


def test_boot_is_the_real_one_by_default() -> None:
    assert acceleration.Surroundings().boot is boot_probe.boot


def test_a_device_is_opened_and_let_go(host: Host, lab: Machine) -> None:
    opened = acceleration.Surroundings(root=host.root).open_kvm
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    opened(str(host.root / "dev/kvm"))
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(OSError, match="No such file"):
        opened(str(host.root / "dev/nothing"))
