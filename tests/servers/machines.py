# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs plain Debian servers behind a jump host for as long as a command takes.

    machines.py --home HOME --folder FOLDER plain-12 plain-13 -- COMMAND...

The command finds in its environment what an administrator has: ``SERVERS_INVENTORY`` (written here, without any plugin
of ours), ``ANSIBLE_VAULT_PASSWORD_FILE``, and ``SERVERS_FOLDER``. All that was started ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import disk

JUMP = ("127.0.20.1", 2201)
# `max` without what QEMU emulates wrongly, or too slowly; fsrm is never there without erms (Linux 6.1 hangs).
CPU = "max,-smap,-rdtscp,-la57,-erms,-fsrm"
MEMORY_MIB = 3072
BOOT_S = 420


@dataclasses.dataclass(frozen=True)
class Server:
    """A plain server: where its sshd answers, and of which Debian release it is."""

    name: str
    release: str
    address: str
    port: int


SERVERS = {
    server.name: server
    for server in (
        Server("plain-12", "bookworm", "127.0.20.12", 2212),
        Server("plain-13", "trixie", "127.0.20.13", 2213),
    )
}


class Farm:
    """The processes and files of one run of the servers.

    :param folder: everything is in it; it is made, and must not exist.
    """

    def __init__(self, home: str, folder: str, servers: t.Sequence[Server]) -> None:
        self.home, self.folder, self.servers = home, folder, servers
        # A blank, as in many a path of a user's.
        self.keys = os.path.join(folder, "ssh files")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Make keys, passwords, disks, inventory and vault."""
        os.makedirs(self.keys, mode=0o700)
        for name in ("operator", "jump", *(server.name for server in self.servers)):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.key(name))
        password = secrets.token_urlsafe(18)
        images = self.images()
        for server in self.servers:
            target = self.disk(server)
            # Sparse stays sparse.
            run(
                "cp",
                "--sparse=always",
                "--reflink=auto",
                f"{images[server.release]}/node.raw",
                target,
            )
            disk.personalise(
                target,
                name=server.name,
                release=server.release,
                password=password,
                host_key=self.key(server.name),
                user_key=self.key("operator") + ".pub",
            )
        self.write_ssh()
        self.write_inventory(password)

    def images(self) -> dict[str, str]:
        """Folder of the disk of each release, built now or before."""
        releases = ",".join(sorted({server.release for server in self.servers}))
        here = os.path.dirname(os.path.abspath(__file__))
        begin = time.monotonic()
        run(
            "ansible-playbook", "-i", "localhost,", f"{here}/image.yml",
            "-e", json.dumps({"home": self.home, "releases": releases}), timeout=1800,
        )  # fmt: skip
        say(f"disks of {releases} there after {time.monotonic() - begin:.0f} s")
        with open(f"{self.home}/servers.json", encoding="utf-8") as text:
            return {name: image["folder"] for name, image in json.load(text).items()}

    def key(self, name: str) -> str:
        return os.path.join(self.keys, f"{name}_ed25519")

    def disk(self, server: Server) -> str:
        return os.path.join(self.folder, f"{server.name}.raw")

    def console(self, server: Server) -> str:
        return os.path.join(self.folder, f"{server.name}.console")

    def write_ssh(self) -> None:
        """Write the jump host's sshd_config and its user's ssh_config."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        places = [("jump", JUMP), *((s.name, (s.address, s.port)) for s in self.servers)]
        known = []
        for name, (address, port) in places:
            with open(self.key(name) + ".pub", encoding="ascii") as text:
                known.append(f"[{address}]:{port} {' '.join(text.read().split()[:2])}\n")
        self.write("ssh files/known_hosts", "".join(known))
        shutil.copyfile(self.key("operator") + ".pub", f"{self.keys}/authorized_keys")
        opened = " ".join(f"{server.address}:{server.port}" for server in self.servers)
        self.write(
            "ssh files/sshd_config",
            f'ListenAddress {JUMP[0]}:{JUMP[1]}\nHostKey "{self.key("jump")}"\nPidFile none\nUsePAM no\n'
            f'AuthorizedKeysFile "{self.keys}/authorized_keys"\nStrictModes no\nPasswordAuthentication no\n'
            f"AllowUsers {user}\nPermitOpen {opened}\nPermitTTY no\nForceCommand /bin/false\nLogLevel VERBOSE\n"
            "MaxStartups 50\nMaxSessions 50\n",
        )
        # ssh does not quote this file's name for the ssh that it starts to the jump host.
        self.write(
            "ssh_config",
            f"Host jump\n  HostName {JUMP[0]}\n  Port {JUMP[1]}\n  User {user}\n"
            f'Host *\n  IdentityFile "{self.key("operator")}"\n  IdentitiesOnly yes\n'
            f'  UserKnownHostsFile "{self.keys}/known_hosts"\n  StrictHostKeyChecking yes\n',
        )

    def write_inventory(self, password: str) -> None:
        """Write what an administrator would: hosts, how to reach them, and the password in a vault."""
        lines = [
            f"{server.name} ansible_host={server.address} ansible_port={server.port}"
            for server in self.servers
        ]
        first, last = self.servers[0].name, self.servers[-1].name
        groups = "".join(f"\n[{group}_hosts]\n{first}\n" for group in ("bare", "docker", "kvm"))
        groups += f"\n[xen_hosts]\n{last}\n"
        self.write(
            "inventory/hosts.ini",
            "[servers]\n"
            + "".join(line + "\n" for line in lines)
            + groups
            + "\n[servers:vars]\nansible_user=ops\n"
            "ansible_become=true\n"
            f"ansible_ssh_private_key_file='{self.key('operator')}'\n"
            f"""ansible_ssh_common_args="-F {self.folder}/ssh_config -o ProxyJump=jump"\n""",
        )
        self.write("vault-password", secrets.token_urlsafe(18) + "\n")
        os.chmod(f"{self.folder}/vault-password", 0o600)
        vault = f"{self.folder}/inventory/group_vars/servers/vault.yml"
        os.makedirs(os.path.dirname(vault))
        run(
            "ansible-vault", "encrypt", "--output", vault, "-",
            stdin=json.dumps({"ansible_become_password": password}), env=self.environment(),
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SERVERS_FOLDER": self.folder,
            "SERVERS_INVENTORY": f"{self.folder}/inventory/hosts.ini",
            "ANSIBLE_VAULT_PASSWORD_FILE": f"{self.folder}/vault-password",
        }

    def write(self, name: str, content: str) -> None:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as text:
            text.write(content)

    def start(self) -> None:
        """Start the jump host and the servers, and wait until each answers through it."""
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/sshd"
        self.spawn("jump", [sshd, "-D", "-e", "-f", f"{self.keys}/sshd_config"])
        begin = time.monotonic()
        for server in self.servers:
            self.spawn(server.name, self.qemu(server))
        for server in self.servers:
            while error := self.silent(server):
                self.require_alive()
                if time.monotonic() - begin > BOOT_S:
                    raise SystemExit(f"{server.name} did not answer within {BOOT_S} s: {error}")
                time.sleep(1)
            say(f"{server.name} answers after {time.monotonic() - begin:.0f} s")

    def qemu(self, server: Server) -> list[str]:
        return [
            "qemu-system-x86_64", "-name", server.name, "-machine", "pc", "-cpu", CPU,
            "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2", "-m", str(MEMORY_MIB),
            "-drive", f"file={self.disk(server)},format=raw,if=virtio,cache=unsafe",
            "-netdev", f"user,id=uplink,hostfwd=tcp:{server.address}:{server.port}-:22",
            "-device", "virtio-net-pci,netdev=uplink,romfile=",
            "-display", "none", "-serial", f"file:{self.console(server)}", "-monitor", "none",
        ]  # fmt: skip

    def spawn(self, name: str, argv: list[str]) -> None:
        with open(os.path.join(self.folder, f"{name}.log"), "wb") as log:
            self.processes[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def require_alive(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                with open(os.path.join(self.folder, f"{name}.log"), encoding="utf-8") as text:
                    raise SystemExit(
                        f"{name} ended with exit code {process.returncode}: {text.read()[-500:]}"
                    )

    def silent(self, server: Server) -> str:
        """Why the server does not answer through the jump host; empty when it does."""
        argv = [
            "ssh",
            "-F",
            f"{self.folder}/ssh_config",
            "-o",
            "ProxyJump=jump",
            "-o",
            "ConnectTimeout=20",
        ]
        argv += ["-p", str(server.port), f"ops@{server.address}", "true"]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return (done.stderr or f"exit code {done.returncode}") if done.returncode else ""

    def stop(self) -> None:
        """End what was started, the servers first."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()


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


def say(text: str) -> None:
    print(f"servers: {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", required=True, help="where built disks are kept")
    parser.add_argument("--folder", required=True, help="scratch folder; is removed at the end")
    parser.add_argument("--keep", action="store_true", help="keep the scratch folder")
    parser.add_argument("servers", nargs="+", choices=sorted(SERVERS))
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    given = parser.parse_args(own)
    if not command:
        parser.error("name a command after --")
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    farm = Farm(
        os.path.abspath(given.home),
        os.path.abspath(given.folder),
        [SERVERS[n] for n in given.servers],
    )
    try:
        farm.prepare()
        farm.start()
        return subprocess.run(command, env=farm.environment(), check=False).returncode
    finally:
        farm.stop()
        if not given.keep:
            shutil.rmtree(farm.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
