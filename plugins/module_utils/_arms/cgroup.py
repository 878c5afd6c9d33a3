# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Control groups (version 2) of instances that are plain processes of the host.

All of them are in one group ``vcompare``. It hands the controllers on to its children, and so
systemd, which switches off in the root what none of its own units needs, can't take them away.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import wait_until

ROOT = Path("/sys/fs/cgroup")
PARENT = "vcompare"
CONTROLLERS = ("cpuset", "memory")

# Five times the kernel's own, so that what it costs to hold a group up is little beside what it runs.
CPU_PERIOD_S = 0.5
_CPU_PERIOD_US = round(CPU_PERIOD_S * 1e6)
_FILLER_MIB = 16
_FILLER_START_S = 30.0


def unavailable(root: Path = ROOT) -> str:
    """Return an empty string, or the reason why this host can't hold an instance to its limits."""
    try:
        offered = (root / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:
        return (
            "this host has control groups of version 1; boot it with "
            "systemd.unified_cgroup_hierarchy=1 "
            "on the kernel's command line"
        )
    missing = [controller for controller in CONTROLLERS if controller not in offered]
    if missing:
        return f"this host's kernel offers no control group controller {', '.join(missing)}"
    return ""


class Cgroup:
    """The group of one instance.

    :param root: where control groups are mounted.
    """

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self.name = name
        self.root = root
        self.path = root / PARENT / name

    @property
    def inner_path(self) -> str:
        """The group's path as ``/proc/PID/cgroup`` shows it."""
        return f"/{PARENT}/{self.name}"

    def create(self, cpus: str, memory_mib: int) -> None:
        """Make the group with its limits: so many CPUs, so much memory, no swap."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._hand_on(*CONTROLLERS)
            (self.path / "cpuset.cpus").write_text(cpus, encoding="ascii")
            (self.path / "memory.max").write_text(str(memory_mib << 20), encoding="ascii")
            swap = self.path / "memory.swap.max"
            if swap.exists():
                swap.write_text("0", encoding="ascii")
        except OSError as error:
            raise BackendError(
                f"{self.name}: making its control group {self.path}: {error}",
                remedy="See that control groups of version 2 are mounted there and writable.",
            ) from None

    def _hand_on(self, *controllers: str) -> None:
        enable = " ".join(f"+{controller}" for controller in controllers)
        for parent in (self.root, self.root / PARENT):
            (parent / "cgroup.subtree_control").write_text(enable, encoding="ascii")

    @staticmethod
    def cpu_max(cpus: float) -> str:
        """Return so many CPUs as ``cpu.max`` shows them: microseconds in a period, and the period."""
        return f"{round(cpus * _CPU_PERIOD_US)} {_CPU_PERIOD_US}"

    def limit_cpu(self, cpus: float) -> None:
        """Let the group use so many CPUs at most, whatever is idle."""
        try:
            self._hand_on("cpu")
            (self.path / "cpu.max").write_text(self.cpu_max(cpus), encoding="ascii")
        except OSError as error:
            raise BackendError(
                f"{self.name}: limiting the CPU of its control group {self.path}: {error}",
                remedy="See that the controller cpu is in the root's cgroup.controllers.",
            ) from None

    def cpus(self) -> str:
        """Return the CPUs that it is held to, as a list of ranges; empty when they can't be read."""
        try:
            return (self.path / "cpuset.cpus").read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def cpu_limit(self) -> str:
        """Return ``cpu.max`` as it is in force; empty when it can't be read."""
        try:
            return (self.path / "cpu.max").read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def fill(self, cpus: str) -> None:
        """Have a process in this group that takes what other groups leave of these CPUs, and no more.

        An emulated processor that a quota sends to sleep a fifth of the time is slower while it is awake: 6% were seen.
        This keeps it awake.
        """
        try:
            self.create(cpus, _FILLER_MIB)
            self._hand_on("cpu")
            (self.path / "cpu.idle").write_text("1", encoding="ascii")
            # Outside of the group it would take more than what is left, so it ends where it can't get in.
            script = 'echo $$ >"$0" && while :; do :; done'
            subprocess.Popen(
                ["/bin/sh", "-c", script, str(self.path / "cgroup.procs")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(
                f"{self.name}: filling the rest of the CPUs {cpus}: {error}",
                remedy="The kernel must know groups that are idle (cpu.idle, Linux 5.15 and later).",
            ) from None
        if not wait_until(self.pids, _FILLER_START_S, 0.01):
            raise BackendError(f"{self.name}: what fills the rest of the CPUs {cpus} did not start")

    def exists(self) -> bool:
        """Whether the group is there."""
        return self.path.is_dir()

    def pids(self) -> list[int]:
        """Return the processes in the group."""
        try:
            return [int(pid) for pid in (self.path / "cgroup.procs").read_text("ascii").split()]
        except OSError:
            return []

    def populated(self) -> bool:
        """Whether a process lives in the group (one that ended and was not waited for does not)."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text(encoding="ascii")
        except OSError:
            return False

    def remove(self, timeout_s: float) -> None:
        """Kill whatever is in the group, and take it away; it need not be there."""
        if self.exists():
            with contextlib.suppress(FileNotFoundError):
                (self.path / "cgroup.kill").write_text("1", encoding="ascii")
            if not wait_until(lambda: not self.populated(), timeout_s, 0.01):
                raise BackendError(
                    f"{self.name}: its processes {self.pids()} did not end when they were killed",
                    remedy="See what they wait for in the kernel (cat /proc/PID/stack).",
                )
            with contextlib.suppress(FileNotFoundError):
                self.path.rmdir()
        # the last one turns off the light
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()
