# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Boots a kernel in QEMU and watches its console for one text, never longer than a deadline."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

_PR_SET_PDEATHSIG = 1
# What QEMU and the guest kernel say when nothing more will come.
_HOPELESS = ("KVM internal error", "emulation failure", "Kernel panic - not syncing")
_KEPT_OUTPUT = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Machine:
    """What is booted.

    :param kernel: a Linux kernel, as for QEMU's ``-kernel``.
    :param append: the kernel's command line; the console must be on ttyS0.
    :param marker: the text on the console that proves user space.
    """

    qemu: str
    kernel: str
    initrd: str
    append: str
    marker: str
    memory_mib: int = 512

    def check(self) -> None:
        """Refuse what can't work before anything is started.

        :raises VcompareError: with the remedy.
        """
        if shutil.which(self.qemu) is None:
            raise VcompareError(
                f"There is no {self.qemu} to boot the lab's kernel with.",
                "Install QEMU's x86 system emulator (Debian: apt-get install qemu-system-x86).",
            )
        for what, path in (("kernel", self.kernel), ("initrd", self.initrd)):
            if not os.access(path, os.R_OK):
                raise VcompareError(
                    f"The {what} {path} is not there or can't be read.",
                    "Build the lab's image first, or name another file.",
                )
        # The kernel prints its command line first thing: that would prove nothing.
        if not self.marker or self.marker in self.append:
            raise VcompareError(
                f"The marker {self.marker!r} is empty or part of the kernel command line.",
                "Give a text that only the initrd prints.",
            )


@dataclasses.dataclass(frozen=True)
class Boot:
    """How a boot went.

    :param reached: the marker was on the console.
    :param elapsed_s: until the marker, or until it was given up.
    :param why: one phrase that says how it ended.
    :param console: the last lines of the console.
    :param qemu_said: what QEMU itself printed.
    """

    reached: bool
    elapsed_s: float
    why: str
    console: str = ""
    qemu_said: str = ""

    def evidence(self) -> str:
        """What was seen, for an error message; at most a few lines."""
        parts = [part for part in (self.qemu_said, self.console) if part]
        return "\n".join(parts) or "(neither QEMU nor the console printed anything)"


def boot(machine: Machine, accel: str, cpu: str, deadline_s: float) -> Boot:
    """Boot, and end the machine again, whatever happens.

    :param accel: as for QEMU's ``-accel``, e.g. ``kvm``.
    :param cpu: as for QEMU's ``-cpu``.
    """
    command = [
        machine.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", accel, "-cpu", cpu, "-smp", "1",
        "-m", str(machine.memory_mib), "-serial", "stdio",
        "-kernel", machine.kernel, "-initrd", machine.initrd, "-append", machine.append,
    ]  # fmt: skip
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    watch = _Watch(process, machine.marker)
    try:
        why = watch.until(start + deadline_s)
        elapsed = time.monotonic() - start
    finally:
        _end(process)
        watch.close()
    if why == "":
        return Boot(True, elapsed, f"user space after {elapsed:.1f} s")
    return Boot(False, elapsed, why, watch.tail("console"), watch.tail("qemu"))


class _Watch:
    """Reads both outputs of QEMU as they come."""

    def __init__(self, process: subprocess.Popen[bytes], marker: str) -> None:
        self._process = process
        self._marker = marker.encode()
        self._seen = {"console": b"", "qemu": b""}
        self._selector = selectors.DefaultSelector()
        for name, stream in (("console", process.stdout), ("qemu", process.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, selectors.EVENT_READ, name)

    def until(self, deadline: float) -> str:
        """Wait for the marker: an empty text when it came, otherwise why it won't."""
        start = time.monotonic()
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return f"no user space within the deadline of {deadline - start:.1f} s"
            for key, _events in self._selector.select(left):
                self._read(key)
            if self._marker in self._seen["console"]:
                return ""
            for sign in _HOPELESS:
                for text in self._seen.values():
                    if sign.encode() in text:
                        return f"it says: {sign}"
        # Both outputs are closed, so QEMU is gone or about to go.
        try:
            code = self._process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "QEMU closed its console and stayed"
        how = f"was ended by {_signal_name(-code)}" if code < 0 else f"left with exit code {code}"
        errors = [line for line in self.tail("qemu").split("\n") if "error" in line]
        return f"QEMU {how} before user space" + (f" ({errors[0]})" if errors else "")

    def tail(self, name: str, lines: int = 8) -> str:
        """The last lines, without the control characters that firmware sends."""
        text = self._seen[name].decode(errors="replace").replace("\r", "\n")
        kept = ["".join(c for c in line if c.isprintable()) for line in text.split("\n")]
        return "\n".join([line for line in kept if line.strip()][-lines:])

    def close(self) -> None:
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self, key: selectors.SelectorKey) -> None:
        chunk = os.read(key.fd, 65536)
        if not chunk:
            self._selector.unregister(key.fileobj)
        self._seen[key.data] = (self._seen[key.data] + chunk)[-_KEPT_OUTPUT:]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _die_with_parent() -> Callable[[], None]:
    """The kernel ends QEMU when we are killed without a chance to do it."""
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return before_exec


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
