# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way into a virtual machine: ssh with keys of this host's own, and strict checking."""

from __future__ import annotations

import shlex
import socket
import time
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._arms.stamps import (
    Frame,
    follow,
    timed_out,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import write_file
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

# Every guest has the host key that we give it, whatever address it gets: it is known by this name.
HOST_ALIAS = "vc-guest"

# Each command is a process group of its own.
_END_GROUPS = 'for p in $(pgrep -f "$0"); do g=$(ps -o pgid= -p "$p") && kill -9 "-${g##* }"; done'


class Keys:
    """The key pairs of a host under test: one to log in with, one for its guests to be known by."""

    def __init__(self, state_dir: str) -> None:
        self.folder = f"{state_dir}/keys"
        self.client = f"{self.folder}/client_ed25519"
        self.guest = f"{self.folder}/guest_host_ed25519"
        self.known_hosts = f"{self.folder}/known_hosts"

    def ensure(self) -> None:
        """Make what is not there yet."""
        Path(self.folder).mkdir(mode=0o700, exist_ok=True)
        Path(self.folder).chmod(0o700)
        for path in (self.client, self.guest):
            if not (Path(path).exists() and Path(f"{path}.pub").exists()):
                # made under another name first: an interrupted ssh-keygen must leave no half pair
                for leftover in (f"{path}.new", f"{path}.new.pub", path):
                    Path(leftover).unlink(missing_ok=True)
                host_run(
                    [
                        "ssh-keygen",
                        "-q",
                        "-t",
                        "ed25519",
                        "-N",
                        "",
                        "-C",
                        "vcompare",
                        "-f",
                        f"{path}.new",
                    ],
                    120,
                    "making the guests' ssh keys",
                    remedy="Install openssh-client on the host.",
                )
                Path(f"{path}.new.pub").replace(f"{path}.pub")
                Path(f"{path}.new").replace(path)
        kind, key = self.read(f"{self.guest}.pub").decode().split()[:2]
        write_file(self.known_hosts, f"{HOST_ALIAS} {kind} {key}\n".encode())

    @staticmethod
    def read(path: str) -> bytes:
        """Return the contents of a key file."""
        with open(path, "rb") as handle:
            return handle.read()


def quote(argv: t.Sequence[str]) -> str:
    """Return a command line that a shell takes apart into exactly these arguments."""
    return " ".join(shlex.quote(argument) for argument in argv)


def end_argv(frame: Frame) -> list[str]:
    """Return a command that ends a framed one, and all that it started, where both run.

    It is found by what only it has in its command line, since it may not have been heard of yet.
    ``[x]yz`` finds ``xyz``, and not the command that looks for it.
    """
    pattern = f"[{frame.token[0]}]{frame.token[1:]}"
    return ["/bin/sh", "-c", _END_GROUPS, pattern]


class Ssh:
    """Commands in one guest, over one connection that is kept open.

    :param socket_path: where the kept connection is reached; under 90 bytes, since ssh appends to
        it.
    """

    def __init__(self, keys: Keys, name: str, address: str, socket_path: str) -> None:
        self._keys = keys
        self._name = name
        self._address = address
        self._socket = socket_path

    def _argv(self, connect_timeout_s: float) -> list[str]:
        options = {
            "BatchMode": "yes",
            "CheckHostIP": "no",
            "ConnectTimeout": max(int(connect_timeout_s), 1),
            # a handshake for each command would take seconds on a slow host
            "ControlMaster": "auto",
            "ControlPath": self._socket,
            "ControlPersist": 600,
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": HOST_ALIAS,
            "HostKeyAlgorithms": "ssh-ed25519",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": self._keys.client,
            # the newer default costs an emulated CPU a second more
            "KexAlgorithms": "curve25519-sha256",
            "LogLevel": "ERROR",
            "PreferredAuthentications": "publickey",
            "ServerAliveInterval": 60,
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": self._keys.known_hosts,
        }
        argv = ["ssh", "-F", "/dev/null", "-4", "-T", "-x", "-a", "-n", "-l", "root"]
        for option, value in options.items():
            argv += ["-o", f"{option}={value}"]
        return argv

    def run(self, argv: t.Sequence[str], timeout_s: float, through: t.Sequence[str] = ()) -> Result:
        """Run a command; see :class:`Backend`.

        :param through: a command of the guest that runs it somewhere within; its own time does not count.
        """
        frame = Frame(argv)
        rc = self._follow(frame, timeout_s, through)
        if rc is None:
            # sshd leaves a command running whose client went away
            self._follow(Frame(end_argv(frame)), 60)
            raise timed_out(self._name, argv, timeout_s, frame.stderr)
        if not frame.began:
            said = frame.stderr.strip().splitlines()
            raise BackendError(
                f"{self._name}: ssh to {self._address} failed: "
                f"{said[-1] if said else f'exit code {rc}'}",
                remedy="See the guest's console, and whether it has an address.",
                evidence="\n".join(said[-20:]),
            )
        return frame.result(self._name)

    def _follow(self, frame: Frame, timeout_s: float, through: t.Sequence[str] = ()) -> int | None:
        command = quote([*through, *frame.argv])
        argv = [*self._argv(timeout_s), self._address, "--", command]
        try:
            return follow(frame, argv, timeout_s)
        except FileNotFoundError:
            raise BackendError(
                f"{self._name}: there is no ssh", remedy="Install openssh-client on the host."
            ) from None

    def listening(self, timeout_s: float) -> bool:
        """Whether the guest takes connections now.

        Many short attempts, since TCP would repeat one attempt only after 1, 3, 7 … seconds.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with socket.create_connection((self._address, 22), timeout=0.25):
                    return True
            except OSError:
                if time.monotonic() >= deadline:
                    return False
            time.sleep(0.05)

    def close(self) -> None:
        """Close the kept connection; it need not be there."""
        if Path(self._socket).exists():
            argv = [
                "ssh",
                "-F",
                "/dev/null",
                "-o",
                f"ControlPath={self._socket}",
                "-O",
                "exit",
                self._address,
            ]
            host_run(argv, 30, f"{self._name}: closing the ssh connection", check=False)
