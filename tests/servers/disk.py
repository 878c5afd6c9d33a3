# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives a copy of a built disk what makes it one server: name, keys, password, and this machine's package sources.

debugfs writes into the file system, so neither root nor a loop device is needed, and nothing runs at the first boot.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

from ansible_collections.vcompare.lab.plugins.module_utils._images import apt

OFFSET = 1048576
OPS = 1000
# Where Debian keeps the authorities that this machine trusts, own ones of a company among them.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def personalise(
    path: str, *, name: str, release: str, password: str, host_key: str, user_key: str
) -> None:
    """Write into the disk ``path`` what an administrator configures on a new server.

    :param password: of the user ops; root has none.
    :param host_key: file of the private host key; the public one lies beside it.
    :param user_key: file of the public key that ops may log in with.
    """
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=password, text=True, capture_output=True, check=True,
    ).stdout.strip()  # fmt: skip
    shadow, count = re.subn(
        r"(?m)^ops:[^:]*:", lambda _: f"ops:{hashed}:", _read(path, "/etc/shadow")
    )
    if count != 1:
        raise SystemExit(f"{path} has no user ops")
    # The clock that every machine has: the emulated processor's is found out wrong where other work delays its boot.
    boot = {
        name: _read(path, name).replace("tsc=reliable", "clocksource=hpet tsc=unstable")
        for name in ("/etc/default/grub", "/boot/grub/grub.cfg")
    }
    sources = "".join(source.line() + "\n" for source in apt.sources(release))
    files = [
        *((name, text, 0o644, 0, 0) for name, text in boot.items()),
        ("/etc/shadow", shadow, 0o640, 0, 42),
        ("/etc/hostname", name + "\n", 0o644, 0, 0),
        ("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n", 0o644, 0, 0),
        ("/etc/ssh/ssh_host_ed25519_key", _text(host_key), 0o600, 0, 0),
        ("/etc/ssh/ssh_host_ed25519_key.pub", _text(host_key + ".pub"), 0o644, 0, 0),
        ("/home/ops/.ssh/authorized_keys", _text(user_key), 0o600, OPS, OPS),
        ("/etc/apt/sources.list", sources, 0o644, 0, 0),
        ("/etc/apt/apt.conf.d/90site", apt.options(), 0o644, 0, 0),
        # What the build of the image configured, such as no recommended packages, is not an administrator's.
        ("/etc/apt/apt.conf.d/99mmdebstrap", "", 0o644, 0, 0),
        (AUTHORITIES, _text(AUTHORITIES), 0o644, 0, 0),
    ]
    _write(path, files)


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as text:
        return text.read()


def _debugfs(path: str, *arguments: str) -> str:
    done = subprocess.run(
        ["/usr/sbin/debugfs", *arguments, f"{path}?offset={OFFSET}"],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return done.stdout


def _read(path: str, name: str) -> str:
    return _debugfs(path, "-R", f"cat {name}")


def _write(path: str, files: list[tuple[str, str, int, int, int]]) -> None:
    """Put files in place of those that are there: path, content, mode, owner, group."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for number, (name, content, mode, uid, gid) in enumerate(files):
            source = os.path.join(folder, str(number))
            with open(source, "w", encoding="utf-8") as text:
                text.write(content)
            # `write` takes a name in its current folder only.
            lines += [
                f"rm {name}",
                f"cd {os.path.dirname(name)}",
                f"write {source} {os.path.basename(name)}",
            ]
            lines += [f"sif {name} mode 0{0o100000 | mode:o}"]
            lines += [f"sif {name} uid {uid}", f"sif {name} gid {gid}"]
        script = os.path.join(folder, "script")
        with open(script, "w", encoding="utf-8") as text:
            text.write("".join(line + "\n" for line in lines))
        _debugfs(path, "-w", "-f", script)
    for name, content, *_rest in files:
        if _read(path, name) != content:
            raise SystemExit(f"{name} could not be written into {path}")
