# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""/dev/kvm by its own interface: what it can do, asked without QEMU in between.

The numbers are those of Linux's ``include/uapi/linux/kvm.h`` and
``arch/x86/include/uapi/asm/kvm.h``, which are a stable interface.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import types

KVM_API_VERSION = 12

_KVM_GET_API_VERSION = 0xAE00
_KVM_CREATE_VM = 0xAE01
_KVM_GET_VCPU_MMAP_SIZE = 0xAE04
_KVM_GET_SUPPORTED_CPUID = 0xC008AE05
_KVM_CREATE_VCPU = 0xAE41
_KVM_SET_USER_MEMORY_REGION = 0x4020AE46
_KVM_RUN = 0xAE80
_KVM_GET_REGS = 0x8090AE81
_KVM_SET_REGS = 0x4090AE82
_KVM_GET_SREGS = 0x8138AE83
_KVM_SET_SREGS = 0x4138AE84

_EXIT_HLT = 5
_EXIT_REASON_OFFSET = 8  # struct kvm_run: request_interrupt_window, immediate_exit, padding
_EXIT_NAMES = {
    0: "unknown",
    2: "io",
    5: "hlt",
    6: "mmio",
    8: "shutdown",
    9: "fail_entry",
    17: "internal_error",
}

_SREGS_SIZE = 312
_REGS = struct.Struct("<18Q")  # rax rbx rcx rdx rsi rdi rsp rbp r8 … r15 rip rflags
_RAX, _RIP, _RFLAGS = 0, 16, 17

_GUEST_MEMORY = 0x4000
_CODE_AT = 0x1000
_RESULT_AT = 0x2000
_ANSWER = 0x5643
# mov ax, imm16; mov [0x2000], ax; hlt
_CODE = b"\xb8" + struct.pack("<H", _ANSWER) + b"\xa3" + struct.pack("<H", _RESULT_AT) + b"\xf4"


class KvmError(Exception):
    """The device answered, and not as it must."""


class Kvm:
    """An open /dev/kvm. Use as a context manager.

    :raises OSError: from the constructor when the device can't be opened.
    """

    def __init__(self, device: str = "/dev/kvm") -> None:
        self._fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self) -> Kvm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def api_version(self) -> int:
        """The interface's version; 12 since 2007."""
        return int(fcntl.ioctl(self._fd, _KVM_GET_API_VERSION, 0))

    def create_vm(self) -> None:
        """Make a virtual machine, and let it go again.

        :raises KvmError: for another interface, or when the kernel makes none.
        """
        version = self.api_version()
        if version != KVM_API_VERSION:
            raise KvmError(f"interface version {version}, expected {KVM_API_VERSION}")
        os.close(self._new_vm())

    def run_instructions(self, deadline_s: float = 3.0) -> str:
        """Run three instructions in 16-bit mode, and look for what they must have done.

        :returns: one sentence that says what was seen.
        :raises KvmError: when the guest did anything else, or not within ``deadline_s``.
        """
        vm = self._new_vm()
        memory = mmap.mmap(-1, _GUEST_MEMORY)
        try:
            memory[_CODE_AT : _CODE_AT + len(_CODE)] = _CODE
            anchor = ctypes.c_char.from_buffer(memory)
            try:
                region = struct.pack("<IIQQQ", 0, 0, 0, _GUEST_MEMORY, ctypes.addressof(anchor))
                fcntl.ioctl(vm, _KVM_SET_USER_MEMORY_REGION, region)
                reason, rax = self._run_vcpu(vm, deadline_s)
            finally:
                # An mmap can't be closed while something points into it.
                del anchor
            (stored,) = struct.unpack_from("<H", memory, _RESULT_AT)
        except OSError as error:
            raise KvmError(f"the kernel refused: {os.strerror(error.errno or 0)}") from error
        finally:
            os.close(vm)
            memory.close()
        if reason != _EXIT_HLT:
            name = _EXIT_NAMES.get(reason, "another")
            raise KvmError(f"the guest left with exit reason {reason} ({name}), not with its HLT")
        if rax & 0xFFFF != _ANSWER or stored != _ANSWER:
            raise KvmError(
                f"the guest halted with {rax & 0xFFFF:#x} in its register and {stored:#x} in its"
                f" memory, expected {_ANSWER:#x} in both"
            )
        return "a guest of three instructions wrote its register and its memory, and halted"

    def offers_nesting(self) -> bool | None:
        """Whether KVM offers VMX or SVM to its guests, so that they can have a KVM too.

        :returns: None when the kernel does not tell.
        """
        entries = 256
        buffer = bytearray(8 + entries * 40)
        struct.pack_into("<I", buffer, 0, entries)
        try:
            fcntl.ioctl(self._fd, _KVM_GET_SUPPORTED_CPUID, buffer)
        except OSError:
            return None
        (count,) = struct.unpack_from("<I", buffer, 0)
        for index in range(min(count, entries)):
            function, _leaf, _flags, _eax, _ebx, ecx = struct.unpack_from(
                "<6I", buffer, 8 + index * 40
            )
            # Intel SDM, CPUID.1:ECX[5] is VMX; AMD APM, CPUID.8000_0001:ECX[2] is SVM.
            if (function == 1 and ecx >> 5 & 1) or (function == 0x80000001 and ecx >> 2 & 1):
                return True
        return False

    def _new_vm(self) -> int:
        for _attempt in range(5):
            try:
                return int(fcntl.ioctl(self._fd, _KVM_CREATE_VM, 0))
            except OSError as error:
                # A signal may interrupt it: QEMU tries again too.
                if error.errno != errno.EINTR:
                    raise KvmError(f"no machine: {os.strerror(error.errno or 0)}") from error
        raise KvmError("no machine: interrupted five times")

    def _run_vcpu(self, vm: int, deadline_s: float) -> tuple[int, int]:
        """Exit reason, and RAX after it."""
        run_size = int(fcntl.ioctl(self._fd, _KVM_GET_VCPU_MMAP_SIZE, 0))
        vcpu = int(fcntl.ioctl(vm, _KVM_CREATE_VCPU, 0))
        try:
            with mmap.mmap(vcpu, run_size) as run:
                # Reset leaves CS at the top of memory; the guest lives at its bottom.
                sregs = bytearray(_SREGS_SIZE)
                fcntl.ioctl(vcpu, _KVM_GET_SREGS, sregs)
                struct.pack_into("<Q", sregs, 0, 0)  # cs.base
                struct.pack_into("<H", sregs, 12, 0)  # cs.selector
                fcntl.ioctl(vcpu, _KVM_SET_SREGS, bytes(sregs))
                regs = [0] * 18
                regs[_RIP], regs[_RFLAGS] = _CODE_AT, 2
                fcntl.ioctl(vcpu, _KVM_SET_REGS, _REGS.pack(*regs))
                with _Alarm(deadline_s):
                    fcntl.ioctl(vcpu, _KVM_RUN, 0)
                (reason,) = struct.unpack_from("<I", run, _EXIT_REASON_OFFSET)
                after = bytearray(_REGS.size)
                fcntl.ioctl(vcpu, _KVM_GET_REGS, after)
                return int(reason), int(_REGS.unpack(after)[_RAX])
        finally:
            os.close(vcpu)


class _Alarm:
    """Ends a KVM_RUN that does not come back: the signal takes the processor out of the guest."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_unused: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, _number: int, _frame: object) -> None:
        raise KvmError(f"the guest did not halt within {self._seconds:g} s")
