# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Systems that are not ours: which there are on this host, and how one is seen to run.

They are described in ``systems.json`` beside their files (roles/measure/files/systems.yml says what is in it).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import System
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

CATALOGUE = "systems.json"
# What a terminal is told beside the words: colours, and where to write.
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def read(folder: str) -> list[System]:
    """Return the systems of a catalogue whose files are there.

    :raises BackendError: it is not there, or can't be understood.
    """
    path = Path(folder, CATALOGUE)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = [
            System(
                path=str(Path(folder, entry["file"])),
                **{key: value for key, value in entry.items() if key != "file"},
            )
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendError(
            f"the catalogue of systems {path} can't be read: {error!r}",
            remedy="Run the measurement again: the role measure brings it.",
        ) from None
    return [system for system in found if Path(system.path).exists()]


def seen(system: System, console: str) -> str:
    """Return what a system is seen by now; nothing as long as it is not."""
    found = re.search(system.console, _CONTROLS.sub("", console))
    return f"{found.group(0)!r} on its console" if found else ""
