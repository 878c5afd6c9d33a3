# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine's own apt sources, in both styles that apt reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils.lab import apt

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian https://second.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Check-Valid-Until: no

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
"""


def sources(folder: Path, release: str = "bookworm") -> list[str]:
    return [source.line() for source in apt.sources(release, str(folder))]


def test_both_styles_are_read_and_others_left_out(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(DEB822)
    (parts / "vendor.list").write_text(
        "deb [arch=amd64 signed-by=/k.gpg] https://vendor.example/apt bookworm stable\n"
        "#deb http://commented.example/debian bookworm main\n"
        "deb [trusted=yes] file:/srv/mirror bookworm main # local\n"
    )
    assert sources(tmp_path) == [
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://mirror.example/debian bookworm-updates main",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://second.example/debian bookworm main",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "https://second.example/debian bookworm-updates main",
        "deb [check-valid-until=no] http://mirror.example/debian-security bookworm-security main",
        "deb [trusted=yes] file:/srv/mirror bookworm main",
    ]


def test_no_mirror_for_the_release_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian trixie main\n")
    with pytest.raises(VcompareError) as caught:
        apt.sources("bookworm", str(tmp_path), own="bookworm")
    assert "bookworm" in caught.value.message
    assert "/etc/apt" in caught.value.remedy


def test_another_release_comes_from_the_same_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "deb http://mirror.example/debian bookworm main contrib\n"
        "deb http://mirror.example/debian bookworm-updates main\n"
        "deb [signed-by=/k] http://mirror.example/security bookworm-security main\n"
        "deb http://other.example/tools bookworm tools\n"
    )
    found = apt.sources("trixie", str(tmp_path), own="bookworm")
    assert [source.line() for source in found] == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb [signed-by=/k] http://mirror.example/security trixie-security main",
    ]
    # What the machine has of its own for that release comes before any guess.
    with (tmp_path / "sources.list").open("a") as more:
        more.write("deb http://new.example/debian trixie main\n")
    found = apt.sources("trixie", str(tmp_path), own="bookworm")
    assert [source.uri for source in found] == ["http://new.example/debian"]


def test_another_system_is_told(tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 42"\n')
    with pytest.raises(VcompareError) as caught:
        apt.codename(str(file))
    assert "Fedora Linux 42" in caught.value.message
    assert "Debian 12" in caught.value.remedy
