# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests of plain servers compare before and after: each kind of thing that is left is found."""

from __future__ import annotations

import copy
import importlib.util
import typing as t
from pathlib import Path

import ansible_collections.vcompare.lab as collection
import pytest

ROOT = Path(next(iter(collection.__path__)))
_SPEC = importlib.util.spec_from_file_location("manifest", ROOT / "tests/servers/manifest.py")
assert _SPEC and _SPEC.loader
manifest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(manifest)

BEFORE: dict[str, t.Any] = {
    "packages": {"bash": "5.2 ii "},
    "files": {"/etc/fstab": "100644 0 0 aa", "/etc/passwd": "100644 0 0 bb"},
    "owners": {"/etc/bash.bashrc": "bash"},
    "lines": {"passwd": ["root:x:0", "ops:x:1000"], "group": ["kvm:x:104:"]},
    "links": ["lo UNKNOWN"],
    "addresses": ["1: lo inet 127.0.0.1/8"],
    "routes": ["default via 10.0.2.2"],
    "rules": [],
    "menu": ["set default=0"],
    "grubenv": [],
    "containers": ["1 theirs theirs:1"],
    "machines": [],
    "mounts": ["/"],
    "modules": [],
}
# A package that was named, with a file, a link to its unit, its user, and its bridge.
NAMED = {
    "packages": {"bash": "5.2 ii ", "docker.io": "20 ii "},
    "files": {
        "/etc/default/docker": "100644 0 0 cc",
        "/etc/systemd/system/x.wants/docker.service": "120777 0 0 -> /lib/systemd/system/docker.service",
        "/etc/passwd": "100644 0 0 dd",
    },
    "owners": {
        "/etc/default/docker": "docker.io",
        "/lib/systemd/system/docker.service": "docker.io",
    },
    "lines": {"passwd": ["root:x:0", "ops:x:1000", "dnsmasq:x:101"], "group": ["kvm:x:104:ops"]},
    "links": ["lo UNKNOWN", "docker0 DOWN"],
    "routes": ["default via 10.0.2.2", "172.17.0.0/16 dev docker0"],
}


def after(**changes: t.Any) -> dict[str, t.Any]:
    found = copy.deepcopy(BEFORE)
    for name, value in changes.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) else value
    return found


def test_a_server_that_is_as_before() -> None:
    assert manifest.compare(BEFORE, after(), []) == []


def test_what_a_named_package_brings_is_no_difference() -> None:
    assert manifest.compare(BEFORE, after(**NAMED), ["docker.io"]) == []


def test_what_the_script_of_a_package_makes_needs_its_name() -> None:
    there = after(
        packages={"containerd": "1.6 ii "},
        files={"/etc/cni/net.d": "40755 0 0", "/etc/networks": "e"},
    )
    assert manifest.compare(BEFORE, there, ["containerd"]) == ["/etc/networks is new"]


def test_the_same_without_the_name_is_a_difference() -> None:
    found = " ".join(manifest.compare(BEFORE, after(**NAMED), []))
    assert "package docker.io was not named" in found
    assert "/etc/default/docker is new" in found
    assert "wants/docker.service is new" in found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"packages": {"bash": "5.1 ii "}}, "package bash: 5.2 ii  became 5.1 ii "),
        ({"files": {"/etc/fstab": "100600 0 0 aa"}}, "/etc/fstab changed"),
        ({"files": {"/etc/modules-load.d/vcompare-kvm.conf": "100644 0 0 ee"}}, "vcompare-kvm.conf is new"),
        ({"files": {"/var/lib/vcompare/host-journal.jsonl": "100600 0 0 ee"}}, "host-journal.jsonl is new"),
        ({"lines": {"passwd": ["root:x:0"]}}, "/etc/passwd lost: ops"),
        ({"links": ["lo UNKNOWN", "vc-kvm UP"]}, "links: vc-kvm UP is new"),
        ({"routes": []}, "routes: default via 10.0.2.2 is missing"),
        ({"rules": ["table ip vcompare"]}, "rules: table ip vcompare is new"),
        ({"containers": []}, "containers: 1 theirs theirs:1 is missing"),
        ({"machines": ["vc-1"]}, "machines: vc-1 is new"),
        ({"grubenv": ["saved_entry=xen"]}, "grubenv: saved_entry=xen is new"),
        ({"menu": ["multiboot2 /xen dom0_mem=1024M"]}, "the boot menu has: multiboot2"),
    ],
)  # fmt: skip
def test_each_kind_of_thing_that_is_left_is_found(changes: dict[str, t.Any], found: str) -> None:
    assert found in "\n".join(manifest.compare(BEFORE, after(**changes), []))


def test_a_package_that_is_gone_is_found() -> None:
    gone = after()
    del gone["packages"]["bash"]
    assert manifest.compare(BEFORE, gone, []) == ["package bash 5.2 ii  is missing"]
