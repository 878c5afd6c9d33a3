# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbooks that check and provision, on this machine, which is taken for one that others manage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest
from host_tables import OS_RELEASE

ROOT = Path(next(iter(collection.__path__)))
HOST = "server ansible_connection=local ansible_python_interpreter=/usr/bin/python3 ansible_become=false"
GROUPS = "".join(f"[{name}_hosts]\nserver\n" for name in ("docker", "kvm", "xen"))


def run(
    folder: Path, playbook: str, os_release: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run it where /etc/os-release has this text; nothing else of the machine is different."""
    (folder / "hosts.ini").write_text(f"[bare_hosts]\n{HOST}\n{GROUPS}")
    (folder / "os-release").write_text(os_release)
    # It is a link on most systems, and a mount follows it.
    script = 'mount --bind "$1" "$(realpath /etc/os-release)"; shift; exec "$@"'
    return subprocess.run(
        [
            *("unshare", "--mount", "sh", "-ec", script, "sh", str(folder / "os-release")),
            *(sys.executable, "-m", "ansible.cli.playbook", "-i", str(folder / "hosts.ini")),
            *(str(ROOT / "playbooks" / playbook), *options),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(folder / "ansible")},
    )


def state_of_the_machine() -> str:
    """What provisioning would change: packages and configuration."""
    parts = [Path("/var/lib/dpkg/status").read_bytes()]
    for name in ("docker", "modules-load.d", "systemd", "default", "libvirt"):
        for path in sorted(Path("/etc", name).rglob("*")):
            parts.append(f"{path} {path.lstat().st_mtime_ns}".encode())
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts over /etc/os-release")


@needs_root
def test_a_host_that_others_manage_is_told_all_that_it_lacks_and_stays_as_it_is(
    tmp_path: Path,
) -> None:
    before = state_of_the_machine()
    done = run(tmp_path, "hosts.yml", OS_RELEASE["fedora"], "-e", "vcompare_provision=false")
    assert state_of_the_machine() == before
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    for words in (
        "used as it is (vcompare_provision is false)",
        "the host is not the dom0 of a Xen",
        "nothing answers on /run/docker.sock",
        "systemctl enable --now docker.service",
        "dnf install ",
        "not tested on Fedora Linux 40",
    ):
        assert words in said, said


@needs_root
def test_a_system_without_apt_is_refused_with_provisioning_on(tmp_path: Path) -> None:
    done = run(tmp_path, "provision.yml", OS_RELEASE["leap"], "-e", "vcompare_arms=docker")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    for words in ("openSUSE Leap 15.6", "only Debian and Ubuntu are provisioned", "zypper install"):
        assert words in said, said
    assert "Choose the networks" not in said
