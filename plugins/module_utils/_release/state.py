# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys, the state folder, and what lies in the home of the user that Ansible connects as."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import mounts
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import CHANGED, Account
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import access

# In the home folder of the connecting user: parts of an image on their way; what a machine that builds images keeps.
_CACHE = ".cache/vcompare"
# In it where the folder above is ours as well; see the action image_install.
_CREATED = "created-parent"
_HOME = ".local/share/vcompare"
_REBUILT = ("images", "packages", "fetched")


def keys(account: Account, state_dir: str) -> None:
    """Remove our lines from root's authorised keys, and the key of a pool."""
    for path in access.granted():
        account.remove("authorized key", path, functools.partial(access.revoke, path), CHANGED)
    for folder in (access.SOURCE_DIR, access.PEER_DIR):
        path = folder.replace(access.STATE_DIR, state_dir)
        if os.path.isdir(path):
            account.remove("key", path, functools.partial(_remove, Path(path)))


def folder(account: Account, state_dir: str, journal: str, unfinished: bool = False) -> None:
    """Remove the state folder but the journal, which goes last, once nothing is left.

    What an instance, a network or a mount that could not be removed needs stays, so that the next call can go on.

    :param unfinished: whether the journal is needed again, after a reboot.
    """
    if not os.path.isdir(state_dir):
        return
    # In check mode our own are still there.
    if inside := [] if account.check_mode else mounts.below(state_dir):
        account.leave(
            "mount",
            ", ".join(inside),
            f"something is still mounted below {state_dir}",
            f"umount {' '.join(inside)}",
        )
    if any(not _of_the_journal(one["kind"]) for one in account.left):
        return
    if account.left or unfinished:
        names = [
            name for name in sorted(os.listdir(state_dir)) if name != os.path.basename(journal)
        ]
        for name in names:
            account.remove(
                "folder", f"{state_dir}/{name}", functools.partial(_remove, Path(state_dir, name))
            )
        return

    def remove() -> None:
        for name in os.listdir(state_dir):
            if name != os.path.basename(journal):
                _remove(Path(state_dir, name))
        Path(journal).unlink(missing_ok=True)
        os.rmdir(state_dir)

    account.remove("folder", state_dir, remove)


def _of_the_journal(kind: str) -> bool:
    """Whether a thing that is left needs the journal of the host alone."""
    return not (
        kind.endswith(("instance", "network", "objects"))
        or kind in ("mount", "bridge", "tunnel", "control group")
    )


def _remove(path: Path) -> None:
    """Remove a file or a folder, and never through a mount: a build that was killed leaves /proc and /sys.

    :raises VcompareError: something is mounted in it.
    """
    if inside := mounts.below(str(path)):
        raise VcompareError(f"{inside[0]} is still mounted", f"umount {' '.join(inside)}")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def labs(account: Account, home: str) -> None:
    """Enter nested labs that are still there: they have a command of their own."""
    folder = os.path.join(home, "labs")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        account.leave("nested lab", name, f"it is in {home}", f"vcompare lab down --lab {name}")


def user(account: Account, home: str, remote: bool) -> None:
    """Remove what lies in a user's home folder.

    :param remote: whether the host is another machine than the controller, whose home has the runs.
    """
    cache = Path(home, _CACHE)
    if cache.is_dir():
        account.remove("folder", str(cache), functools.partial(_remove_cache, cache))
    paths = []
    kept = os.path.join(home, _HOME)
    if remote and not os.path.isdir(os.path.join(kept, "labs")):
        paths += [os.path.join(kept, name) for name in _REBUILT]
    for path in filter(os.path.isdir, paths):
        account.remove("folder", path, functools.partial(_remove, Path(path)))
    if remote and os.path.isdir(kept) and not os.listdir(kept):
        account.remove("folder", kept, lambda: os.rmdir(kept))


def _remove_cache(cache: Path) -> None:
    created = (cache / _CREATED).exists()
    _remove(cache)
    if created and not os.listdir(cache.parent):
        cache.parent.rmdir()
