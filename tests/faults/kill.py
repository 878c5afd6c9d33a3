# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kills `vcompare lab up` after each record of the lab's journal in turn, and looks at what the next command does.

After each kill, `lab down` must leave the machine as it was before (``--then down``), or `lab up` must have the lab run
(``--then up``), or at least its nodes (``--then nodes``: all records are of those, and provisioning them takes minutes
each time). Killed is by SIGKILL whatever the command had started by itself; what libvirt runs is libvirt's.

usage: VCOMPARE_HOME=… kill.py --then down [--records 1,4-6]
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HOME = Path(os.environ["VCOMPARE_HOME"])
ROOT = Path(__file__).resolve().parents[2]
VCOMPARE = ROOT / ".venv" / "bin" / "vcompare"
LAB = "faults"
JOURNAL = HOME / "labs" / LAB / "journal.jsonl"
# In the environment of all that the command starts, and of nothing else.
MARK = "VCOMPARE_FAULT_TEST"
# No lab has as many records; a journal that goes on for ever ends here.
MOST = 60
WAIT_S = 900.0
_ADDRESS = re.compile(r"127\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+:\d+")


def said(*argv: str) -> list[str]:
    """The lines of what a command says; nothing where it is not there, or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        return []
    return sorted(line.strip() for line in done.stdout.splitlines() if line.strip())


def inventory() -> dict[str, list[str]]:
    """What this machine has of all that a lab is made of."""
    return {
        "machines": said("virsh", "-q", "list", "--all", "--name"),
        "networks": said("virsh", "-q", "net-list", "--all", "--name"),
        "links": said("sh", "-c", "ip -o link | cut -d: -f2"),
        "listening": sorted(_ADDRESS.findall("\n".join(said("ss", "-Hltn")))),
        "processes": sorted(
            name for _pid, name, _marked in processes() if name.startswith(("qemu-system", "virt", "libvirtd"))
        ),
        "marked": sorted(name for _pid, name, marked in processes() if marked),
        "files": sorted(str(path) for path in (HOME / "labs").rglob("*")),
        "mounts": sorted(line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()),
        "device": said("stat", "-c", "%U:%G %a", "/dev/kvm"),
    }  # fmt: skip


def processes() -> Iterator[tuple[int, str, bool]]:
    """Number, name, and whether it is one that the command started."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            marked = f"{MARK}=1".encode() in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        name = os.path.basename(words[0].decode(errors="replace"))
        if name and int(folder.name) != os.getpid():
            yield int(folder.name), name, marked


def kill_marked() -> None:
    """End all that the command started, until nothing of it is left."""
    while True:
        # libvirt's daemons outlive the command that started them, as they would a crash of it.
        pids = [
            pid
            for pid, name, marked in processes()
            if marked and not name.startswith(("qemu-system", "virt", "libvirtd"))
        ]
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def records() -> int:
    """How many whole records the lab's journal has."""
    try:
        return JOURNAL.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def up_until(record: int, log: Path) -> bool:
    """Have the lab come up, and kill that once its journal has so many records; False when it ended before."""
    with log.open("wb") as out:
        command = subprocess.Popen(
            [str(VCOMPARE), "lab", "up", "--lab", LAB],
            env={**os.environ, MARK: "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + WAIT_S
        while records() < record and time.monotonic() < deadline:
            if command.poll() is not None:
                return False
            time.sleep(0.0005)
        kill_marked()
        command.wait()
    return True


def vcompare(*argv: str) -> int:
    """Run the command line, its words going where ours go."""
    return subprocess.run([str(VCOMPARE), *argv], check=False).returncode


def down_again(before: dict[str, list[str]]) -> list[str]:
    """Take the lab away; what differs from before, in words."""
    if vcompare("lab", "down", "--lab", LAB) or vcompare("lab", "down", "--lab", LAB):
        return ["lab down failed"]
    after = inventory()
    return [
        f"{kind}: {word} {'came' if word in after[kind] else 'went'}"
        for kind in before
        for word in sorted(set(before[kind]) ^ set(after[kind]))
    ]


def up_again(before: dict[str, list[str]]) -> list[str]:
    """Have the lab come up in spite of what the last command left."""
    if vcompare("lab", "up", "--lab", LAB):
        return ["lab up failed"]
    return running_and_down_again(before)


def nodes_again(before: dict[str, list[str]]) -> list[str]:
    """Have the lab's nodes run in spite of what the last command left."""
    done = subprocess.run(
        [VCOMPARE.with_name("ansible-playbook"), "-i", "inventories/nested", "playbooks/lab_up.yml",
         "-e", f"vcompare_lab={LAB}", "-e", f"vcompare_home={HOME}"],
        cwd=ROOT,
        check=False,
    )  # fmt: skip
    return ["lab_up.yml failed"] if done.returncode else running_and_down_again(before)


def running_and_down_again(before: dict[str, list[str]]) -> list[str]:
    """See that the lab runs, and take it away."""
    status = said(str(VCOMPARE), "lab", "status", "--lab", LAB)
    if not any(line.split() == ["state:", "running"] for line in status):
        return ["the lab does not run", *status]
    return down_again(before)


def wanted(text: str) -> set[int]:
    """Numbers out of ``1,4-6``."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _dash, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def main() -> int:
    """Say for each record how it went; the exit code says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--then", choices=["down", "nodes", "up"], required=True)
    parser.add_argument("--records", default=f"1-{MOST}")
    arguments = parser.parse_args()
    after = {"down": down_again, "nodes": nodes_again, "up": up_again}[arguments.then]
    before = inventory()
    passed = failed = 0
    for record in sorted(wanted(arguments.records)):
        began = time.monotonic()
        if not up_until(record, HOME / f"up-{record}.log"):
            print(
                f"-- the lab came up with {records()} records, before record {record}", flush=True
            )
            failed += bool(down_again(before))
            break
        lines = JOURNAL.read_text(encoding="utf-8", errors="replace").splitlines()
        trouble = after(before)
        passed, failed = passed + (not trouble), failed + bool(trouble)
        word = "FAILED" if trouble else "ok"
        print(
            f"-- {word}: killed after record {record} ({lines[record - 1][:100]}), then {arguments.then}, "
            f"{time.monotonic() - began:.0f} s",
            *trouble,
            sep="\n   ",
            flush=True,
        )
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
