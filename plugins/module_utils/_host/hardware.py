# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of a host's hardware that change what is measured, and what to do about those that spoil it.

A setting that the host does not show is None, never a default.
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._contract.substrates import METAL

_CPU = "sys/devices/system/cpu"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def cpu_list(text: str) -> set[int]:
    """Return the numbers of a list such as ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _dash, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _turbo(root: Path) -> bool | None:
    """Whether processors may exceed their nominal frequency."""
    if (off := _text(root / _CPU / "intel_pstate/no_turbo")) in ("0", "1"):
        return off == "0"
    boost = _text(root / _CPU / "cpufreq/boost")
    return boost == "1" if boost in ("0", "1") else None


def read(root: Path = Path("/")) -> dict[str, t.Any]:
    """Read the settings.

    :param root: where ``/proc`` and ``/sys`` are; tests give others.
    :returns: governors and drivers (lists, None where there is no frequency scaling), turbo, smt_active, smt_control,
        siblings (lists of processors that share a core), numa_nodes (node → processors), microcode, cgroup_version
        (1 also for a hybrid; None without control groups).
    """

    def every(pattern: str) -> list[str] | None:
        return (
            sorted({text for path in (root / _CPU).glob(pattern) if (text := _text(path))}) or None
        )

    active = _text(root / _CPU / "smt/active")
    nodes = {
        path.name: _text(path / "cpulist") or ""
        for path in sorted((root / "sys/devices/system/node").glob("node[0-9]*"))
    }
    microcode = re.search(
        r"^microcode\s*:\s*(\S+)$", _text(root / "proc/cpuinfo") or "", re.MULTILINE
    )
    return {
        "governors": every("cpu[0-9]*/cpufreq/scaling_governor"),
        "drivers": every("cpu[0-9]*/cpufreq/scaling_driver"),
        "turbo": _turbo(root),
        "smt_active": active == "1" if active in ("0", "1") else None,
        "smt_control": _text(root / _CPU / "smt/control"),
        "siblings": every("cpu[0-9]*/topology/thread_siblings_list"),
        "numa_nodes": nodes or None,
        "microcode": microcode[1] if microcode else None,
        "cgroup_version": cgroup_version(root),
    }


def cgroup_version(root: Path = Path("/")) -> int | None:
    """Return the version of the host's control groups: 1 also for a hybrid of both, None without any."""
    groups = root / "sys/fs/cgroup"
    if (groups / "cgroup.controllers").exists():
        return 2
    there = any((groups / name).is_dir() for name in ("cpu", "memory", "unified", "pids", "cpuset"))
    return 1 if there else None


def warnings(
    found: t.Mapping[str, t.Any], substrate: str, cpuset: str = ""
) -> list[dict[str, str]]:
    """Return what spoils measurements on real hardware, each with the command that changes it.

    :param found: as `read` returns it.
    :param cpuset: the processors of the instances; empty for all.
    :returns: each with a code (``governor``, ``turbo``, ``smt``, ``numa``) and a text.
    """
    if substrate != METAL:
        # The hypervisor below decides, and what the guest sees is not what it has.
        return []
    lines: dict[str, str] = {}
    slow = [name for name in found["governors"] or () if name != "performance"]
    if slow:
        lines["governor"] = (
            f"The frequency governor is {', '.join(slow)}: speed depends on what ran before. "
            "Change it with: cpupower frequency-set --governor performance"
        )
    if found["turbo"]:
        intel = "intel_pstate" in (found["drivers"] or ()) or "intel_cpufreq" in (
            found["drivers"] or ()
        )
        command = (
            f"echo 1 > /{_CPU}/intel_pstate/no_turbo"
            if intel
            else f"echo 0 > /{_CPU}/cpufreq/boost"
        )
        lines["turbo"] = (
            f"Turbo is on: speed depends on temperature and on busy cores. Change it with: {command}"
        )
    shared = [
        group
        for group in found["siblings"] or ()
        if len(cpu_list(group) & (cpu_list(cpuset) or cpu_list(group))) > 1
    ]
    if found["smt_active"] and shared:
        lines["smt"] = (
            f"Threads of one core are both used ({'; '.join(shared)}), so instances slow each other. "
            f"Change it with: echo off > /{_CPU}/smt/control"
        )
    nodes = found["numa_nodes"] or {}
    used = [
        name
        for name, text in nodes.items()
        if cpu_list(text) & (cpu_list(cpuset) or cpu_list(text))
    ]
    if len(used) > 1:
        lines["numa"] = (
            f"The processors belong to several NUMA nodes ({', '.join(used)}): memory is nearer to some. "
            f"Use those of one, with the variable measure_cpuset: {nodes[used[0]]}"
        )
    return [{"code": code, "text": text} for code, text in lines.items()]
