# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a lab server and the labs of one home, what to do about it, and doing it for what is ours.

Each look yields findings. One that can be repaired here, since all that it concerns carries our marker or stands in
our journal, brings its repair along; for everything else the remedy says what its owner can do.
"""

from __future__ import annotations

import collections.abc as c
import dataclasses
import fcntl
import functools
import json
import os
import re
import signal
import time
import typing as t

from ansible_collections.vcompare.lab.plugins.module_utils._arms.kvm import Kvm
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._images import apt, capacity, image_build
from ansible_collections.vcompare.lab.plugins.module_utils._lab import reach, server
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import (
    NO_DISK,
    NestedLab,
    default_uri,
)

OK, NOTE, PROBLEM = "ok", "note", "problem"
# A run needs about so much beside what a lab has already: overlays that grow, a snapshot, a bundle.
_LEAST_DISK_MIB = 4096
_END_S = 20.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param check: what was looked at (``daemons``, ``labs``, ``domains``, …).
    :param level: ``ok``, ``note`` (nothing has to be done) or ``problem``.
    :param remedy: what to do; empty for what is in order.
    :param repair: does it; None where it is not ours to do.
    """

    check: str
    level: str
    what: str
    remedy: str = ""
    repair: t.Callable[[], None] | None = None

    def as_data(self) -> dict[str, t.Any]:
        """As plain data, for a module's result."""
        return {
            "check": self.check,
            "level": self.level,
            "what": self.what,
            "remedy": self.remedy,
            "repairable": self.repair is not None,
        }


Look = t.Callable[["Doctor"], c.Iterator[Finding]]


class Doctor:
    """Looks at this machine and the labs of one home.

    :param home: absolute path of the home.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self.journal = server.own_journal(home)

    def examine(self) -> list[Finding]:
        """Take every look; one that fails is a finding itself, and stops no other."""
        found: list[Finding] = []
        for look in LOOKS:
            check = look.__name__.strip("_")
            try:
                seen = list(look(self))
            except (VcompareError, OSError) as error:
                remedy = getattr(error, "remedy", "") or "Repair that, and ask again."
                seen = [Finding(check, PROBLEM, f"this could not be looked at: {error}", remedy)]
            found += seen or [Finding(check, OK, "nothing is wrong")]
        return found

    def labs(self) -> list[Lab]:
        """The labs of the home that have a folder."""
        folder = os.path.join(self.home, "labs")
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found = []
        for name in names:
            try:
                found.append(Lab(self.home, name))
            except VcompareError:
                continue  # no lab of ours has such a name
        return found


def repair(found: c.Iterable[Finding]) -> list[str]:
    """Repair what can be repaired; return what was done, and what could not be, in sentences.

    :raises VcompareError: a repair failed; the others were tried as well.
    """
    done, failed = [], []
    for finding in found:
        if finding.repair is None:
            continue
        try:
            finding.repair()
            done.append(f"{finding.check}: repaired: {finding.what}")
        except (VcompareError, OSError) as error:
            failed.append(f"{finding.check}: {finding.what}: {error}")
    if failed:
        raise VcompareError(
            "Not everything could be repaired: " + "; ".join(failed),
            "See the messages; what was repaired stays so.",
        )
    return done


def _daemons(doctor: Doctor) -> c.Iterator[Finding]:
    """Daemons that should answer."""
    silent = server.silent_daemons()
    needed = bool(doctor.labs())
    for name in silent:
        yield Finding(
            "daemons",
            PROBLEM if needed else NOTE,
            f"{name} does not answer on {server.DAEMONS[name]}",
            "vcompare lab up starts it, and vcompare lab doctor --fix.",
            functools.partial(_started, doctor.journal) if needed else None,
        )
    for record in doctor.journal.pending("daemon"):
        if record["id"] in silent and not needed:
            yield Finding(
                "daemons",
                NOTE,
                f"{record['id']}, which was started for a lab, has ended",
                "Nothing has to be done.",
                functools.partial(doctor.journal.gone, "daemon", str(record["id"]), "lab-server"),
            )


def _started(journal: Journal) -> None:
    server.open_kvm_device(journal)
    server.start_daemons(journal)


def _labs(doctor: Doctor) -> c.Iterator[Finding]:
    """Labs that are half-made, or whose nodes or journal are not as they should be."""
    for lab in doctor.labs():
        holder = _holder(lab)
        if holder:
            yield Finding("labs", NOTE, f"the lab {lab.name} is worked on by process {holder}")
            continue
        if not os.path.exists(lab.journal):
            # Whatever is made here is in the journal first.
            if os.path.isdir(lab.keys):
                yield Finding(
                    "labs", NOTE, f"{lab.folder} holds the keys of a lab on another machine"
                )
            continue
        nested = NestedLab(lab)
        cut = _cut_lines(lab.journal)
        if cut:
            yield Finding(
                "labs",
                NOTE,
                f"the journal of the lab {lab.name} has {cut} lines that were cut off; they are passed over",
                "What they were about is found in libvirt as well.",
            )
        status = nested.describe()
        states = {node["name"]: str(node["state"]) for node in status["nodes"]}
        if not nested.state() or "absent" in states.values() or not status["objects"]:
            yield Finding(
                "labs",
                PROBLEM,
                f"the lab {lab.name} is half-made ({', '.join(f'{key} is {value}' for key, value in states.items())})",
                f"vcompare lab up --lab {lab.name} makes it again, vcompare lab down --lab {lab.name} takes it away.",
                nested.remove,
            )
            continue
        lost = [
            str(record["id"])
            for record in nested.journal.pending("file")
            if not os.path.exists(str(record["id"]))
        ]
        if lost:
            yield Finding(
                "labs",
                PROBLEM,
                f"the lab {lab.name} misses {', '.join(lost)}",
                f"vcompare lab down --lab {lab.name}, then vcompare lab up --lab {lab.name}.",
            )
        for node in nested.lab.nodes:
            if states[node.name] == "unknown":
                yield Finding(
                    "labs",
                    PROBLEM,
                    f"libvirt does not say what {node.name} of the lab {lab.name} does",
                    "See virsh list --all.",
                )
            elif states[node.name] == NO_DISK:
                yield Finding(
                    "labs",
                    PROBLEM,
                    f"the emulator stopped {node.name} of the lab {lab.name}, since its disk can't be written: "
                    f"{lab.folder} has {capacity.disk_mib(lab.folder)} MiB free",
                    f"Make room there; then vcompare lab up --lab {lab.name} has it run again.",
                )
            elif states[node.name] in ("absent", "stopped") and reach.in_use(node):
                yield Finding(
                    "labs",
                    PROBLEM,
                    f"something else listens on {node.address}:{node.port}, where {node.name} of the lab {lab.name} "
                    "is reached",
                    f"End it (ss -ltnp 'src {node.address}').",
                )


def _holder(lab: Lab) -> str:
    """The process that works on a lab; empty when none does."""
    try:
        with open(os.path.join(lab.folder, "lock"), encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read().strip() or "unknown"
    except FileNotFoundError:
        pass
    return ""


def _cut_lines(path: str) -> int:
    try:
        with open(path, "rb") as text:
            lines = [line for line in text.read().split(b"\n") if line]
    except FileNotFoundError:
        return 0
    cut = 0
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            cut += 1
    return cut


def _domains(doctor: Doctor) -> c.Iterator[Finding]:
    """Machines with our marker whose lab has no folder any more."""
    if "libvirtd" in server.silent_daemons():
        return
    known = {lab.owner for lab in doctor.labs()}
    backend = Kvm(os.path.join(doctor.home, "nowhere"), options={"uri": default_uri()})
    lost: dict[str, list[str]] = {}
    for info in backend.list():
        owner = str(info.details.get("owner") or "")
        if owner and owner not in known:
            lost.setdefault(owner, []).append(info.name)
    for owner, names in sorted(lost.items()):
        lab = _lab_of(doctor.home, owner)
        if lab is None:
            yield Finding(
                "domains",
                NOTE,
                f"{', '.join(names)} (owner {owner}) are of another home, and are left alone",
                "Ask with that home (VCOMPARE_HOME).",
            )
        else:
            yield Finding(
                "domains",
                PROBLEM,
                f"{', '.join(names)} are of the lab {lab.name}, whose folder is gone",
                f"vcompare lab doctor --fix takes them away; by hand: virsh undefine {names[0]}.",
                NestedLab(lab).remove,
            )


def _lab_of(home: str, owner: str) -> Lab | None:
    """The lab of this home whose marker that is; None when it is none of this home's."""
    try:
        lab = Lab(home, owner.rpartition("-")[0])
    except VcompareError:
        return None
    return lab if lab.owner == owner else None


def _processes(doctor: Doctor) -> c.Iterator[Finding]:
    """Emulators that run a disk of ours, and that libvirt knows nothing of."""
    machines = _emulators(os.path.join(doctor.home, "labs") + os.sep)
    if not machines:
        return
    known: set[str] = set()
    if "libvirtd" not in server.silent_daemons():
        backend = Kvm(os.path.join(doctor.home, "nowhere"), options={"uri": default_uri()})
        known = {info.name for info in backend.list() if info.state != "stopped"}
    else:
        # Asked again once it answers: then libvirt finds its machines by itself.
        return
    for pid, name in sorted(machines.items()):
        if name not in known:
            yield Finding(
                "processes",
                PROBLEM,
                f"process {pid} runs the machine {name or 'without a name'} with a disk of a lab, and libvirt does not "
                "know it",
                f"kill {pid}",
                functools.partial(_end, pid),
            )


def _emulators(folder: str, proc: str = "/proc") -> dict[int, str]:
    """Process → name of the machine, of each QEMU with a disk below a folder."""
    found = {}
    for pid in filter(str.isdigit, os.listdir(proc)):
        try:
            with open(os.path.join(proc, pid, "cmdline"), "rb") as text:
                words = text.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if "qemu-system" not in os.path.basename(words[0]):
            continue
        if not any(folder in word for word in words[1:]):
            continue
        name = next((match[1] for word in words if (match := re.match(r"guest=([^,]+)", word))), "")
        found[int(pid)] = name
    return found


def _end(pid: int) -> None:
    """End a process, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + _END_S
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
            time.sleep(0.1)


def _images(doctor: Doctor) -> c.Iterator[Finding]:
    """Images that were begun and not finished, and how much disk those take that no lab uses."""
    folder = os.path.join(doctor.home, "images")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    used = set()
    for lab in doctor.labs():
        settings = NestedLab(lab).state().get("settings") or {}
        used |= {os.path.basename(str(settings.get(key))) for key in ("node_image", "guest_image")}
    idle = []
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".partial"):
            if _locked(path.removesuffix(".partial") + ".lock"):
                yield Finding("images", NOTE, f"{path} is being built")
            else:
                yield Finding(
                    "images",
                    PROBLEM,
                    f"{path} was begun and not finished",
                    "The next build of it takes it away, and vcompare lab doctor --fix.",
                    functools.partial(image_build.remove_tree, path),
                )
        elif os.path.isdir(path) and name not in used:
            idle.append(path)
    if idle:
        yield Finding(
            "images",
            NOTE,
            f"{len(idle)} images that no lab uses take {sum(map(_mib, idle))} MiB",
            f"They are kept for the next lab; any may be removed: rm -r {idle[0]}",
        )


def _locked(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _mib(folder: str) -> int:
    """What the files of a folder take on disk, in MiB."""
    blocks = 0
    for name in os.listdir(folder):
        blocks += os.lstat(os.path.join(folder, name)).st_blocks
    return blocks // 2048


def _disk(doctor: Doctor) -> c.Iterator[Finding]:
    """Room for the next run."""
    free = capacity.disk_mib(doctor.home)
    if free < _LEAST_DISK_MIB:
        yield Finding(
            "disk",
            PROBLEM,
            f"{doctor.home} has {free} MiB free, and a run may need {_LEAST_DISK_MIB} MiB",
            "Make room, or put the home elsewhere (VCOMPARE_HOME).",
        )
    else:
        yield Finding("disk", OK, f"{free} MiB are free in {doctor.home}")


def _mirror(doctor: Doctor) -> c.Iterator[Finding]:
    """The package mirrors that images are made from."""
    release = apt.codename()
    found = apt.sources(release)
    try:
        apt.require_mirror(found, release)
    except VcompareError as error:
        yield Finding("mirror", PROBLEM, error.message, error.remedy)
    else:
        yield Finding("mirror", OK, f"the mirror of Debian {release} answers")


def _acceleration(doctor: Doctor) -> c.Iterator[Finding]:
    """What labs were proven to run under, and the device that decides it."""
    path = server.KVM_DEVICE
    usable = os.access(path, os.R_OK | os.W_OK)
    for lab in doctor.labs():
        state = NestedLab(lab).state()
        if state.get("accel") == "kvm" and not usable:
            yield Finding(
                "acceleration",
                PROBLEM,
                f"the lab {lab.name} was made for KVM, and {path} can't be opened any more",
                f"See ls -l {path}; vcompare lab up --accel tcg --lab {lab.name} makes it without.",
            )
        elif state.get("accel") == "tcg" and usable:
            reason = str((state.get("acceleration") or {}).get("reason") or "")
            yield Finding(
                "acceleration", NOTE, f"the lab {lab.name} runs under TCG: {reason}".strip()
            )
    if server.kvm_device_of_nobody():
        yield Finding(
            "acceleration",
            PROBLEM,
            f"{path} is not open to libvirt's machines: neither to everybody nor to the group kvm",
            f"libvirt takes minutes longer for each machine like that: chgrp kvm {path}",
        )


LOOKS: tuple[Look, ...] = (
    _daemons,
    _labs,
    _domains,
    _processes,
    _images,
    _disk,
    _mirror,
    _acceleration,
)
