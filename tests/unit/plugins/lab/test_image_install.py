# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An image travels to a host: through a real sshd on loopback, packed and unpacked by real programs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import image_parts

ANSIBLE = str(shutil.which("ansible", path=os.path.dirname(sys.executable)))
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or "sshd"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder like an image's: a disk that holds what the container archive holds, and a hole."""
    folder = tmp_path / "image"
    folder.mkdir()
    draw = random.Random(1)  # noqa: S311 - content of a test
    shared = draw.randbytes(9 * 2**20)
    contents = {
        "container.tar": shared + b"index",
        "rootfs.ext4": b"\0" * 2**20 + shared + b"\0" * 30 * 2**20,
        "vmlinux": b"\x7fELF" + draw.randbytes(2**20),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    (folder / "image.json").write_text(json.dumps({"digest": "sha256:1", "files": files}))
    return folder


def described(folder: Path) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((folder / "image.json").read_text()))


def test_what_two_files_share_is_sent_once(image: Path) -> None:
    packed = image_parts.pack(str(image), ["vmlinux", "rootfs.ext4", "container.tar"])
    assert packed["changed"]
    assert 10 * 2**20 < packed["bytes"] < 11 * 2**20
    assert packed["unpacked_bytes"] > 50 * 2**20
    assert len(packed["parts"]) == 2
    again = image_parts.pack(str(image), ["container.tar", "rootfs.ext4", "vmlinux"])
    assert not again["changed"]
    assert again["parts"] == packed["parts"]


def test_files_are_the_same_bytes_on_the_host(image: Path, tmp_path: Path) -> None:
    meta = described(image)
    packed = image_parts.pack(str(image), list(meta["files"]))
    target = tmp_path / "state" / "images" / "1"
    target.parent.mkdir(parents=True)
    assert not image_parts.verified(str(target), meta["files"])
    names = [part["name"] for part in packed["parts"]]
    image_parts.install(packed["folder"], names, str(target), meta)
    for name in meta["files"]:
        assert (target / name).read_bytes() == (image / name).read_bytes()
    assert json.loads((target / "image.json").read_text()) == meta
    assert image_parts.verified(str(target), meta["files"])


@pytest.mark.parametrize("damage", ["changed", "removed", "another digest", "no image.json"])
def test_a_damaged_image_is_not_taken_for_present(image: Path, tmp_path: Path, damage: str) -> None:
    meta = described(image)
    packed = image_parts.pack(str(image), list(meta["files"]))
    target = tmp_path / "host"
    image_parts.install(
        packed["folder"], [part["name"] for part in packed["parts"]], str(target), meta
    )
    wanted = dict(meta["files"])
    if damage == "changed":
        with open(target / "rootfs.ext4", "r+b") as file:
            file.seek(5)
            file.write(b"x")
    elif damage == "removed":
        (target / "vmlinux").unlink()
    elif damage == "another digest":
        wanted["vmlinux"] = "0" * 64
    else:
        (target / "image.json").unlink()
    assert not image_parts.verified(str(target), wanted)


def test_a_part_that_was_damaged_on_its_way_installs_nothing(image: Path, tmp_path: Path) -> None:
    meta = described(image)
    packed = image_parts.pack(str(image), list(meta["files"]))
    first = Path(packed["folder"], packed["parts"][0]["name"])
    content = bytearray(first.read_bytes())
    content[2**20] ^= 1
    first.write_bytes(content)
    with pytest.raises(VcompareError):
        image_parts.install(
            packed["folder"],
            [part["name"] for part in packed["parts"]],
            str(tmp_path / "host"),
            meta,
        )
    assert not (tmp_path / "host").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_host_without_room_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(VcompareError, match="MiB are free"):
        image_parts.require_space(str(tmp_path / "not" / "there"), 2**60)
    image_parts.require_space(str(tmp_path / "not" / "there"), 2**10)


class Server:
    """An sshd on loopback that logs in the user of this process, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
            )
        shutil.copy(folder / "user.pub", folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f"Subsystem sftp internal-sftp\nSetEnv HOME={self.home}\n"
        )
        (folder / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}"
        )
        # sshd wants this folder, which nothing makes where systemd does not start it.
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.folder = folder
        # The path of a socket may have 108 characters at most.
        self.sockets = tempfile.mkdtemp(prefix="vc-")
        self.process = subprocess.Popen(
            [SSHD, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
        )
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)

    def install(self, arguments: dict[str, t.Any], **variables: str) -> dict[str, t.Any]:
        """Run the action against this host; return its result."""
        known = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_ssh_private_key_file": str(self.folder / "user"),
            "ansible_ssh_common_args": f"-F /dev/null -o UserKnownHostsFile={self.folder}/known_hosts",
            "ansible_ssh_transfer_method": "sftp",
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        root = Path(next(iter(collection.__path__))).parents[2]
        done = subprocess.run(
            [
                *(ANSIBLE, "server", "-i", "server,", "-m", "vcompare.lab.image_install"),
                *("-a", json.dumps(arguments), "-e", json.dumps(known)),
            ],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(root),
                "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": self.sockets,
                "ANSIBLE_SSH_RETRIES": "0",
                # The module goes with the command, so that only parts are transferred as files.
                "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "false",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("server | ")]
        assert lines, done.stdout + done.stderr
        result: dict[str, t.Any] = json.loads(lines[-1].partition("=>")[2])
        result["output"] = done.stdout
        return result


@pytest.fixture
def server(tmp_path: Path) -> t.Iterator[Server]:
    one = Server(tmp_path / "server")
    yield one
    one.process.terminate()
    one.process.wait(timeout=20)
    shutil.rmtree(one.sockets)


def request(image: Path, target: Path) -> dict[str, t.Any]:
    meta = described(image)
    packed = image_parts.pack(str(image), list(meta["files"]))
    return {
        "source": packed["folder"],
        "parts": packed["parts"],
        "unpacked_bytes": packed["unpacked_bytes"],
        "dest": str(target),
        "image": meta,
    }


def test_an_image_travels_once_and_goes_on_where_it_stopped(
    image: Path, tmp_path: Path, server: Server
) -> None:
    target = tmp_path / "host" / "1"
    arguments = request(image, target)
    parts = arguments["parts"]
    # As a connection that broke leaves it: one part whole, one damaged.
    name = hashlib.sha256("".join(part["sha256"] for part in parts).encode()).hexdigest()[:16]
    incoming = server.home / ".cache" / "vcompare" / "incoming" / name
    incoming.mkdir(parents=True)
    shutil.copy(Path(arguments["source"], parts[1]["name"]), incoming)
    (incoming / parts[0]["name"]).write_bytes(b"half")

    first = server.install(arguments)
    assert first["changed"], first
    assert first["sent_bytes"] == parts[0]["bytes"]
    assert "MB of the image are there already" in first["output"]
    assert (target / "rootfs.ext4").read_bytes() == (image / "rootfs.ext4").read_bytes()
    # The folder was there before.
    assert list(server.home.iterdir()) == [server.home / ".cache"]
    assert list((server.home / ".cache").iterdir()) == []
    second = server.install(arguments)
    assert (second["changed"], second["sent_bytes"]) == (False, 0)


def test_a_home_folder_is_as_before(image: Path, tmp_path: Path, server: Server) -> None:
    before = {path.name for path in server.home.iterdir()}
    assert server.install(request(image, tmp_path / "host" / "1"))["changed"]
    assert {path.name for path in server.home.iterdir()} == before


@pytest.mark.parametrize("failures", [1, 99])
def test_a_connection_that_breaks_is_tried_again(
    image: Path, tmp_path: Path, server: Server, failures: int
) -> None:
    # Each transfer of a part starts sftp. The second part's breaks so often.
    program = tmp_path / "sftp"
    program.write_text(
        f"#!/bin/sh\necho x >>{tmp_path}/calls\ncalls=$(wc -l <{tmp_path}/calls)\n"
        f'if [ "$calls" -gt 1 ] && [ "$calls" -le {1 + failures} ]; then\n'
        '  echo "Connection closed" >&2; exit 255\nfi\nexec sftp "$@"\n'
    )
    program.chmod(0o755)
    target = tmp_path / "host" / "1"
    arguments = request(image, target)
    result = server.install(arguments, ansible_sftp_executable=str(program))
    if failures == 1:
        assert result["changed"], result
        assert (target / "vmlinux").read_bytes() == (image / "vmlinux").read_bytes()
    else:
        assert "start again to go on" in result["msg"]
        assert not target.exists()
        assert server.install(arguments)["sent_bytes"] == arguments["parts"][1]["bytes"]


def test_parts_are_brought_from_the_machine_that_built_them(
    image: Path, tmp_path: Path, server: Server
) -> None:
    arguments = request(image, tmp_path / "unused")
    fetch = {key: arguments[key] for key in ("source", "parts")} | {
        "fetch_to": str(tmp_path / "here")
    }
    first = server.install(fetch)
    assert first["changed"], first
    assert first["sent_bytes"] == sum(part["bytes"] for part in arguments["parts"])
    for part in arguments["parts"]:
        assert (tmp_path / "here" / part["name"]).read_bytes() == Path(
            arguments["source"], part["name"]
        ).read_bytes()
    assert not server.install(fetch)["changed"]
