# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long the main job takes, how soon a lab is ready, and what it costs.

Prints figures and judges none. Works in a home of its own and takes its lab away. Takes 35
minutes on two cores without hardware virtualisation; packages that are installed stay so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"


def timed(environment: dict[str, str], *argv: str) -> float:
    """Seconds that a command takes; it must end well, or with 3 (an arm was refused)."""
    begin = time.monotonic()
    code = subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode
    if code not in (0, 3):
        sys.exit(f"bench: {' '.join(argv)} ended with {code}")
    return time.monotonic() - begin


def provision(environment: dict[str, str], node: str) -> tuple[float, float]:
    """Seconds that a node's provisioning takes, and how many of them are its reboot."""
    begin = time.monotonic()
    done = subprocess.run(
        # With -v, the reboot's result is shown, which has its time.
        [
            *(
                BIN / "ansible-playbook",
                "playbooks/provision.yml",
                "-v",
                "-i",
                "inventories/nested",
            ),
            *("-e", "vcompare_lab_provisioned=false", "--limit", node),
        ],
        cwd=ROOT,
        env={**environment, "ANSIBLE_NOCOLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"bench: provisioning {node} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    took = time.monotonic() - begin
    return took, sum(float(each) for each in re.findall(r"elapsed: ([0-9]+)", done.stdout))


def rss_mib(marker: str) -> int:
    """Resident memory of all processes that name the lab, in MiB."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "cmdline").read_bytes():
                for line in (folder / "status").read_text().splitlines():
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1])
        except OSError:
            continue
    return total // 1024


class Peak(threading.Thread):
    """Watches the lab's memory and disk while something runs."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.home, self.memory, self.disk = home, 0, 0
        self.over = threading.Event()

    def run(self) -> None:
        """Look every five seconds."""
        while not self.over.wait(5):
            self.memory = max(self.memory, rss_mib(f"{self.home}/labs/"))
            used = subprocess.run(["du", "-sm", self.home], capture_output=True, check=False)
            if used.stdout:
                self.disk = max(self.disk, int(used.stdout.split()[0]))


def main() -> None:
    """Print the figures."""
    home = Path(tempfile.mkdtemp(prefix="vcompare-bench."))
    environment = {**os.environ, "VCOMPARE_HOME": str(home)}
    vcompare = str(BIN / "vcompare")
    peak = Peak(home)
    peak.start()
    try:
        first = timed(environment, vcompare, "compare", "--profile", "quick")
        again = timed(environment, vcompare, "lab", "up")
        state = json.loads((home / "labs" / "default" / "state.json").read_text())
        look, _none = provision(environment, "lab-linux")
        # New nodes, one after the other: what each takes when it has the machine to itself.
        subprocess.run([vcompare, "lab", "down"], cwd=ROOT, env=environment, check=True)
        playbook = [
            str(BIN / "ansible-playbook"),
            "playbooks/lab_up.yml",
            "-i",
            "inventories/nested",
        ]
        up = timed(environment, *playbook)
        linux, _none = provision(environment, "lab-linux")
        xen, reboot = provision(environment, "lab-xen")
    finally:
        peak.over.set()
        subprocess.run([vcompare, "lab", "down"], cwd=ROOT, env=environment, check=False)
        shutil.rmtree(home, ignore_errors=True)
    print(f"acceleration: {state['accel']}")
    print(f"compare, quick profile, from no images to the report: {first / 60:.1f} min")
    print(f"lab ready from its snapshot, from the command: {again:.1f} s")
    print(f"two new nodes up, images there: {up:.1f} s")
    print(f"provisioning lab-linux, packages there: {linux:.1f} s")
    print(
        f"provisioning lab-xen, packages there: {xen - reboot:.1f} s, and {reboot:.0f} s of reboot"
    )
    print(f"provisioning a provisioned lab-linux: {look:.1f} s")
    print(f"memory of the lab's machines at most: {peak.memory} MiB")
    print(f"disk of the home at most: {peak.disk} MiB")


if __name__ == "__main__":
    main()
