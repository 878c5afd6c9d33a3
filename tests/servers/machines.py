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
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import access
import disk

# `max` without what QEMU emulates wrongly, or too slowly; fsrm is never there without erms (Linux 6.1 hangs).
CPU = "max,-smap,-rdtscp,-la57,-erms,-fsrm"
BOOT_S = 900
PLAIN = ("servers", "bare_hosts", "docker_hosts", "kvm_hosts")


@dataclasses.dataclass(frozen=True)
class Server:
    """A plain server: where its sshd answers, which disk it has, and how its administrator has it in the inventory."""

    name: str
    image: str
    address: str
    port: int
    groups: tuple[str, ...]
    variables: str = ""
    memory_mib: int = 3072
    # A second, empty disk.
    spare_mib: int = 0


SERVERS = {
    server.name: server
    for server in (
        Server("plain-12", "bookworm", "127.0.20.12", 2212, PLAIN[1:]),
        # The emulated processor is AMD's, where Xen switches the FPU lazily: registers of one domain then show up in
        # another, and break what it encrypts, ssh's packets among it.
        Server(
            "plain-13", "trixie", "127.0.20.13", 2213, ("xen_hosts",),
            "xen_host_xen_options='spec-ctrl=eager-fpu'",
        ),
        Server(
            "site-12", "docker-ce", "127.0.20.14", 2214, ("bare_hosts", "docker_hosts", "xen_hosts"),
            spare_mib=1024,
        ),
    )
}  # fmt: skip


class Farm:
    """The processes and files of one run of the servers.

    :param home: where built disks are kept.
    :param folder: everything is in it; it is made, and must not exist.
    """

    def __init__(self, home: str, folder: str, servers: t.Sequence[Server]) -> None:
        self.home, self.folder, self.servers = home, folder, servers
        self.access = access.Access(folder, servers)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Make keys, passwords, disks, inventory and vault."""
        images = self.images()
        self.access.prepare()
        for server in self.servers:
            target = self.disk(server)
            # Sparse stays sparse.
            source = f"{images[server.image]['folder']}/node.raw"
            access.run("cp", "--sparse=always", "--reflink=auto", source, target)
            disk.personalise(
                target,
                name=server.name,
                release=images[server.image]["release"],
                password=self.access.password,
                host_key=self.access.key(server.name),
                user_key=self.access.key("operator") + ".pub",
            )

    def images(self) -> dict[str, dict[str, str]]:
        """Folder and release of each disk, built now or before."""
        names = sorted({server.image for server in self.servers})
        here = os.path.dirname(os.path.abspath(__file__))
        begin = time.monotonic()
        access.run(
            "ansible-playbook", "-i", "localhost,", f"{here}/image.yml",
            "-e", json.dumps({"home": self.home, "names": names}), timeout=3600,
        )  # fmt: skip
        say(f"disks of {', '.join(names)} there after {time.monotonic() - begin:.0f} s")
        with open(f"{self.home}/servers.json", encoding="utf-8") as text:
            built: dict[str, dict[str, str]] = json.load(text)
            return built

    def disk(self, server: Server) -> str:
        return os.path.join(self.folder, f"{server.name}.raw")

    def start(self) -> None:
        """Start the jump host and the servers, and wait until each answers through it."""
        self.spawn("jump", self.access.sshd())
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
        path = os.path.join(self.folder, server.name)
        drives = [self.disk(server)]
        if server.spare_mib:
            drives.append(f"{path}.spare.raw")
            with open(drives[-1], "wb") as spare:
                spare.truncate(server.spare_mib << 20)
        return [
            "qemu-system-x86_64", "-name", server.name, "-machine", "pc", "-cpu", CPU,
            "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2", "-m", str(server.memory_mib),
            *(word for drive in drives for word in ("-drive", f"file={drive},format=raw,if=virtio,cache=unsafe")),
            "-netdev", f"user,id=uplink,hostfwd=tcp:{server.address}:{server.port}-:22",
            "-device", "virtio-net-pci,netdev=uplink,romfile=",
            "-display", "none", "-serial", f"file:{path}.console", "-monitor", "none",
            "-qmp", f"unix:{path}.qmp,server=on,wait=off",
        ]  # fmt: skip

    def spawn(self, name: str, argv: list[str]) -> None:
        with open(os.path.join(self.folder, f"{name}.log"), "wb") as log:
            self.processes[name] = subprocess.Popen(
                # Ctrl-C reaches us alone, and we end them.
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
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
        done = subprocess.run(
            self.access.ssh(server, "true"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
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
        return subprocess.run(command, env=farm.access.environment(), check=False).returncode
    finally:
        farm.stop()
        if not given.keep:
            shutil.rmtree(farm.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
