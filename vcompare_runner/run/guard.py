# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Run ansible-playbook between ``vcompare`` and its terminal (``python -m vcompare_runner.run.guard …``).

It has no terminal, so that whatever asks for a password or a host key gets an error instead of waiting for an answer.
And it ends with ``vcompare``, even where that is killed by force (out of memory): the kernel tells us, and we end
ansible-playbook and all that it started as on Ctrl-C.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import typing as t

from vcompare_runner.run.interrupt import GRACE_S, Interrupt, Stopper

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5


def end_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def main(command: t.Sequence[str]) -> int:
    """Run a command; return its exit code."""
    parent = os.getppid()
    # Our terminal goes with vcompare: what it says must not end us before we have ended the others.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupt() as interrupt:
        end_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            return 254
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),
        )
        stopper = Stopper(interrupt, lambda: None, GRACE_S)
        while (code := _wait(child)) is None:
            if interrupt.requested:
                _stop(child, stopper)
                return 254
    return 128 - code if code < 0 else code


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return None


def _stop(child: subprocess.Popen[bytes], stopper: Stopper) -> None:
    """End ansible-playbook in order, then by force, and what it leaves behind."""
    while child.poll() is None and not stopper():
        time.sleep(_POLL_S)
    if child.poll() is None:
        child.kill()
    child.wait()
    stopper.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
