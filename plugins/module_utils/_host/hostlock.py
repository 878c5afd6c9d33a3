# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One measurement at a time on a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError


@contextlib.contextmanager
def measuring(state_dir: str = STATE_DIR, timeout_s: float = 0.0) -> t.Iterator[None]:
    """Hold the host's measuring lock; the kernel lets go of it even when we are killed.

    :param timeout_s: how long to wait for another measurement, which may be an interrupted one that
        still cleans up.
    :raises BackendError: when another measurement holds it for longer.
    """
    folder = pathlib.Path(state_dir)
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(folder / "measure.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not _taken(fd):
            if time.monotonic() >= deadline:
                raise BackendError(
                    "another measurement is running on this host",
                    remedy="Wait for it to end: two at once would measure each other.",
                )
            time.sleep(0.2)
        yield
    finally:
        os.close(fd)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
