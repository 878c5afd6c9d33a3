# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether instances of one image are the same, and whether it would show if they were not.

Two fresh instances on one host are compared with each other and with the digest that was declared where the image was
built. Instances on several hosts of a run are all held against that one digest, and so against each other.
"""

from __future__ import annotations

import shlex
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments.base import (
    LATER,
    Experiment,
    Figure,
    Stage,
    Step,
    answer,
    replied,
)

NAME = "consistency"
DIGEST = answer(NAME, "same_digest")
FACTS_SAME = answer(NAME, "same_facts")
DRIFT = answer(NAME, "drift_found")

_DIGEST = "/usr/lib/vcompare/digest"
_DIGEST_S = 120.0
# What an application sees of where it runs, and how it is read. Never what is an instance's own, like its name.
FACTS: t.Mapping[str, str] = {
    "kernel": "uname -srvm",
    "processor": "grep -m 1 '^model name' /proc/cpuinfo",
    "processor's features": "grep -m 1 '^flags' /proc/cpuinfo",
    "processors": "nproc",
    "memory": "grep ^MemTotal /proc/meminfo",
    "limits of its control group": "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max",
    "limits of its processes": "ulimit -a",
    "users": "cat /proc/self/uid_map /proc/self/gid_map",
    "capabilities": "grep ^Cap /proc/self/status",
    "system calls' filter": "grep ^Seccomp: /proc/self/status",
    "locale": 'echo "$LANG $LC_ALL"; cat /etc/default/locale',
    "time zone": "date +%Z; cat /etc/timezone",
    "search path": 'echo "$PATH"',
    "mounts": "cut -d' ' -f2,3 /proc/self/mounts | sort",
    "settings of the network": "cd /proc/sys/net && head -n 1 core/somaxconn ipv4/tcp_rmem ipv4/ip_local_port_range",
    "settings of memory": "cd /proc/sys/vm && head -n 1 overcommit_memory swappiness max_map_count",
}
_MARK = "vcompare-fact:"
# Path → what is done to it; both are in the tree that the digest covers, and in a folder that only the image has.
PLANTED: t.Mapping[str, str] = {
    "./usr/lib/vcompare/drift": "echo drift > /usr/lib/vcompare/drift",
    "./usr/lib/vcompare/sshd_config": "chmod 666 /usr/lib/vcompare/sshd_config",
}
# As the quick digest sees the tree (roles/guest_image/files/digest.sh), without the folders that it leaves out.
_LISTING = (
    "cd / && find ./etc ./usr ./opt ./srv ./var/lib/dpkg -xdev"
    " \\( -path ./etc/hosts -o -path ./etc/hostname -o -path ./etc/resolv.conf -o -path ./etc/mtab \\) -prune"
    " -o \\( -type d -printf '%p d %m %U %G\\n' -o -type f -printf '%p f %m %U %G %s\\n'"
    " -o -printf '%p %y %U %G %l\\n' \\)"
)


def script() -> str:
    """Return a shell script that reads all facts; what it can't read, it leaves empty."""
    return "; ".join(
        f"echo {shlex.quote(_MARK + name)}; ( {command} ) 2>/dev/null"
        for name, command in FACTS.items()
    )


def parse(text: str) -> dict[str, str]:
    """Return the facts that the script printed."""
    parts = text.split(_MARK)[1:]
    return {name: said.strip() for name, _line, said in (part.partition("\n") for part in parts)}


def different(one: t.Mapping[str, str], other: t.Mapping[str, str]) -> list[str]:
    """Return the names of what is not the same in both."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def compared(stage: Stage) -> t.Iterator[Figure]:
    """Compare this instance with a fresh one, and then that with what it was before something was planted."""
    other = stage.another("other")
    stage.fresh(other)
    names = (stage.spec.name, other.name)
    declared = stage.spec.image.digest if stage.spec.image else ""
    if not declared:
        raise BackendError("the image has no declared digest to hold instances against")
    digests = [_said(stage, [_DIGEST], name) for name in names]
    yield Figure(
        DIGEST, float(set(digests) == {declared}), f"declared {declared}; inside {digests}"
    )
    facts = [parse(_said(stage, ["/bin/sh", "-c", script()], name)) for name in names]
    if not facts[0].get("kernel"):
        raise BackendError("the instance does not say what its kernel is: nothing can be compared")
    differ = different(*facts)
    words = "; ".join(f"{name}: {one.get(name)!r}" for one in facts for name in differ)
    known = sum(1 for value in facts[0].values() if value)
    yield Figure(
        FACTS_SAME,
        float(not differ),
        f"{known} facts; different: {words or 'none'}; all of the first: {facts[0]}",
    )
    yield _drift(stage, other.name)
    stage.gone(other)


def _drift(stage: Stage, name: str) -> Figure:
    """Plant a difference, which must change the digest and be named, and nothing else with it."""
    quick = [_DIGEST, "--quick"]
    before, listed = _said(stage, quick, name), _listed(stage, name)
    for path, command in PLANTED.items():
        _said(stage, ["/bin/sh", "-c", command], name, f"planting a difference at {path}")
    after, now = _said(stage, quick, name), _listed(stage, name)
    found = different(listed, now)
    return Figure(
        DRIFT,
        float(before != after and found == sorted(PLANTED)),
        f"planted {sorted(PLANTED)}; found {found[:20]} of {len(listed)}; digests {before}, {after}",
    )


def _listed(stage: Stage, name: str) -> dict[str, str]:
    """Return the files and folders of an instance; not kept as evidence, which would be a megabyte each time."""
    done = stage.backend.run(name, ["/bin/sh", "-c", _LISTING], _DIGEST_S * stage.factor)
    rows = (line.partition(" ") for line in replied(done, "listing its files").splitlines())
    return {path: rest for path, _blank, rest in rows}


def _said(stage: Stage, argv: t.Sequence[str], name: str, what: str = "") -> str:
    return replied(stage.run(argv, _DIGEST_S, name=name), what or f"running {argv[0]}").strip()


EXPERIMENT = Experiment(NAME, (Step(LATER, (DIGEST, FACTS_SAME, DRIFT), compared, company=True),))
