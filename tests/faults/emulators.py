# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Boots the kernel of each guest image that was built under each emulator that is given, as nodes have it.

Features of an emulated CPU are masked by version of the emulator; a kernel that finds one without another that it goes
with may hang before user space. So each combination of emulator and release is booted.

usage: emulators.py [--home HOME] [--timeout-s S] [QEMU...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._lab import (
    acceleration,
    boot_probe,
    emulator,
)

APPEND = "console=ttyS0,115200 panic=-1 vcompare.probe=1"
MARKER = "VCOMPARE-USERSPACE"


def main() -> int:
    """Boot every combination; 1 when one does not get to user space, 2 when there is nothing to boot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("VCOMPARE_HOME", ".")))
    parser.add_argument("--timeout-s", type=float, default=300.0)
    parser.add_argument("qemu", nargs="*", default=[emulator.PROGRAM])
    given = parser.parse_args()
    images = sorted(given.home.glob("images/guest-*/image.json"))
    if not images:
        print(f"there is no guest image in {given.home}/images", file=sys.stderr)
        return 2
    passed = failed = 0
    for qemu in given.qemu:
        version = emulator.version(qemu)
        for image in images:
            release = json.loads(image.read_text(encoding="utf-8")).get("release", "?")
            machine = boot_probe.Machine(
                qemu, f"{image.parent}/vmlinux", f"{image.parent}/initrd.img", APPEND, MARKER
            )
            machine.check()
            done = boot_probe.boot(
                machine, acceleration.TCG_ACCEL, emulator.cpu(version), given.timeout_s
            )
            word = f"user space after {done.elapsed_s:.1f} s" if done.reached else done.evidence()
            print(f"{qemu} {'.'.join(map(str, version))}, {image.parent.name} ({release}): {word}")
            passed, failed = passed + done.reached, failed + (not done.reached)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
