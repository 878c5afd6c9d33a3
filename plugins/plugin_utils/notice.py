# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines about the progress of a long task, for people and for ``vcompare``, which shows lines with this mark."""

from __future__ import annotations

from ansible.utils.display import Display

# vcompare_runner.run.events has the same.
MARK = "vcompare: "


def notice(text: str) -> None:
    """Print a line while a task runs."""
    Display().display(MARK + text)
