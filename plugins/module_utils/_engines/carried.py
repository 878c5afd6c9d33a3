# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers and virtual machines that run on a host, whoever started them: what a reboot would interrupt.

Read from the processes that carry them: no client of Docker, Podman or libvirt need be installed or answer.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

_CONFIG = "/var/lib/docker/containers/{ident}/config.v2.json"


CONTAINER = "container"
MACHINE = "virtual machine"


def running(
    proc: Path = Path("/proc"),
    config: str = _CONFIG,
    kinds: t.Collection[str] = (CONTAINER, MACHINE),
) -> list[str]:
    """Return one line a container or machine, such as ``container web``.

    :param proc: where processes are looked for.
    :param config: where Docker describes a container.
    :param kinds: of what is looked for.
    """
    found = set()
    for path in proc.glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            # It has ended.
            continue
        kind, name = _carried(words, config)
        if kind in kinds:
            found.add(f"{kind} {name}")
    return sorted(found)


def _carried(words: t.Sequence[str], config: str) -> tuple[str, str]:
    """Return kind and name; an empty kind for a process that carries nothing."""
    program = words[0].rpartition("/")[2]
    if program.startswith("qemu-system") or words[0] == "/usr/bin/kvm":
        # The device model of a guest of Xen has its name, too.
        given = _after(words, "-name")
        names = [part.partition("=")[2] for part in given.split(",") if part.startswith("guest=")]
        return MACHINE, names[0] if names else given.split(",")[0] or "(without a name)"
    if program.startswith("containerd-shim"):
        ident = _after(words, "-id")
        return CONTAINER, _docker_name(ident, config) or ident[:12]
    if program == "conmon":
        return CONTAINER, _after(words, "-n") or _after(words, "-c")[:12]
    if words[0].startswith("[lxc monitor]"):
        return CONTAINER, words[0].split()[-1]
    return "", ""


def _after(words: t.Sequence[str], option: str) -> str:
    place = words.index(option) + 1 if option in words else len(words)
    return words[place] if place < len(words) else ""


def _docker_name(ident: str, config: str) -> str:
    try:
        described = json.loads(Path(config.format(ident=ident)).read_text(encoding="utf-8"))
        return str(described["Name"]).lstrip("/")
    except (OSError, ValueError, KeyError, TypeError):
        return ""
