# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a machine can build images: its architecture, its release, its programs, its user's rights."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import subprocess
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._images import apt

# What only a package of its own brings; everything else is on each Debian.
PROGRAMS = ("mmdebstrap", "mke2fs", "debugfs", "cpio", "zstd", "xz", "depmod")
RELEASES = ("bookworm", "trixie")


def inspect(path: str | None = None, install: bool = True, root: bool = False) -> dict[str, t.Any]:
    """Say whether this machine can build images, now or after packages are installed.

    :param path: where programs are looked for, in the form of PATH.
    :param install: whether packages may be installed; otherwise every program must be there.
    :param root: whether packages can be installed with Ansible's become, which may have sudo's password.
    :returns: able, reason (a code: ``ready``, ``packages``, ``architecture``, ``provision``,
        ``release``, ``rights``, ``subordinate_ids``), message (empty when able), missing_programs, user.
    """
    user = pwd.getpwuid(os.geteuid()).pw_name
    searched = command.search_path() if path is None else path
    missing = [name for name in PROGRAMS if shutil.which(name, path=searched) is None]

    def result(reason: str, message: str = "") -> dict[str, t.Any]:
        return {
            "able": not message,
            "reason": reason,
            "message": message,
            "missing_programs": missing,
            "user": user,
        }

    if platform.machine() != "x86_64":
        return result("architecture", f"it is {platform.machine()}; images are built on x86-64")
    if missing and not install:
        lacks = f"it lacks {', '.join(missing)}"
        return result("provision", f"{lacks}, and vcompare_provision is false for it")
    release = apt.codename_or_nothing()
    if release not in RELEASES and missing:
        return result(
            "release",
            f"it is not Debian 12 or 13, and lacks {', '.join(missing)}",
        )
    if missing and not (root or may_become_root()):
        return result(
            "rights",
            f"it lacks {', '.join(missing)}, and the user {user} may not install packages (sudo asks for a password)",
        )
    if os.geteuid() != 0 and not has_subordinate_ids(user):
        return result(
            "subordinate_ids",
            f"the user {user} has no subordinate user ids (/etc/subuid, /etc/subgid)",
        )
    return result("packages" if missing else "ready")


def may_become_root() -> bool:
    """Say whether packages can be installed without anybody being asked for a password."""
    if os.geteuid() == 0:
        return True
    sudo = shutil.which("sudo", path=command.search_path())
    if sudo is None:
        return False
    try:
        done = subprocess.run(
            [sudo, "-n", "true"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def has_subordinate_ids(user: str, folder: str = "/etc") -> bool:
    """Say whether a user has ids of a user namespace's other users; see subuid(5)."""
    names = {user, str(os.geteuid())}
    for name in ("subuid", "subgid"):
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as lines:
                rows = [line.strip().split(":") for line in lines]
        except OSError:
            return False
        if not any(len(row) == 3 and row[0] in names for row in rows):
            return False
    return True
