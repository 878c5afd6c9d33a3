# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Limits of a host's kernel that many instances come up against, raised for as long as something is measured."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from pathlib import Path

_PROC_SYS = Path("/proc/sys")


@dataclasses.dataclass(frozen=True)
class Limit:
    """A setting, what it is raised to, and which of an instance's needs meets it."""

    path: str
    value: int
    why: str


LIMITS: tuple[Limit, ...] = (
    Limit("kernel/pid_max", 4194304, "a container has a dozen processes and threads on its host"),
    Limit("kernel/threads-max", 4194304, "threads of all processes together"),
    Limit("kernel/keys/maxkeys", 200000, "a container has a session keyring of its own"),
    Limit("kernel/keys/maxbytes", 25000000, "and what is in it"),
    Limit("fs/inotify/max_user_instances", 65536, "daemons watch a container's files and groups"),
    Limit("fs/inotify/max_user_watches", 1048576, "as before"),
    Limit("fs/aio-max-nr", 1048576, "a virtual machine's disk takes places in the queues"),
    Limit("net/ipv4/neigh/default/gc_thresh1", 16384, "each instance is a neighbour on a bridge"),
    Limit("net/ipv4/neigh/default/gc_thresh2", 32768, "as before"),
    Limit("net/ipv4/neigh/default/gc_thresh3", 65536, "as before"),
)


@contextlib.contextmanager
def raised(root: Path = _PROC_SYS) -> t.Iterator[str]:
    """Raise what is lower, and put it back at the end; gives what was changed, in words.

    A limit that this kernel has not is left out; one that it does not let be raised is named.
    """
    before: list[tuple[Path, str]] = []
    words = []
    try:
        for limit in LIMITS:
            path = root / limit.path
            try:
                old = path.read_text(encoding="ascii").strip()
                if int(old) >= limit.value:
                    continue
                path.write_text(f"{limit.value}\n", encoding="ascii")
            except (OSError, ValueError) as error:
                words.append(f"{limit.path} could not be raised ({error})")
                continue
            before.append((path, old))
            words.append(f"{limit.path} {old} → {limit.value}")
        yield "; ".join(words) or "nothing had to be raised"
    finally:
        # In the opposite order: some must not be below others.
        for path, old in reversed(before):
            with contextlib.suppress(OSError):
                path.write_text(f"{old}\n", encoding="ascii")
