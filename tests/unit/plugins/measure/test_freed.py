# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing to free memory: as much as was asked for, and never what others need."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host import freed


@pytest.mark.parametrize(
    ("text", "available", "written"),
    [
        ("MemTotal: 99 kB\nMemAvailable:   65536 kB\n", 64, 8),
        ("MemAvailable: 10240 kB\n", 10, 5),
        ("MemAvailable: 1024 kB\n", 1, 0),
        ("MemTotal: 65536 kB\n", 0, 0),
        ("MemAvailable: much\n", 0, 0),
    ],
)
def test_at_most_half_of_what_is_available(
    tmp_path: Path, text: str, available: int, written: int
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(text)
    assert freed.available_mib(meminfo) == available
    assert freed.write_through(8, meminfo, tmp_path / "no-hypervisor") == written


@pytest.mark.parametrize(("kind", "written"), [("xen\n", 0), ("other\n", 4)])
def test_under_xen_nothing(tmp_path: Path, kind: str, written: int) -> None:
    meminfo, hypervisor = tmp_path / "meminfo", tmp_path / "type"
    meminfo.write_text("MemAvailable: 65536 kB\n")
    hypervisor.write_text(kind)
    assert freed.write_through(4, meminfo, hypervisor) == written


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    assert freed.write_through(8, tmp_path / "none", tmp_path / "no-hypervisor") == 0


def test_this_machine_says() -> None:
    assert freed.available_mib() > 0
