# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sets of CPUs in the kernel's list format (``0-1,4``)."""

from __future__ import annotations

import os

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError


def parse(text: str) -> frozenset[int]:
    """Return the CPUs of a list like ``0-1,4``."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if (
            not first.isascii()
            or not first.isdigit()
            or (dash and not (last.isascii() and last.isdigit()))
        ):
            raise BackendError(
                f"{text!r} is not a list of CPUs", remedy="Write it like 1 or 0-1,4."
            )
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high > 65535:
            raise BackendError(
                f"{text!r} is not a list of CPUs", remedy="Write it like 1 or 0-1,4."
            )
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


def render(cpus: frozenset[int]) -> str:
    """Return the shortest list for some CPUs; the inverse of :func:`parse`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1][1:] = [cpu]
        else:
            runs.append([cpu])
    return ",".join("-".join(str(cpu) for cpu in run) for run in runs)


def online() -> frozenset[int]:
    """Return the CPUs that are online on this host."""
    try:
        with open("/sys/devices/system/cpu/online", encoding="ascii") as handle:
            return parse(handle.read().strip())
    except OSError:
        return frozenset(range(os.cpu_count() or 1))


def of(spec: InstanceSpec, host: frozenset[int] | None = None) -> str:
    """Return the CPUs that an instance is held to: its own, or the last ``vcpus`` of the host.

    The last ones, since the host's own interrupts and daemons prefer CPU 0.

    :param host: the CPUs to choose from; those that are online when None.
    """
    host = online() if host is None else host
    if spec.unlimited:
        return render(host)
    if spec.cpuset:
        wanted = parse(spec.cpuset)
        if not wanted <= host:
            raise BackendError(
                f"{spec.name}: the host has no CPUs {render(wanted - host)}",
                remedy=f"Choose from {render(host)}.",
            )
        return render(wanted)
    if spec.vcpus > len(host):
        raise BackendError(
            f"{spec.name}: {spec.vcpus} CPUs were asked for, and the host has {len(host)}",
            remedy=(
                "Ask for fewer CPUs: an instance with more than the host has measures scheduling."
            ),
        )
    return render(frozenset(sorted(host)[-spec.vcpus :]))
