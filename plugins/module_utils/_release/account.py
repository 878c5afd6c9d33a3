# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a release did on a host, and what it had to leave."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

REMOVED = "removed"
RESTORED = "restored"
STOPPED = "stopped"
RESTARTED = "restarted"
CHANGED = "changed"


@dataclasses.dataclass
class Account:
    """The account of one host.

    :param check_mode: nothing is changed; what would be done is entered all the same.
    :param allow: ``reboot`` where the host may be rebooted, ``restart`` where instances of others may be interrupted.
    """

    check_mode: bool = False
    allow: t.Collection[str] = ()
    removed: list[dict[str, str]] = dataclasses.field(default_factory=list)
    left: list[dict[str, str]] = dataclasses.field(default_factory=list)
    diffs: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def done(self, kind: str, name: str, action: str = REMOVED) -> None:
        """Enter what was done with a thing."""
        self.removed.append({"kind": kind, "name": name, "action": action})

    def leave(self, kind: str, name: str, why: str, remedy: str = "") -> None:
        """Enter a thing that could not be removed, once."""
        if not any((one["kind"], one["name"]) == (kind, name) for one in self.left):
            self.left.append({"kind": kind, "name": name, "why": why, "remedy": remedy})

    def attempt(self, kind: str, name: str, act: t.Callable[[], t.Any]) -> bool:
        """Do something with a thing; where that fails, it is left with the reason, and the rest goes on.

        :returns: whether it was done, or would be.
        """
        if not self.check_mode:
            try:
                act()
            except VcompareError as error:
                self.leave(kind, name, error.message, error.remedy)
                return False
            except OSError as error:
                self.leave(kind, name, f"{error.strerror or error}: {error.filename or name}")
                return False
        return True

    def remove(
        self, kind: str, name: str, act: t.Callable[[], t.Any], action: str = REMOVED
    ) -> bool:
        """Do something with a thing, and enter it."""
        done = self.attempt(kind, name, act)
        if done:
            self.done(kind, name, action)
        return done

    def changes(self, path: str, before: bytes, after: bytes) -> None:
        """Enter how the content of a file changes."""
        texts = {"before": before.decode(errors="replace"), "after": after.decode(errors="replace")}
        self.diffs.append({"before_header": path, "after_header": path, **texts})
