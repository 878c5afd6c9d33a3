"""Keeps one KVM machine, which has no CPU and never runs.

The kernel patches its own scheduler when the first machine is made and when the last one goes (the key of the
preemption notifiers, in finish_task_switch). QEMU before 8.1, when it emulates several processors, may keep code that
it translated from the middle of such a patch: then all processors of a node step on a breakpoint that is no longer
there, for ever ("soft lockup" on its console). While this machine exists there is no first one and no last; and while
it is made, there is one processor only.
"""

import contextlib
import fcntl
import os
import signal
import socket
from pathlib import Path

KVM_CREATE_VM = 0xAE01

# The first processor has no such file.
others = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/online"))
with contextlib.ExitStack() as stack:
    for other in others:
        other.write_text("0", encoding="ascii")
        stack.callback(other.write_text, "1", encoding="ascii")
    machine = fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC), KVM_CREATE_VM, 0)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
    systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
