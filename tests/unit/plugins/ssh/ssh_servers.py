# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real servers on loopback: sshd with users of its own, and the real Ansible that goes to them."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import ansible_collections.vcompare.lab as collection

ANSIBLE = shutil.which("ansible", path=os.path.dirname(sys.executable))
SSHD = "/usr/sbin/sshd"
PASSWORD = "a secret, with blanks & 'quotes'"  # noqa: S105


def keygen(path: Path) -> str:
    """Make a key pair; return its public half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=60
    )
    return path.with_suffix(".pub").read_text() if path.suffix else Path(f"{path}.pub").read_text()


class Servers:
    """Daemons of ssh, each in a mount namespace where the machine has a user ``ops`` whose sudo asks for a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "my keys" / "id user"
        self.public = keygen(self.key)
        self.known = folder / "known_hosts"
        self.processes: list[subprocess.Popen[bytes]] = []
        home = folder / "ops"
        home.mkdir()
        os.chown(home, 4321, 4321)
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"],
            input=PASSWORD,
            text=True,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        self.bound = {}
        for name, line in (
            ("passwd", f"ops:x:4321:4321::{home}:/bin/sh"),
            ("group", "ops:x:4321:"),
            ("shadow", f"ops:{hashed}:20000:0:99999:7:::"),
            ("sudoers", "Defaults env_reset\nops ALL=(ALL:ALL) ALL"),
        ):
            path = folder / name
            before = "" if name == "sudoers" else Path("/etc", name).read_text()
            path.write_text(f"{before.rstrip()}\n{line}\n".lstrip())
            path.chmod(0o440 if name in ("sudoers", "shadow") else 0o644)
            self.bound[f"/etc/{name}"] = path
        self.bound["/etc/sudoers.d"] = folder / "sudoers.d"
        self.bound["/etc/sudoers.d"].mkdir()

    def start(
        self, address: str, port: int, authorised: str = "", host_key: Path | None = None
    ) -> None:
        """Start one more server, whose host key is known from then on."""
        number = len(self.processes)
        host_key = host_key or self.folder / f"host{number}"
        public = Path(f"{host_key}.pub").read_text() if host_key.exists() else keygen(host_key)
        name = f"[{address}]:{port}" if port != 22 else address
        with self.known.open("a") as known:
            known.write(f"{name} {' '.join(public.split()[:2])}\n")
        keys = self.folder / f"authorised{number}"
        keys.write_text(authorised or self.public)
        keys.chmod(0o644)
        config = self.folder / f"sshd{number}.conf"
        config.write_text(
            f"ListenAddress {f'[{address}]' if ':' in address else address}:{port}\nHostKey {host_key}\n"
            f"AuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        mounts = [
            f"mount --bind {shlex.quote(str(ours))} {theirs}"
            for theirs, ours in self.bound.items()
            if Path(theirs).exists()
        ]
        script = " && ".join(
            ["mkdir -p /run/sshd", *mounts, f"exec {SSHD} -D -e -f {shlex.quote(str(config))}"]
        )
        log = (self.folder / f"sshd{number}.log").open("wb")
        self.processes.append(
            subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((address, port), 1).close()
                return
            except OSError:
                if self.processes[-1].poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / f"sshd{number}.log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """End all of them."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)


def run_ansible(folder: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real Ansible with a folder's inventory; there is no terminal, and no ssh configuration of ours."""
    root = Path(next(iter(collection.__path__))).parents[2]
    return subprocess.run(
        ["setsid", *argv],
        env={
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("ANSIBLE_", "SSH_"))
            },
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(root),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
            "ANSIBLE_HOME": str(folder / ".ansible"),
            "VCOMPARE_HOME": str(folder / "home"),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=120,
    )
