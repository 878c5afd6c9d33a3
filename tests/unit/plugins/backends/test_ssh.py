# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys of a host, and the end of a command that is too late."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import ssh
from ansible_collections.vcompare.lab.plugins.module_utils._arms.stamps import Frame


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")
def test_keys_are_made_once_and_are_private(tmp_path: Path) -> None:
    keys = ssh.Keys(str(tmp_path))
    keys.ensure()
    first = keys.read(keys.client), keys.read(keys.guest)
    keys.ensure()
    assert (keys.read(keys.client), keys.read(keys.guest)) == first
    assert first[0] != first[1]
    assert stat.S_IMODE(Path(keys.folder).stat().st_mode) == 0o700
    for path in (keys.client, keys.guest):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    name, kind, key = Path(keys.known_hosts).read_text().split()
    assert (name, [kind, key]) == (
        ssh.HOST_ALIAS,
        keys.read(f"{keys.guest}.pub").decode().split()[:2],
    )
    assert len(list(Path(keys.folder).iterdir())) == 5


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")
def test_half_a_pair_is_made_again(tmp_path: Path) -> None:
    keys = ssh.Keys(str(tmp_path))
    keys.ensure()
    Path(f"{keys.client}.pub").unlink()
    keys.ensure()
    assert keys.read(f"{keys.client}.pub").startswith(b"ssh-ed25519 ")


@pytest.mark.skipif(shutil.which("pgrep") is None, reason="there is no pgrep")
def test_a_late_command_is_ended_with_all_that_it_started() -> None:
    frames = [Frame(["/bin/sh", "-c", "sleep 120 & sleep 120"]) for _number in range(2)]
    late, other = (
        subprocess.Popen(frame.argv, start_new_session=True, stderr=subprocess.PIPE)
        for frame in frames
    )
    try:
        for process in (late, other):
            assert process.stderr is not None
            process.stderr.read(1)  # it has begun
        subprocess.run(ssh.end_argv(frames[0]), check=True)
        assert late.wait(timeout=20) == -9
        left = subprocess.run(
            ["pgrep", "-r", "D,R,S", "-g", str(late.pid)], check=False, capture_output=True
        )
        assert left.stdout == b""
        assert other.poll() is None
    finally:
        for process in (late, other):
            subprocess.run(["pkill", "-9", "-g", str(process.pid)], check=False)
            process.wait()
