# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How one host of a pool gets to the other: a key pair of its own, and what that may do there.

The key is made on the host that begins the moves (the source) and never leaves it. Its public half is authorised on
the peer from the source's address only, without a terminal and without forwarding, and every command goes through a
gate that knows three: our agent, libvirt's end of a migration, and Xen's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import write_file
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import STATE_DIR
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

SOURCE_DIR = f"{STATE_DIR}/pool"
PEER_DIR = f"{STATE_DIR}/pool-peer"
AUTHORIZED_KEYS = (Path("/root/.ssh/authorized_keys"), Path("/root/.ssh/authorized_keys2"))
AGENT_COMMAND = "vcompare-pool-agent"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
# At the end of the line in authorized_keys: what is ours there.
MARK = "vcompare-pool"

_AGENT_MODULE = "ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool.agent"
# What xl asks for has options of the migration (-e, -d, -F, …) and nothing else. What libvirt asks for is quoted twice,
# by libvirt 9 without regard to the inner quotes.
GATE = f"""\
#!/bin/sh
# What the other host of a pool may do here while one is measured; everything else is refused.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
case "$SSH_ORIGINAL_COMMAND" in
{AGENT_COMMAND})
    exec /usr/bin/python3 -c 'import sys; sys.path.insert(0, "{PEER_DIR}/agent.zip")
from {_AGENT_MODULE} import main
main()' ;;
"sh -c 'virt-ssh-helper 'qemu:///system''" | "sh -c 'virt-ssh-helper qemu:///system'" | \\
"sh -c 'virt-ssh-helper '\\''qemu:///system'\\'''")
    exec virt-ssh-helper qemu:///system ;;
"xl migrate-receive" | "xl migrate-receive -"[a-zA-Z] | "xl migrate-receive -"[a-zA-Z]" -"[a-zA-Z])
    # Split on purpose: the pattern has let through nothing but words.
    exec $SSH_ORIGINAL_COMMAND ;;
esac
echo "vcompare: not one of the commands of a pool" >&2
exit 126
"""
_PUBLIC = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{20,}\Z")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]+(,[0-9A-Fa-f.:]+)*\Z")


def make_key(folder: str = SOURCE_DIR) -> str:
    """Make the source's key pair where it isn't; return its public half, without its comment."""
    path = Path(folder)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    key = path / "id_ed25519"
    if not (key.exists() and key.with_suffix(".pub").exists()):
        for leftover in (key, key.with_suffix(".pub")):
            leftover.unlink(missing_ok=True)
        host_run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", MARK, "-f", str(key)],
            120,
            "making the pool's ssh key",
            remedy="Install openssh-client on the host.",
        )
    return " ".join(key.with_suffix(".pub").read_text(encoding="ascii").split()[:2])


def authorised_line(public: str, source_address: str, gate: str) -> str:
    """Return the line of ``authorized_keys`` that lets the source in.

    :param source_address: or several, with commas: a name may have one of each family.

    :raises BackendError: the key or the address is none; either could widen what the line permits.
    """
    if not _PUBLIC.match(public):
        raise BackendError(f"{public[:40]!r} is not a public key of type ed25519")
    if not _ADDRESS.match(source_address):
        raise BackendError(f"{source_address!r} is not an address that ssh can compare with")
    return f'restrict,from="{source_address}",command="{gate}" {public} {MARK}\n'


def without_ours(text: str) -> str:
    """Return the text of an ``authorized_keys`` without our lines."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[-1:] != [MARK])


def authorise(public: str, source_address: str, folder: str = PEER_DIR) -> str:
    """Let the source in, on the peer; return the peer's own host key (ed25519, without its comment)."""
    gate = Path(folder, "gate")
    gate.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    shutil.copyfile(_own_archive(), Path(folder, "agent.zip"))
    Path(folder, "agent.zip").chmod(0o600)
    write_file(str(gate), GATE.encode(), 0o700)
    line = authorised_line(public, source_address, str(gate))
    path = keys_file()
    _rewrite(path, without_ours(_read(path)) + line)
    # A host that is cut off later shall find all this again.
    os.sync()
    try:
        words = Path(HOST_KEY).read_text(encoding="ascii").split()[:2]
    except OSError as error:
        raise BackendError(
            f"the host key of this host can't be read: {error}",
            remedy="Have sshd make one of type ed25519 (ssh-keygen -A), so that it can be checked.",
        ) from None
    return " ".join(words)


def take_away(folder: str) -> bool:
    """Take away all that one of the two hosts got; return whether there was any."""
    found = Path(folder).exists()
    shutil.rmtree(folder, ignore_errors=True)
    for path in granted() if folder == PEER_DIR else ():
        found = True
        revoke(path)
    return found


def granted() -> list[str]:
    """Return root's files of authorised keys that have lines of ours."""
    texts = {str(path): _read(path) for path in AUTHORIZED_KEYS}
    return [path for path, text in texts.items() if without_ours(text) != text]


def revoke(path: str) -> None:
    """Take our lines out of a file of authorised keys; without others it goes."""
    after = without_ours(_read(Path(path)))
    if after:
        _rewrite(Path(path), after)
    else:
        Path(path).unlink()


def keys_file() -> Path:
    """Return root's file of authorised keys: the second one where sshd reads it, since a lab's seed writes the first
    one anew at each boot."""
    said = ""
    with contextlib.suppress(BackendError):
        said = host_run(["sshd", "-T"], 60, "asking sshd for its settings", check=False).stdout
    second = any(
        line.split()[0] == "authorizedkeysfile" and ".ssh/authorized_keys2" in line.split()
        for line in said.splitlines()
        if line.strip()
    )
    return Path("/root/.ssh", "authorized_keys2" if second else "authorized_keys")


def _own_archive() -> str:
    """Return the archive that Ansible brought this very code in: the agent is the same code."""
    archive = getattr(globals().get("__loader__"), "archive", None)
    if not archive:
        raise BackendError("the agent of a pool comes with the module that Ansible brings, only")
    return str(archive)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _rewrite(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    write_file(str(path), text.encode(), mode)


def write_client(address: str, host_key: str, folder: str = SOURCE_DIR, *, port: int = 22) -> str:
    """Write the source's way to its peer: a program that is called like ssh; return its path.

    It knows the one key of the peer, as Ansible read it over its own, checked connection.
    """
    if not _PUBLIC.match(host_key):
        raise BackendError(f"{host_key[:40]!r} is not a host key of type ed25519")
    known = f"{folder}/known_hosts"
    write_file(known, f"{address if port == 22 else f'[{address}]:{port}'} {host_key}\n".encode())
    options = {
        "BatchMode": "yes",
        "Compression": "no",
        "ConnectTimeout": "60",
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlgorithms": "ssh-ed25519",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": f"{folder}/id_ed25519",
        "KexAlgorithms": "curve25519-sha256",
        "LogLevel": "ERROR",
        "Port": str(port),
        "ServerAliveCountMax": "8",
        "ServerAliveInterval": "15",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "User": "root",
        "UserKnownHostsFile": known,
    }
    words = " ".join(f"-o {name}={value}" for name, value in options.items())
    program = f"{folder}/ssh"
    write_file(program, f'#!/bin/sh\nexec ssh -F /dev/null {words} "$@"\n'.encode(), 0o700)
    return program


def popen(program: str, address: str) -> subprocess.Popen[bytes]:
    """Start the agent on the peer; it is spoken to over the pipes of the process."""
    argv: t.Sequence[str] = [program, "-T", address, AGENT_COMMAND]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
