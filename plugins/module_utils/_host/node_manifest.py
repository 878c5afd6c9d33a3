# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a provisioned host is made of, in a form in which two hosts that were made alike are the same to the letter.

What differs between any two machines, or is the machine's size and age and not its making, is left out, and which that
is stands in the lists of this module; they are part of what a lock holds, so that a reader of it sees them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import facts as host_facts

Manifest = dict[str, t.Any]

# A busy host may be late; what is down stays down.
_TRIES = 3
_PAUSE_S = 5.0
# Folders whose files are read, each by its hash.
TREES = ("/etc", "/boot", "/usr/local")
# Patterns of paths (fnmatch) that are left out, and why.
LEFT_OUT: t.Mapping[str, str] = {
    "/etc/machine-id": "made at each first boot",
    "/etc/hostname": "the node's name",
    "/etc/hosts": "the node's name",
    "/etc/resolv.conf": "given by the network",
    "/etc/docker/key.json": "a key, drawn by Docker's daemon",
    "/etc/ssh/ssh_host_*": "host keys, made for each lab",
    "/etc/ssh/vcompare*": "keys, made for each lab",
    "/etc/fstab.d/*": "given by the lab",
    "/etc/.pwd.lock": "empty",
    "/etc/ld.so.cache": "an index of what is compared itself",
    "/etc/apparmor.d/libvirt/libvirt-*": "profiles of single machines, with their UUID",
    "/etc/apparmor.d/cache*": "compiled from what is compared itself",
    "/boot/grub/grubenv": "what GRUB remembers of the last boot",
    "/boot/*.old": "what was there before",
    "/etc/*-": "what was there before",
    "/etc/libvirt/qemu/*": "definitions, compared as such",
}
# Files whose definitions get a UUID of their own from libvirt; the rest of them is compared.
_XML_FILES = "/etc/libvirt/*.xml"
# What two definitions of libvirt differ by.
_XML_LEFT_OUT = (r"\s*<uuid>[^<]*</uuid>", r"\s*<mac address='[^']*'/>", r"\s+uuid='[^']*'")
XML_LEFT_OUT = "UUIDs and hardware addresses, also in the files of /etc/libvirt"
# Settings of the kernel that count, are drawn, or follow from how much memory was free at boot.
SYSCTL_LEFT_OUT = (
    "fs/aio-nr",
    "fs/binfmt_misc/*",
    "fs/dentry-state",
    "fs/epoll/max_user_watches",
    "fs/file-*",
    "fs/inode-*",
    "fs/inotify/max_user_watches",
    "fs/mqueue/*",
    "fs/quota/*",
    "dev/cdrom/info",
    "kernel/hostname",
    "kernel/domainname",
    "kernel/firmware_config/*",
    "kernel/keys/*",
    "kernel/ns_last_pid",
    "kernel/pty/nr",
    "kernel/random/*",
    "kernel/sched_domain/*",
    "kernel/tainted",
    "kernel/threads-max",
    "kernel/cad_pid",
    "net/*/conf/*",
    "net/*/neigh/*",
    "net/core/netdev_rss_key",
    "net/ipv4/tcp_fastopen_key",
    "net/ipv4/tcp_mem",
    "net/ipv4/udp_mem",
    "net/ipv4/tcp_*mem",
    "net/ipv4/tcp_max_*",
    "net/ipv4/inet_peer_*",
    "net/ipv4/ipfrag_*",
    "net/ipv6/ip6frag_*",
    "net/netfilter/*",
    "net/nf_conntrack_max",
    "user/max_*",
    "vm/hugetlb_*",
    "vm/lowmem_reserve_ratio",
    "vm/min_free_kbytes",
    "vm/*_kbytes",
    "vm/stat_refresh",
)


def collect() -> Manifest:
    """Return all of it."""
    return {
        "packages": packages(_said("dpkg-query", "--show", f"--showformat={_PACKAGE_FORM}")),
        "files": {path: digest for tree in TREES for path, digest in files(tree)},
        "cmdline": _text("/proc/cmdline"),
        "xen_cmdline": _text("/sys/hypervisor/properties/command_line")
        or (xen_line(_said("xl", "info")) if _text("/sys/hypervisor/type") == "xen" else ""),
        "sysctls": dict(sysctls()),
        "networks": networks(),
        "services": services(
            _said(
                "systemctl",
                "list-unit-files",
                "--type=service,socket,timer",
                "--plain",
                "--no-legend",
            )
        ),
        "container_images": _container_images(),
        "daemon_json": _text("/etc/docker/daemon.json"),
    }


def facts() -> Manifest:
    """Return the facts that figures depend on, but what differs at each boot."""
    found = host_facts.collect()
    for name in ("boot_id", "image", "others", "memory_mib"):
        del found[name]
    return {**found, "cpu_flags": cpu_flags(_text("/proc/cpuinfo"))}


def left_out() -> dict[str, t.Any]:
    """Return what is not compared, by what it is part of."""
    return {
        "files": dict(LEFT_OUT),
        "sysctls": list(SYSCTL_LEFT_OUT),
        "networks": XML_LEFT_OUT,
    }


_PACKAGE_FORM = "${db:Status-Abbrev} ${Package}:${Architecture} ${Version}\n"


def packages(listing: str) -> dict[str, str]:
    """Return version by ``name:architecture`` of what is installed.

    :param listing: a line each: status, package, version.
    """
    rows = (line.split() for line in listing.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "ii"}


def files(tree: str) -> t.Iterator[tuple[str, str]]:
    """Return for each file below a folder what it is: mode, owner, and the hash of what is in it."""
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(
            [*names, *(each for each in folders if os.path.islink(os.path.join(folder, each)))]
        ):
            path = os.path.join(folder, name)
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in LEFT_OUT):
                continue
            try:
                stat = os.lstat(path)
                if os.path.islink(path):
                    what = f"-> {os.readlink(path)}"
                elif os.path.isfile(path):
                    what = _digest(path)
                else:
                    continue
            except OSError as error:
                what = f"not read: {error.strerror}"
                yield path, what
                continue
            yield path, f"{stat.st_mode & 0o7777:04o} {stat.st_uid}:{stat.st_gid} {what}"


def _digest(path: str) -> str:
    if fnmatch.fnmatchcase(path, _XML_FILES):
        return hashlib.sha256(plain_xml(_text(path)).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sysctls(root: str = "/proc/sys") -> t.Iterator[tuple[str, str]]:
    """Return the kernel's settings, but those that are left out."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            key = os.path.relpath(path, root)
            if any(fnmatch.fnmatchcase(key, pattern) for pattern in SYSCTL_LEFT_OUT):
                continue
            value = _text(path)
            if value:
                yield key, " ".join(value.split())


def networks() -> dict[str, str]:
    """Return the definitions of libvirt's networks of ours and others, normalised."""
    found = {}
    for path in sorted(Path("/etc/libvirt/qemu/networks").glob("*.xml")):
        found[path.stem] = plain_xml(_text(str(path)))
    return found


def plain_xml(text: str) -> str:
    """Take out of a definition what two that were made alike differ by."""
    for pattern in _XML_LEFT_OUT:
        text = re.sub(pattern, "", text)
    return text


def xen_line(info: str) -> str:
    """Return the hypervisor's command line out of what ``xl info`` says."""
    found = re.search(r"^xen_commandline\s*:\s*(.*)$", info, re.MULTILINE)
    return found.group(1).strip() if found else ""


def services(listing: str) -> dict[str, str]:
    """Return of each unit whether it is started at boot."""
    rows = (line.split() for line in listing.splitlines())
    return {row[0]: row[1] for row in rows if len(row) >= 2}


def cpu_flags(cpuinfo: str) -> list[str]:
    """Return the processor's features out of the text of ``/proc/cpuinfo``."""
    found = re.search(r"^flags\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return sorted(found.group(1).split()) if found else []


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _container_images() -> list[str]:
    """Digests of the images that Docker's daemon has; none where the daemon is off, as it is where Xen is measured."""
    if _unit_state("docker.service") in ("inactive", "unknown"):
        return []
    return sorted(_said("docker", "images", "--no-trunc", "--format", "{{.ID}}").split())


def _unit_state(unit: str) -> str:
    """What systemd says of a unit (``systemctl is-active``); empty where it says nothing."""
    if shutil.which("systemctl") is None:
        return ""
    done = subprocess.run(
        ["systemctl", "is-active", unit],
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout.strip()


def _said(*argv: str) -> str:
    """What a program of the host says; nothing where the host has it not.

    :raises VcompareError: it failed, so that what the host is made of is not known: a busy systemd does not answer in
        time, and no unit is not what it has.
    """
    if shutil.which(argv[0]) is None:
        return ""
    for rest in range(_TRIES - 1, -1, -1):
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, "SYSTEMD_BUS_TIMEOUT": "300"},
        )
        if done.returncode == 0:
            return done.stdout
        if rest:
            time.sleep(_PAUSE_S)
    raise VcompareError(
        f"{' '.join(argv[:2])} failed {_TRIES} times, so that what this host is made of is not known: "
        f"{done.stderr.strip()[-300:]}",
        "See whether the host is overloaded, or the daemon that it asks is down.",
    )
