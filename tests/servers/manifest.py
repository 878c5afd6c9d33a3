# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server has: read before it is provisioned and after it was released, and compared.

    manifest.py read                     on the server, as root: prints JSON
    manifest.py compare BEFORE AFTER PACKAGE...

Only what the named packages bring may differ: their files, and what their own scripts register (users, links, caches).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import typing as t

# Written by tools of the system for whatever package is installed; lines are compared where there are lines.
LINES = [
    name + end
    for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
    for end in ("", "-")
]
CACHES = ("ld.so.cache", "mailcap", ".pwd.lock")
# Where what a package has decides over files of /etc and /boot.
OWNED = ("/etc/", "/boot/", "/lib/systemd/", "/usr/lib/systemd/")
# What a package's script makes that is in no list of its files.
MADE = {"containerd": ("/etc/cni", "/etc/cni/net.d"), "netbase": ("/etc/networks",)}
# Of the Ansible that reads this.
READER = "/.ansible/tmp"
# The default bridge of dockerd, which runs as its package has it, and its rules.
OF_DOCKER = re.compile(r"docker0|DOCKER|172\.17\.0\.")


def output(*argv: str) -> list[str]:
    """Lines that a program prints; none where it is missing."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines()


def etc() -> dict[str, str]:
    """Each path of /etc and /boot with what it is."""
    found = {}
    for top in ("/etc", "/boot", "/var/lib/vcompare", "/root", "/home"):
        for folder, names, files in os.walk(top):
            if folder.endswith(READER):
                names.clear()
                continue
            for name in (*names, *files):
                path = os.path.join(folder, name)
                state = os.lstat(path)
                what = f"{state.st_mode:o} {state.st_uid} {state.st_gid}"
                if os.path.islink(path):
                    what += f" -> {os.readlink(path)}"
                elif os.path.isfile(path):
                    with open(path, "rb") as file:
                        what += f" {hashlib.file_digest(file, 'sha256').hexdigest()}"
                found[path] = what
    return found


def read() -> dict[str, t.Any]:
    """All of it, once the boot has ended: units of packages write at its end."""
    output("systemctl", "is-system-running", "--wait")
    packages = dict(
        line.split("\t")
        for line in output(
            "dpkg-query", "--show", "--showformat=${Package}\t${Version} ${db:Status-Abbrev}\n"
        )
    )
    owners: dict[str, str] = {}
    for path in glob.glob("/var/lib/dpkg/info/*.list"):
        package = os.path.basename(path)[: -len(".list")].partition(":")[0]
        with open(path, encoding="utf-8") as lines:
            owners.update(
                (path, package) for path in lines.read().split("\n") if path.startswith(OWNED)
            )
    texts = {}
    for name in LINES:
        try:
            with open(f"/etc/{name}", encoding="utf-8") as lines:
                texts[name] = lines.read().splitlines()
        except FileNotFoundError:
            texts[name] = []
    containers = output(
        "docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"
    )
    return {
        "packages": packages,
        "files": etc(),
        "owners": owners,
        "lines": texts,
        "links": sorted(output("ip", "-o", "-br", "link")),
        "addresses": sorted(line.split("valid_lft")[0] for line in output("ip", "-o", "addr")),
        "routes": sorted(output("ip", "route", "show", "table", "all")),
        "rules": output("nft", "list", "ruleset") or output("iptables-save"),
        "menu": output("cat", "/boot/grub/grub.cfg"),
        "grubenv": output("grub-editenv", "list"),
        "containers": containers,
        "machines": [
            *output("virsh", "list", "--all", "--name"),
            *output("virsh", "net-list", "--all", "--name"),
        ],
        "mounts": sorted(
            line.split()[1] for line in output("cat", "/proc/mounts") if " cgroup" not in line
        ),
        "modules": sorted(line.split()[0] for line in output("cat", "/proc/modules")),
    }


def of_packages(path: str, what: str, owners: t.Mapping[str, str], named: t.Container[str]) -> bool:
    """Whether a file that is new comes from a named package, or is a link to or beside something of one."""
    if owners.get(path) in named:
        return True
    target = what.partition(" -> ")[2]
    if target:
        whole = os.path.normpath(os.path.join(os.path.dirname(path), target))
        places = {whole, whole.removeprefix("/usr"), f"/usr{whole}"}
        # An alternative's link leads to a program of a package by way of /etc/alternatives.
        return "/alternatives/" in f"{path} {whole}" or any(
            owners.get(place) in named for place in places
        )
    # What a package's script made in a folder of its own.
    parents = []
    while path not in ("/etc", "/boot", "/"):
        path = os.path.dirname(path)
        parents.append(path)
    return any(owners.get(parent) in named for parent in parents if parent.count("/") > 1)


def compare(
    before: dict[str, t.Any], after: dict[str, t.Any], named: t.Collection[str]
) -> list[str]:
    """What differs, beyond the named packages."""
    found = []
    old, new = before["packages"], after["packages"]
    found += [f"package {name} {old[name]} is missing" for name in old.keys() - new.keys()]
    found += [
        f"package {name}: {old[name]} became {new[name]}"
        for name in old.keys() & new.keys()
        if old[name] != new[name]
    ]
    found += [f"package {name} was not named" for name in new.keys() - old.keys() - set(named)]
    found += [f"package {name} was named, and is not there" for name in set(named) - new.keys()]
    for name, lines in before["lines"].items():
        lost = [line for line in lines if line not in after["lines"][name]]
        # A package's user is added to a group at the end of its line.
        lost = [
            line for line in lost if not any(one.startswith(line) for one in after["lines"][name])
        ]
        if not name.endswith("-"):
            found += [f"/etc/{name} lost: {line.partition(':')[0]}" for line in lost]
    files, owners = after["files"], after["owners"]
    passed = {f"/etc/{name}" for name in (*LINES, *CACHES)}
    passed |= {path for name in named for path in MADE.get(name, ())}
    for path in sorted((before["files"].keys() | files.keys()) - passed):
        was, now = before["files"].get(path), files.get(path)
        if now is None:
            found.append(f"{path} is missing")
        elif was is None and not of_packages(path, now, owners, named):
            found.append(f"{path} is new")
        elif was is not None and was != now and path != "/boot/grub/grub.cfg":
            found.append(f"{path} changed: {was} became {now}")
    for name in (
        "links",
        "addresses",
        "routes",
        "rules",
        "containers",
        "machines",
        "mounts",
        "grubenv",
    ):
        lines = [
            line for line in after[name] if line not in before[name] and not OF_DOCKER.search(line)
        ]
        if name in ("rules", "mounts"):
            lines = [line for line in lines if re.search(r"vcompare|10\.213\.", line)]
        found += [f"{name}: {line} is new" for line in lines]
        found += [f"{name}: {line} is missing" for line in before[name] if line not in after[name]]
    found += [
        f"the boot menu has: {line}"
        for line in after["menu"]
        if "vcompare" in line or "dom0_mem" in line
    ]
    return found


def main() -> int:
    if sys.argv[1:2] == ["read"]:
        print(json.dumps(read()))
        return 0
    manifests = []
    for path in sys.argv[2:4]:
        with open(path, encoding="utf-8") as text:
            manifests.append(json.load(text))
    differences = compare(manifests[0], manifests[1], sys.argv[4:])
    print("".join(f"differs: {line}\n" for line in differences), end="")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
