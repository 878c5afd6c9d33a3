# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files and folders of a host back to what they were, where they still are what we made of them."""

from __future__ import annotations

import base64
import dataclasses
import os
import stat
import tempfile
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    DIRECTORY,
    FILE,
    Entry,
    HostJournal,
    encoded,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import RESTORED, Account

AS_BEFORE = "as before"
OURS = "ours"
OTHERS = "others"


@dataclasses.dataclass(frozen=True)
class Found:
    """What a file is now.

    :param content: None where there is no file.
    :param regular: whether it is a regular file, or none.
    """

    content: bytes | None
    regular: bool = True


def look(path: str) -> Found:
    """Return what a file is now; a link is not followed, since it was none when it was recorded."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Found(None)
    if not stat.S_ISREG(mode):
        return Found(b"", regular=False)
    with open(path, "rb") as file:
        return Found(file.read())


def content_before(entry: Entry) -> bytes | None:
    """Return the content of a file before our first change; None where there was none."""
    return base64.b64decode(entry.before["content"]) if entry.before["there"] else None


def whose(entry: Entry, found: Found) -> str:
    """Say whether a file is as it was before, as we left it, or as others made it since then."""
    if not found.regular:
        return OTHERS
    if found.content is None or found.content == content_before(entry):
        # One that was removed since then has nothing of ours any more.
        return AS_BEFORE
    return OURS if encoded(found.content) in entry.wrote else OTHERS


def put_back(entry: Entry) -> None:
    """Make a file what it was before, in one step."""
    content = content_before(entry)
    if content is None:
        os.unlink(entry.name)
        return
    replace(entry.name, content, entry.before)


def replace(path: str, content: bytes, like: t.Mapping[str, t.Any]) -> None:
    """Write a file in one step.

    :param like: mode, uid and gid that it gets.
    """
    handle, temporary = tempfile.mkstemp(prefix=".vcompare-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, like["mode"])
            os.fchown(handle, like["uid"], like["gid"])
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def release(entry: Entry, journal: HostJournal, account: Account) -> bool:
    """Make one file or folder what it was before; return whether it is."""
    done = _folder(entry, account) if entry.kind == DIRECTORY else _file(entry, account, journal)
    if done and not account.check_mode:
        journal.undone(entry)
    return done


def _file(entry: Entry, account: Account, journal: HostJournal) -> bool:
    found = look(entry.name)
    verdict = whose(entry, found)
    if verdict == AS_BEFORE:
        return True
    if verdict == OTHERS:
        leave_changed(entry, account, journal)
        return False
    before = content_before(entry)
    action = "removed" if before is None else RESTORED
    account.changes(entry.name, found.content or b"", before or b"")
    return account.remove(FILE, entry.name, lambda: put_back(entry), action)


def leave_changed(entry: Entry, account: Account, journal: HostJournal) -> None:
    """Enter a file that others changed after we did."""
    account.leave(
        FILE,
        entry.name,
        "it was changed after we wrote it",
        f"Remove the lines that are not yours ({_ours(entry)}), or keep it and remove our journal, {journal.path}.",
    )


def _ours(entry: Entry) -> str:
    """Return the lines that we added to a file."""
    before = (content_before(entry) or b"").decode(errors="replace").splitlines()
    written = [base64.b64decode(text).decode(errors="replace") for text in entry.wrote]
    lines = [line.strip() for text in written for line in text.splitlines() if line not in before]
    shown = "; ".join(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    return shown[:200] or "what we wrote is not recorded"


def _folder(entry: Entry, account: Account) -> bool:
    if not os.path.isdir(entry.name):
        return True
    inside = {os.path.join(entry.name, name) for name in os.listdir(entry.name)}
    if inside & {one["name"] for one in account.left}:
        # Something of ours is in it, which goes with a later call.
        return False
    # In check mode, what is removed before it is still there.
    if inside - ({one["name"] for one in account.removed} if account.check_mode else set()):
        # Others use it by now.
        return True
    return account.remove(DIRECTORY, entry.name, lambda: os.rmdir(entry.name))
