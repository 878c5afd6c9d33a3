# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""QEMU's emulated CPU: which of its features a machine goes without, by version of the emulator."""

from __future__ import annotations

import re
import subprocess

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError

PROGRAM = "qemu-system-x86_64"
Version = tuple[int, ...]

# With SMAP, a Xen dom0 crashes in early boot. The exit of RDTSCP has the wrong code, and Xen, which intercepts it for
# its PVH and HVM guests, ends them. Page tables of five levels only make each walk of an emulated guest's guest longer;
# no node has the memory that they are for. ERMS promises that REP MOVSB and STOSB are fast, which an emulator that goes
# byte by byte does not keep: kernel and C library then clear and copy pages in 4,096 steps instead of 512.
_ALWAYS = ("smap", "rdtscp", "la57", "erms")
# Features that imply one of those, from the version on whose emulated CPU may have them. A kernel that finds FSRM
# without ERMS takes a path that nobody tests: Linux 6.1 hangs in early boot (seen with QEMU 10.0).
_IMPLYING: tuple[tuple[Version, str], ...] = (((8, 0), "fsrm"),)


def version(program: str = PROGRAM) -> Version:
    """Return the version of the emulator, major and minor.

    :raises VcompareError: it is missing, or does not say.
    """
    try:
        said = subprocess.run(
            [program, "--version"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VcompareError(
            f"{program} can't be asked for its version: {error}",
            "Install QEMU's x86 system emulator (Debian: apt-get install qemu-system-x86).",
        ) from None
    found = re.search(r"\bversion (\d+)\.(\d+)", said)
    if found is None:
        raise VcompareError(
            f"{program} --version does not name a version: {said.strip()[:200]!r}",
            f"See that {program} is QEMU's own.",
        )
    return int(found[1]), int(found[2])


def masked(emulator: Version) -> tuple[str, ...]:
    """Return the names of the features that an emulated CPU goes without, in nodes and where their speed is proven."""
    return (*_ALWAYS, *(name for since, name in _IMPLYING if emulator >= since))


def cpu(emulator: Version) -> str:
    """Return the value of QEMU's option ``-cpu`` for an emulated node."""
    return ",".join(["max", *(f"-{feature}" for feature in masked(emulator))])
