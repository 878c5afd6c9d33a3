# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Whether a disk that holds a home is full: the cause of failures whose own messages don't speak of it.

A node whose disk can't grow is stopped by its emulator, and all that Ansible sees is that it does not answer.
"""

from __future__ import annotations

import os
import shutil
import time
import typing as t
from pathlib import Path

# Less than this is as good as nothing: an image grows by more at a time.
_LEAST_BYTES = 16 * 2**20
_EVERY_S = 5.0


def full_disks(home: Path) -> dict[Path, str]:
    """Find the disks of a home, its labs and runs that have no room left.

    :returns: a folder on each such disk → that it is full, and what to do.
    """
    seen: set[int] = set()
    found = {}
    for folder in (home, *_folders(home / "labs"), *_folders(home / "runs")):
        try:
            device, free = os.stat(folder).st_dev, shutil.disk_usage(folder).free
        except OSError:
            continue  # a lab may go at any time
        if device not in seen and free < _LEAST_BYTES:
            found[folder] = (
                f"the disk of {folder} is full ({free // 2**20} MiB free); make room there, or put the home "
                "elsewhere (VCOMPARE_HOME)"
            )
        seen.add(device)
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        return [folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())]
    except OSError:
        return []


class RoomWatch:
    """Says, once for each disk of a home, that it is full while something runs.

    :param say: is given the sentence.
    """

    def __init__(
        self,
        home: Path,
        say: t.Callable[[str], None],
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._say = say
        self._clock = clock
        self._next = 0.0
        self._said: set[Path] = set()

    def tick(self) -> None:
        """Look, where the last look is some seconds ago."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        for folder, sentence in full_disks(self._home).items():
            if folder not in self._said:
                self._said.add(folder)
                self._say(sentence)
