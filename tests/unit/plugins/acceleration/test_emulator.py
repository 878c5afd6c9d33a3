# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which CPU features an emulated machine goes without, by version of the emulator."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import kvm_xml
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import emulator
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab, Settings

BASE = ["smap", "rdtscp", "la57", "erms"]
SETTINGS = Settings("tcg", "/i/node-1", "/i/guest-1", 2, 2560, 300.0)
VERSIONS = [
    ((7, 2), BASE),
    ((8, 0), [*BASE, "fsrm"]),
    ((9, 1), [*BASE, "fsrm"]),
    ((10, 0), [*BASE, "fsrm"]),
    ((11, 3), [*BASE, "fsrm"]),
]


@pytest.mark.parametrize(("version", "masked"), VERSIONS)
def test_a_node_s_domain_masks_features_with_those_that_imply_them(
    tmp_path: pathlib.Path, version: tuple[int, int], masked: list[str]
) -> None:
    lab = NestedLab(Lab(str(tmp_path), "default"), "test:///default")
    settings = dataclasses.replace(SETTINGS, qemu_version=version)
    spec = lab._spec(lab.lab.nodes[0], settings)
    xml = ET.fromstring(kvm_xml.domain_xml(spec, spec.options))  # noqa: S314
    features = [(each.get("policy"), each.get("name")) for each in xml.iterfind("cpu/feature")]
    assert features == [("disable", name) for name in masked]
    assert emulator.cpu(version) == ",".join(["max", *(f"-{name}" for name in masked)])


def test_a_snapshot_of_a_machine_with_other_features_is_not_used() -> None:
    old, new, newer = (
        dataclasses.replace(SETTINGS, qemu_version=version).fingerprint()
        for version in ((7, 2), (10, 0), (10, 1))
    )
    assert old != new
    assert new == newer


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright", (7, 2)),
        ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)", (10, 0)),
        ("QEMU emulator version 10.1.50 (v10.1.0-5-g1234)", (10, 1)),
        ("QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", (8, 2)),
    ],
)
def test_the_version_is_what_the_program_says(
    tmp_path: pathlib.Path, said: str, version: tuple[int, int]
) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\ncat <<'EOF'\n{said}\nEOF\n")
    program.chmod(0o755)
    assert emulator.version(str(program)) == version


@pytest.mark.parametrize("script", ["exit 1", "echo some other program"])
def test_a_program_without_a_version_is_an_error(tmp_path: pathlib.Path, script: str) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(VcompareError, match="version"):
        emulator.version(str(program))
    with pytest.raises(VcompareError, match="version"):
        emulator.version(str(tmp_path / "missing"))


@pytest.mark.skipif(shutil.which(emulator.PROGRAM) is None, reason="there is no QEMU here")
@pytest.mark.parametrize("version", [version for version, _masked in VERSIONS])
def test_the_real_emulator_knows_every_name(version: tuple[int, int]) -> None:
    """It refuses an unknown one, whatever its version: so a name is good from the oldest QEMU on."""
    assert emulator.version() >= (7, 2)
    done = subprocess.run(
        [emulator.PROGRAM, "-machine", "none", "-accel", "tcg", "-cpu", "help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    known = set(done.stdout.partition("CPUID flags:")[2].split())
    assert set(emulator.masked(version)) <= known
