# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Threads of the host, and what they are, for those who ask which of them work for an instance."""

from __future__ import annotations

import contextlib
import itertools
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import NotPossible

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")

Threads = dict[int, str]


def _read(path: Path) -> str:
    """Return a text of /proc; of a thread that has ended, nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _described(numbers: t.Iterable[int], proc: Path) -> Threads:
    found = {number: _read(proc / str(number) / "comm").strip() for number in numbers}
    return {number: name for number, name in found.items() if name}


def _processes(proc: Path) -> t.Iterator[Path]:
    return (folder for folder in proc.iterdir() if folder.name.isdigit())


def of_process(pid: int, proc: Path = PROC) -> Threads:
    """Return all threads of a process."""
    with contextlib.suppress(OSError):
        return _described([int(each.name) for each in (proc / str(pid) / "task").iterdir()], proc)
    return {}


def of_group(pid: int, proc: Path = PROC, groups: Path = GROUPS) -> Threads:
    """Return all threads of the control group that a process is in.

    :raises NotPossible: this host has control groups of version 1.
    """
    lines = _read(proc / str(pid) / "cgroup").splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), "")
    folder = groups / path.lstrip("/")
    if not path.strip("/") or not (folder / "cgroup.threads").exists():
        raise NotPossible("the host's control groups (version 2) don't say which processes it has")
    # Its own, and those of groups that were made inside of it.
    lists = [folder / "cgroup.threads", *folder.rglob("*/cgroup.threads")]
    return _described({int(word) for each in lists for word in _read(each).split()}, proc)


def named(*beginnings: str, proc: Path = PROC) -> Threads:
    """Return the processes and kernel threads whose names begin so."""
    found = {int(folder.name): _read(folder / "comm").strip() for folder in _processes(proc)}
    return {number: name for number, name in found.items() if name.startswith(beginnings)}


def of_programs(*names: str, proc: Path = PROC) -> Threads:
    """Return all threads of the processes that go by one of these names."""
    found: Threads = {}
    for folder in _processes(proc):
        if _read(folder / "comm").strip() in names:
            found.update(of_process(int(folder.name), proc))
    return found


def with_argument(option: str, value: str, proc: Path = PROC) -> Threads:
    """Return all threads of the processes that were started with an option of this value."""
    found: Threads = {}
    for folder in _processes(proc):
        words = _read(folder / "cmdline").split("\0")
        if (option, value) in itertools.pairwise(words):
            found.update(of_process(int(folder.name), proc))
    return found
