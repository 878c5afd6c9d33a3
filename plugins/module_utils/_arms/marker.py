# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Our marker: how an object on a host says that we made it, and for whom.

Nothing without it is ever changed or deleted.
"""

from __future__ import annotations

import re

from ansible_collections.vcompare.lab.plugins.module_utils._contract.ids import NAME_PREFIX
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

DOCKER_LABEL = "org.vcompare.owner"
XML_NAMESPACE = "https://vcompare.org/xmlns/lab/1"
XML_PREFIX = "vcompare"
XL_COMMENT = "# vcompare-owner: "

# Names become file names, domain names, cgroup names and part of a socket's path (108 bytes at
# most).
_NAME = re.compile(re.escape(NAME_PREFIX) + r"[a-z0-9][a-z0-9-]{0,39}\Z")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z")


def check_name(name: str) -> str:
    """Return the name of an instance, or refuse it before anything is made."""
    if not _NAME.match(name):
        raise BackendError(
            f"{name!r} can't be the name of an instance",
            remedy=f"Use {NAME_PREFIX!r} and then up to 40 lower-case letters, digits and hyphens.",
        )
    return name


def check_owner(owner: str) -> str:
    """Return the owner of an instance, or refuse it before anything is made."""
    if not _OWNER.match(owner):
        raise BackendError(
            f"{owner!r} can't be an owner",
            remedy="Use up to 64 letters, digits and the characters _ . : -",
        )
    return owner


def foreign(arm: str, name: str) -> BackendError:
    """The error for an object of someone else that has the name that we were given."""
    return BackendError(
        f"{arm}: {name} exists already and does not carry our marker, so it is left alone",
        remedy="Choose another name, or remove that object with the tool that made it.",
    )
