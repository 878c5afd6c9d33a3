# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of real hardware: read from files, unknown where those are missing, and what to do about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host import hardware

CPU = "sys/devices/system/cpu"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def server(root: Path, driver: str = "intel_pstate", governor: str = "powersave") -> None:
    boost = "intel_pstate/no_turbo" if driver == "intel_pstate" else "cpufreq/boost"
    write(
        root,
        {
            f"{CPU}/{boost}": "0" if driver == "intel_pstate" else "1",
            f"{CPU}/smt/active": "1",
            f"{CPU}/smt/control": "on",
            "sys/devices/system/node/node0/cpulist": "0-1",
            "sys/devices/system/node/node1/cpulist": "2-3",
            "proc/cpuinfo": "processor\t: 0\nmicrocode\t: 0x5003604",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory",
        },
    )
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        cpu = f"{CPU}/cpu{number}"
        write(
            root,
            {
                f"{cpu}/cpufreq/scaling_governor": governor,
                f"{cpu}/cpufreq/scaling_driver": driver,
                f"{cpu}/topology/thread_siblings_list": siblings,
            },
        )


def test_a_missing_file_is_unknown_and_never_a_default(tmp_path: Path) -> None:
    found = hardware.read(tmp_path)
    assert set(found.values()) == {None}
    assert hardware.warnings(found, "metal") == []


@pytest.mark.parametrize(
    ("driver", "command"),
    [
        ("intel_pstate", "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo"),
        ("acpi-cpufreq", "echo 0 > /sys/devices/system/cpu/cpufreq/boost"),
    ],
)
def test_what_spoils_measurements_is_said_with_its_command(
    driver: str, command: str, tmp_path: Path
) -> None:
    server(tmp_path, driver)
    found = hardware.read(tmp_path)
    assert found["turbo"] is True and found["microcode"] == "0x5003604"
    warned = hardware.warnings(found, "metal")
    assert [one["code"] for one in warned] == ["governor", "turbo", "smt", "numa"]
    said = [one["text"] for one in warned]
    for part in ("cpupower frequency-set --governor performance", command, "smt/control", "NUMA"):
        assert any(part in line for line in said), part
    for substrate in ("vm", "nested-kvm", "nested-tcg", "unknown"):
        assert hardware.warnings(found, substrate) == []


@pytest.mark.parametrize(
    ("change", "absent"),
    [
        ({"governors": ["performance"]}, "governor"),
        ({"turbo": False}, "Turbo"),
        ({"turbo": None}, "Turbo"),
        ({"smt_active": False}, "Threads"),
        ({"numa_nodes": {"node0": "0-3"}}, "NUMA"),
    ],
)
def test_what_is_right_or_unknown_is_not_warned_of(
    change: dict[str, object], absent: str, tmp_path: Path
) -> None:
    server(tmp_path)
    warned = hardware.warnings({**hardware.read(tmp_path), **change}, "metal")
    assert len(warned) == 3
    said = [one["text"] for one in warned]
    assert not any(absent in line for line in said)


def texts(root: Path, cpuset: str) -> str:
    found = hardware.warnings(hardware.read(root), "metal", cpuset)
    return " ".join(one["text"] for one in found)


def test_only_processors_that_are_used_count(tmp_path: Path) -> None:
    server(tmp_path)
    said = texts(tmp_path, "0-1")
    assert "NUMA" not in said and "Threads" not in said
    said = texts(tmp_path, "0,2")
    assert "NUMA" in said and "Threads of one core are both used (0,2)" in said


@pytest.mark.parametrize(
    ("files", "version"),
    [
        (["cgroup.controllers", "cgroup.procs"], 2),
        (["cpu/tasks", "memory/tasks"], 1),
        (["cpu/tasks", "unified/cgroup.controllers"], 1),
        ([], None),
    ],
)
def test_version_of_control_groups(files: list[str], version: int | None, tmp_path: Path) -> None:
    write(tmp_path, {f"sys/fs/cgroup/{name}": "" for name in files})
    assert hardware.cgroup_version(tmp_path) == version


def test_this_machine_is_read() -> None:
    found = hardware.read()
    there = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert (found["cgroup_version"] == 2) is there
