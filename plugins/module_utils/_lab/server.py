# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lab server needs: packages, and a libvirt daemon, also where systemd does not run."""

from __future__ import annotations

import contextlib
import grp
import os
import platform
import signal
import socket
import stat
import time

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._core.journal import Journal
from ansible_collections.vcompare.lab.plugins.module_utils._images import apt

# Started by hand in this order where there is no systemd; libvirtd asks virtlogd to write consoles.
DAEMONS = {"virtlogd": "/run/libvirt/virtlogd-sock", "libvirtd": "/run/libvirt/libvirt-sock"}
_RELEASES = ("bookworm", "trixie")
KVM_DEVICE = "/dev/kvm"
# Owner, group and mode of the device as the kernel makes it, and the mode that udev would give it.
_AS_MADE = (0, 0, 0o600)
_SHARED = 0o660


def own_journal(home: str) -> Journal:
    """The journal of what was started on a lab server for the labs of a home."""
    return Journal(os.path.join(home, "lab-server.jsonl"))


def check_system() -> str:
    """Return the Debian release; refuse what a lab can't be built on.

    :raises VcompareError: another architecture, or another system than Debian 12 and 13.
    """
    if platform.machine() != "x86_64":
        raise VcompareError(
            f"This machine is {platform.machine()}; only x86-64 lab servers are supported yet.",
            "Name an x86-64 machine in the inventory group lab_servers.",
        )
    release = apt.codename()
    if release not in _RELEASES:
        raise VcompareError(
            f"Debian {release} is not supported.", f"Use one of {', '.join(_RELEASES)}."
        )
    return release


def has_systemd() -> bool:
    """Whether systemd is process 1 here; see sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")


def answers(path: str) -> bool:
    """Whether something listens on a local socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def needs_daemon() -> bool:
    """Whether the system's libvirt daemon is used; libvirt starts one for each other user by itself."""
    return os.geteuid() == 0


def silent_daemons() -> list[str]:
    """The daemons that should answer and don't."""
    return [name for name, path in DAEMONS.items() if not answers(path)] if needs_daemon() else []


def start_daemons(journal: Journal) -> list[str]:
    """Start what does not answer, and return what was started and how.

    :raises VcompareError: a daemon does not answer after it was started.
    """
    said = []
    for name in silent_daemons():
        if has_systemd():
            unit = "virtlogd.socket" if name == "virtlogd" else "libvirtd.service"
            command.run(
                ["systemctl", "start", unit],
                f"starting {unit}",
                remedy=f"See: journalctl -u {unit}.",
            )
            said.append(f"{unit} was started through systemd.")
        else:
            journal.create("daemon", name, "lab-server")
            command.run([name, "--daemon"], f"starting {name}", timeout_s=60)
            said.append(f"{name} was started by hand, since systemd does not run on this machine.")
        deadline = time.monotonic() + 60
        while not answers(DAEMONS[name]):
            if time.monotonic() > deadline:
                raise VcompareError(
                    f"{name} was started and does not answer on {DAEMONS[name]} after 60 s.",
                    f"See the output of: {name}.",
                )
            time.sleep(0.1)
    return said


def kvm_device_closed(path: str = KVM_DEVICE) -> bool:
    """Whether the device of KVM is as the kernel made it, open to root alone.

    udev would give it to the group kvm (50-udev-default.rules). Where that did not happen, libvirt
    takes what it knows of QEMU for outdated at every question, and asks QEMU anew for a minute: it
    asks as one who may open the device, and then checks as its own user, who may not.
    """
    if not needs_daemon() or has_systemd():
        return False
    try:
        found = os.stat(path)
        grp.getgrnam("kvm")
    except (OSError, KeyError):
        return False
    return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == _AS_MADE


def kvm_device_of_nobody(path: str = KVM_DEVICE) -> bool:
    """Whether the device of KVM is shared, and not with the group of libvirt's machines.

    That is how a container has it whose host numbers the group otherwise; libvirt is as slow as with a closed one, and
    the device may be somebody else's, so that it is left as it is.
    """
    try:
        found = os.stat(path)
        group = grp.getgrnam("kvm").gr_gid
    except (OSError, KeyError):
        return False
    mode = stat.S_IMODE(found.st_mode)
    shared = mode & 0o006 == 0o006 or (found.st_gid == group and mode & 0o060 == 0o060)
    return needs_daemon() and not shared and not kvm_device_closed(path)


def open_kvm_device(journal: Journal, path: str = KVM_DEVICE) -> list[str]:
    """Give the device of KVM to the group kvm, as udev would; return what was done."""
    if not kvm_device_closed(path):
        return []
    journal.create("device-mode", path, "lab-server")
    os.chown(path, -1, grp.getgrnam("kvm").gr_gid)
    os.chmod(path, _SHARED)
    return [f"{path} was given to the group kvm, since udev does not run on this machine."]


def _close_kvm_device(journal: Journal) -> list[str]:
    said = []
    for record in journal.pending("device-mode"):
        path = str(record["id"])
        with contextlib.suppress(FileNotFoundError):
            # Somebody who has set it otherwise since then wants it so.
            if stat.S_IMODE(os.stat(path).st_mode) == _SHARED:
                os.chmod(path, _AS_MADE[2])
                os.chown(path, -1, _AS_MADE[1])
                said.append(f"{path} is open to root alone again.")
        journal.gone("device-mode", path, "lab-server")
    return said


def release(journal: Journal) -> list[str]:
    """Take back what `start_daemons` and `open_kvm_device` did, when no domain needs it; say what."""
    ours = [str(record["id"]) for record in journal.pending("daemon")]
    if not journal.pending():
        return []
    if answers(DAEMONS["libvirtd"]):
        listed = command.run(
            ["virsh", "-c", "qemu:///system", "list", "--all", "--name"],
            "listing domains",
            timeout_s=60,
        )
        if listed.strip():
            return []
    said = _close_kvm_device(journal)
    for name in reversed(DAEMONS):
        if name not in ours:
            continue
        pid = _pid(name)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 20
            while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
                time.sleep(0.1)
            said.append(f"{name} was ended; it had been started for the lab.")
        journal.gone("daemon", name, "lab-server")
    return said


def _pid(name: str) -> int:
    """Process of a daemon, from its pid file; 0 when that process is something else by now."""
    try:
        with open(f"/run/{name}.pid", encoding="ascii") as text:
            pid = int(text.read())
        if os.path.basename(os.readlink(f"/proc/{pid}/exe")).split()[0] == name:
            return pid
    except (OSError, ValueError):
        pass
    return 0
