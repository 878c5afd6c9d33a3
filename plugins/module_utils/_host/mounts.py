# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is mounted below a folder. Who removes a folder through a mount removes what is mounted."""

from __future__ import annotations

import os
import re
from pathlib import Path


def unescaped(text: str) -> str:
    """Return a path as it is: mountinfo writes blanks as octal numbers (proc_pid_mountinfo(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def below(folder: str, table: str = "/proc/self/mountinfo") -> list[str]:
    """Return the mount points at or below a folder, in the order in which they can be unmounted.

    :param table: as in proc_pid_mountinfo(5).
    """
    top = os.path.realpath(folder)
    lines = Path(table).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    points = [unescaped(line.split(" ")[4]) for line in lines]
    return [one for one in reversed(points) if one == top or one.startswith(top.rstrip("/") + "/")]
