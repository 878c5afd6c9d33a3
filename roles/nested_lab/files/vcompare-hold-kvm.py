#!/usr/bin/python3
"""Keeps one KVM machine, which has no CPU and never runs.

The kernel patches its own scheduler when the first machine is made and when the last one goes (the key of the
preemption notifiers, in finish_task_switch). QEMU before 8.1, when it emulates several processors, may keep code that
it translated from the middle of such a patch: then all processors of a node step on a breakpoint that is no longer
there, for ever ("soft lockup" on its console). While this machine exists there is no first one and no last.
"""

import fcntl
import os
import signal

KVM_CREATE_VM = 0xAE01

machine = fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC), KVM_CREATE_VM, 0)
signal.pause()
