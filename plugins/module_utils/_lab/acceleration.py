# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the nodes of a lab can run under KVM here: proven rung by rung, not looked up.

A file /dev/kvm, a CPU flag and even a tiny guest prove nothing: there are machines where
all of that is there and no Linux boots. So the last rung boots the lab's own kernel to its
user space, and it must be faster there than under TCG, QEMU's emulation.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
import platform
import time
import typing as t
from collections.abc import Callable

from ansible_collections.vcompare.lab.plugins.module_utils._contract.arms import NESTING_ARMS
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import boot_probe, emulator

RUNGS = (
    "architecture",
    "cpu_flags",
    "device_present",
    "device_opens",
    "boots_kernel",
)
# What a node needs hardware for inside itself.
TCG_ACCEL = "tcg,thread=multi,tb-size=512"
# With arch-capabilities, QEMU aborts where KVM can't set that register (MSR 0x10a).
KVM_CPUS = ("host", "host,-arch-capabilities")
_MIN_DEADLINE_S = 3.0


@dataclasses.dataclass
class Rung:
    """One step of the proof.

    :param holds: None when it was not tried; ``detail`` says why.
    """

    name: str
    holds: bool | None
    detail: str
    elapsed_s: float = 0.0


def _open(device: str) -> None:
    os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What is asked of the machine; tests give others.

    :param root: where ``/proc``, ``/sys`` and ``/dev`` are.
    """

    root: pathlib.Path = pathlib.Path("/")
    architecture: Callable[[], str] = platform.machine
    open_kvm: Callable[[str], None] = _open
    boot: Callable[[boot_probe.Machine, str, str, float], boot_probe.Boot] = boot_probe.boot
    qemu_version: Callable[[str], emulator.Version] = emulator.version

    @property
    def device(self) -> pathlib.Path:
        return self.root / "dev/kvm"

    def cpu_flag(self) -> str | None:
        """``vmx`` or ``svm``, or None."""
        try:
            text = (self.root / "proc/cpuinfo").read_text()
        except OSError:
            return None
        for line in text.splitlines():
            if line.startswith("flags"):
                found = {"vmx", "svm"} & set(line.split())
                return min(found) if found else None
        return None

    def nesting_parameter(self) -> tuple[str, bool] | None:
        """The kernel module with its setting, or None when there is none."""
        for module in ("kvm_intel", "kvm_amd"):
            path = self.root / f"sys/module/{module}/parameters/nested"
            try:
                return module, path.read_text().strip() in {"Y", "1"}
            except OSError:
                continue
        return None


class _Failed(Exception):
    """A rung does not hold, so those above it are not tried."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class Ladder:
    """Climbs from the architecture to the booted kernel.

    :param machine: what the last rung boots; None leaves that rung untried.
    :param timeout_s: the longest that the boot under TCG may take.
    """

    def __init__(
        self,
        machine: boot_probe.Machine | None,
        timeout_s: float,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._machine = machine
        self._timeout_s = timeout_s
        self._around = surroundings or Surroundings()
        self.rungs: list[Rung] = []
        self.remedy = ""
        self.tcg_boot_s: float | None = None
        self.kvm_boot_s: float | None = None
        self.kvm_cpu: str | None = None
        self.evidence = ""
        self.nested: bool | None = None

    def climb(self, wanted: str = "auto") -> None:
        """Try each rung until one fails; afterwards ``rungs`` has all of them.

        :param wanted: with ``tcg``, KVM is left alone and only the architecture is looked at.
        """
        stop = ""
        for name in RUNGS:
            if stop:
                self._note(name, None, f"not tried, {stop}")
            elif not self._try(name):
                stop = f"since {name} does not hold"
            elif wanted == "tcg":
                stop = "since TCG was asked for"
        if not stop:
            # The kernel's setting is what a node's processor has, in a hypervisor's guest as well: without hardware
            # below, nothing has booted here.
            parameter = self._around.nesting_parameter()
            self.nested = parameter[1] if parameter else None

    @property
    def blocked_by(self) -> Rung | None:
        """The rung that forbids KVM; None when the last one holds."""
        if self.rungs[-1].holds:
            return None
        # The flags alone decide nothing (see _cpu_flags).
        return next(r for r in self.rungs if not r.holds and r.name != "cpu_flags")

    def _try(self, name: str) -> bool:
        start = time.monotonic()
        try:
            holds, detail = getattr(self, f"_{name}")()
        except _Failed as failed:
            self.remedy = failed.remedy
            self._note(name, False, failed.detail, time.monotonic() - start)
            return False
        self._note(name, holds, detail, time.monotonic() - start)
        return True

    def _note(self, name: str, holds: bool | None, detail: str, elapsed_s: float = 0.0) -> None:
        self.rungs.append(Rung(name, holds, detail, round(elapsed_s, 3)))

    def _architecture(self) -> tuple[bool, str]:
        found = self._around.architecture()
        if found not in {"x86_64", "amd64"}:
            raise _Failed(
                f"{found} is not supported yet, only x86-64",
                "Use an x86-64 machine as lab server.",
            )
        return True, found

    def _cpu_flags(self) -> tuple[bool, str]:
        flag = self._around.cpu_flag()
        if flag:
            return True, f"{flag} in /proc/cpuinfo"
        # A KVM may do without (a hypervisor's own), and a flag may lie (firmware): go on.
        return False, "neither vmx nor svm in /proc/cpuinfo; a hint only, so the ladder goes on"

    def _device_present(self) -> tuple[bool, str]:
        if not self._around.device.exists():
            if self._around.cpu_flag():
                remedy = (
                    "The processor could: load kvm_intel or kvm_amd, and look for virtualisation"
                    " in the firmware's settings."
                )
            else:
                remedy = (
                    "Use a machine with hardware virtualisation; in a virtual machine, its host"
                    " must pass it on (nested virtualisation)."
                )
            raise _Failed("there is no /dev/kvm", remedy)
        return True, "/dev/kvm is there"

    def _device_opens(self) -> tuple[bool, str]:
        try:
            self._around.open_kvm(str(self._around.device))
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM}:
                remedy = "Run as root, or add the user to the group kvm."
            else:
                remedy = "Load kvm_intel or kvm_amd, and see what the kernel says in dmesg."
            code = os.strerror(error.errno or 0)
            raise _Failed(f"/dev/kvm does not open: {code}", remedy) from error
        return True, "opened for reading and writing"

    def _boots_kernel(self) -> tuple[bool | None, str]:
        machine = self._machine
        if machine is None:
            return None, "not tried: no kernel and initrd were given"
        machine.check()
        cpu = emulator.cpu(self._around.qemu_version(machine.qemu))
        tcg = self._around.boot(machine, TCG_ACCEL, cpu, self._timeout_s)
        if not tcg.reached:
            raise VcompareError(
                f"The lab's kernel {machine.kernel} did not reach user space under TCG:"
                f" {tcg.why}. So nothing can be said about KVM.",
                "See the console's last lines; on a very slow machine, raise timeout_s.",
                tcg.evidence(),
            )
        self.tcg_boot_s = round(tcg.elapsed_s, 3)
        return self._boots_kernel_faster(machine, tcg.elapsed_s)

    def _boots_kernel_faster(self, machine: boot_probe.Machine, tcg_s: float) -> tuple[bool, str]:
        # More than TCG took would be a refusal anyway; a few seconds let a slow start say why.
        left = max(tcg_s, _MIN_DEADLINE_S)
        tries: list[str] = []
        for cpu in KVM_CPUS:
            done = self._around.boot(machine, "kvm", cpu, left)
            if done.reached and done.elapsed_s < tcg_s:
                self.kvm_boot_s, self.kvm_cpu = round(done.elapsed_s, 3), cpu
                return True, (
                    f"user space after {done.elapsed_s:.1f} s with -cpu {cpu},"
                    f" {tcg_s / done.elapsed_s:.1f} times as fast as TCG ({tcg_s:.1f} s)"
                )
            left -= done.elapsed_s
            tries.append(f"with -cpu {cpu} {done.why}")
            if done.reached:
                self.kvm_boot_s = round(done.elapsed_s, 3)
                break
            self.evidence += f"-cpu {cpu}: {done.evidence()}\n"
            if left < 1:
                break
        text = "; ".join(tries)
        raise _Failed(
            f"the lab's kernel did not get to user space faster than TCG ({tcg_s:.1f} s): {text}",
            "KVM is of no use here: take TCG, or a machine with working hardware virtualisation.",
        )


def nesting_remedy(surroundings: Surroundings) -> str:
    """How nesting is switched on for good."""
    parameter = surroundings.nesting_parameter()
    module = parameter[0] if parameter else "kvm_intel (or kvm_amd)"
    return (
        f"Write 'options {module} nested=1' into /etc/modprobe.d/kvm-nested.conf and load {module}"
        " again while no machine runs, or reboot."
    )


def decide(
    ladder: Ladder,
    wanted: str,
    needs_nesting: bool,
    surroundings: Surroundings | None = None,
) -> dict[str, t.Any]:
    """What the nodes of the lab shall use, and why.

    :param ladder: one that was climbed.
    :param wanted: ``auto``, ``kvm`` or ``tcg``.
    :param needs_nesting: arms inside the nodes need hardware, too.
    :returns: accel, reason, rungs, tcg_boot_s, kvm_boot_s, kvm_cpu, nested, refused_arms, remedy.
    :raises VcompareError: when KVM is wanted and does not work, or for another architecture.
    """
    around = surroundings or Surroundings()
    blocked = ladder.blocked_by
    if blocked is not None and blocked.name == "architecture":
        raise VcompareError(f"No lab here: {blocked.detail}.", ladder.remedy)
    refused: list[dict[str, str]] = []
    remedy = ladder.remedy
    if wanted == "tcg":
        accel, reason, remedy = "tcg", "TCG was asked for, so KVM was not tried.", ""
    elif blocked is not None:
        why = f"{blocked.name} does not hold: {blocked.detail}"
        if blocked.holds is None:
            why = f"{blocked.name} was {blocked.detail}"
            remedy = "Give the lab's kernel and initrd: only their boot proves that KVM works."
        if wanted == "kvm":
            raise VcompareError(f"KVM was asked for, and {why}.", remedy, ladder.evidence)
        accel, reason = "tcg", f"TCG, since {why}."
    elif needs_nesting and not ladder.nested:
        state = "is off" if ladder.nested is False else "can't be told"
        remedy = nesting_remedy(around)
        if wanted == "kvm":
            accel = "kvm"
            reason = f"KVM was asked for and works, but nesting {state}."
            refused = [
                {"arm": arm, "reason": f"needs nested virtualisation in its node, which {state}"}
                for arm in NESTING_ARMS
            ]
        else:
            accel = "tcg"
            reason = (
                f"TCG, since nesting {state}: under KVM the arms {', '.join(NESTING_ARMS)}"
                " could not be measured."
            )
    else:
        accel, reason, remedy = "kvm", f"KVM, since {ladder.rungs[-1].detail}.", ""
    return {
        "accel": accel,
        "reason": reason,
        "rungs": [dataclasses.asdict(rung) for rung in ladder.rungs],
        "tcg_boot_s": ladder.tcg_boot_s,
        "kvm_boot_s": ladder.kvm_boot_s,
        "kvm_cpu": ladder.kvm_cpu,
        "nested": ladder.nested,
        "refused_arms": refused,
        "remedy": remedy,
        "evidence": ladder.evidence,
    }
