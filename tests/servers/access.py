# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an administrator writes to reach servers: keys, files of ssh, an inventory by hand, a vault with the password.

No plugin of ours is in it. The jump host is an sshd of this machine that only forwards.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import subprocess
import typing as t

JUMP = ("127.0.20.1", 2201)


class Place(t.Protocol):
    """A server as ssh sees it: where it answers, its groups, and its variables in the inventory."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def variables(self) -> str: ...


class Access:
    """The files of one run.

    :param folder: where they are written.
    """

    def __init__(self, folder: str, places: t.Sequence[Place]) -> None:
        self.folder, self.places = folder, places
        # A blank, as in many a path of a user's.
        self.keys = os.path.join(folder, "ssh files")
        self.password = secrets.token_urlsafe(18)

    def prepare(self) -> None:
        """Write all of it."""
        os.makedirs(self.keys, mode=0o700)
        for name in ("operator", "jump", *(place.name for place in self.places)):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.key(name))
        self._ssh()
        self._inventory()

    def key(self, name: str) -> str:
        return os.path.join(self.keys, f"{name}_ed25519")

    def ssh(self, place: Place, *command: str) -> list[str]:
        """Return the command line that reaches a server through the jump host."""
        options = [
            "-F",
            f"{self.folder}/ssh_config",
            "-o",
            "ProxyJump=jump",
            "-o",
            "ConnectTimeout=20",
        ]
        return ["ssh", *options, "-p", str(place.port), f"ops@{place.address}", *command]

    def sshd(self) -> list[str]:
        """Return the command line of the jump host."""
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/sshd"
        return [sshd, "-D", "-e", "-f", f"{self.keys}/sshd_config"]

    def environment(self) -> dict[str, str]:
        """Return what a command finds in its environment."""
        return {
            **os.environ,
            "SERVERS_FOLDER": self.folder,
            "SERVERS_INVENTORY": f"{self.folder}/inventory/hosts.ini",
            "ANSIBLE_VAULT_PASSWORD_FILE": f"{self.folder}/vault-password",
        }

    def _ssh(self) -> None:
        """Write the jump host's sshd_config and its user's ssh_config."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        ends = [("jump", JUMP), *((p.name, (p.address, p.port)) for p in self.places)]
        known = []
        for name, (address, port) in ends:
            with open(self.key(name) + ".pub", encoding="ascii") as text:
                known.append(f"[{address}]:{port} {' '.join(text.read().split()[:2])}\n")
        self._write("ssh files/known_hosts", "".join(known))
        shutil.copyfile(self.key("operator") + ".pub", f"{self.keys}/authorized_keys")
        opened = " ".join(f"{place.address}:{place.port}" for place in self.places)
        self._write(
            "ssh files/sshd_config",
            f'ListenAddress {JUMP[0]}:{JUMP[1]}\nHostKey "{self.key("jump")}"\n'
            f'PidFile "{self.folder}/jump.pid"\nUsePAM no\n'
            f'AuthorizedKeysFile "{self.keys}/authorized_keys"\nStrictModes no\nPasswordAuthentication no\n'
            f"AllowUsers {user}\nPermitOpen {opened}\nPermitTTY no\nForceCommand /bin/false\nLogLevel VERBOSE\n"
            "MaxStartups 50\nMaxSessions 50\n",
        )
        # ssh does not quote this file's name for the ssh that it starts to the jump host.
        self._write(
            "ssh_config",
            f"Host jump\n  HostName {JUMP[0]}\n  Port {JUMP[1]}\n  User {user}\n"
            f'Host *\n  IdentityFile "{self.key("operator")}"\n  IdentitiesOnly yes\n'
            f'  UserKnownHostsFile "{self.keys}/known_hosts"\n  StrictHostKeyChecking yes\n',
        )

    def _inventory(self) -> None:
        lines = ["[servers]"]
        for place in self.places:
            words = (
                place.name,
                f"ansible_host={place.address} ansible_port={place.port}",
                place.variables,
            )
            lines.append(" ".join(words).rstrip())
        for group in sorted({group for place in self.places for group in place.groups}):
            lines += ["", f"[{group}]", *(p.name for p in self.places if group in p.groups)]
        lines += [
            "",
            "[servers:vars]",
            "ansible_user=ops",
            "ansible_become=true",
            f"ansible_ssh_private_key_file='{self.key('operator')}'",
            f"""ansible_ssh_common_args="-F {self.folder}/ssh_config -o ProxyJump=jump\"""",
        ]
        self._write("inventory/hosts.ini", "".join(line + "\n" for line in lines))
        self._write("vault-password", secrets.token_urlsafe(18) + "\n")
        os.chmod(f"{self.folder}/vault-password", 0o600)
        vault = f"{self.folder}/inventory/group_vars/servers/vault.yml"
        os.makedirs(os.path.dirname(vault))
        run(
            "ansible-vault", "encrypt", "--output", vault, "-",
            stdin=json.dumps({"ansible_become_password": self.password}), env=self.environment(),
        )  # fmt: skip

    def _write(self, name: str, content: str) -> None:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as text:
            text.write(content)


def run(
    *argv: str, stdin: str | None = None, env: dict[str, str] | None = None, timeout: float = 600
) -> str:
    """Run a program; what it prints. Ends this one with what that said when it failed."""
    done = subprocess.run(
        argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, env=env,
        capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"{argv[0]} failed ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout
