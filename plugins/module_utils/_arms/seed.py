# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a virtual machine is told when it starts: a few files, appended to its initrd.

No disk is made for them, since attaching one more disk takes time, and not the same under every
hypervisor.
"""

from __future__ import annotations

import os
import re
import shutil
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpio
from ansible_collections.vcompare.lab.plugins.module_utils._arms.ssh import Keys
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

FOLDER = "vcompare-seed"


def environment(values: t.Mapping[str, str]) -> bytes:
    """Return lines that a shell can source: each value quoted whole, whatever is in it."""
    lines = []
    for key, value in values.items():
        if not re.match(r"[A-Z][A-Z0-9_]*\Z", key) or "\0" in value:
            raise BackendError(f"{key}={value!r} can't be a variable of a guest")
        quoted = value.replace("'", "'\"'\"'")
        lines.append(f"{key}='{quoted}'\n")
    return "".join(lines).encode()


def command_lines(argv: t.Sequence[str]) -> bytes:
    """Return a command as one argument a line."""
    for argument in argv:
        if "\n" in argument or "\0" in argument:
            raise BackendError(
                f"the argument {argument!r} holds a line break or NUL, which a guest can't be told",
                remedy="Put such text into the image, or pass it some other way.",
            )
    return "".join(f"{argument}\n" for argument in argv).encode()


def files(keys: Keys, values: t.Mapping[str, str], command: t.Sequence[str]) -> dict[str, bytes]:
    """Return the seed's files by name."""
    return {
        "env": environment(values),
        "command": command_lines(command),
        "authorized_keys": keys.read(f"{keys.client}.pub"),
        "ssh_host_ed25519_key": keys.read(keys.guest),
        "ssh_host_ed25519_key.pub": keys.read(f"{keys.guest}.pub"),
    }


def write_initrd(base: str, target: str, seed: t.Mapping[str, bytes]) -> None:
    """Write an instance's own initrd: the image's, then the seed.

    :param target: made with mode 0600, since it holds a private key.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with open(base, "rb") as source, open(os.open(target, flags, 0o600), "wb") as handle:
            shutil.copyfileobj(source, handle, 1 << 20)
            handle.write(b"\0" * (-handle.tell() % 4))
            handle.write(cpio.archive(FOLDER, seed))
    except OSError as error:
        raise BackendError(
            f"writing the instance's initrd from the image's: {error}",
            remedy="Build the image, or attach it to this host; see that there is free space.",
        ) from None
