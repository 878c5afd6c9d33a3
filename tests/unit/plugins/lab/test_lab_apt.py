# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which archives of the machine are Debian's: real apt with folders of its own, and archives in local folders."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import apt

pytestmark = pytest.mark.skipif(
    shutil.which("apt-get") is None, reason="this is not Debian: there is no apt"
)


class Machine:
    """A machine's apt, and archives that it may use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (
            "etc/sources.list.d",
            "etc/trusted.gpg.d",
            "lists/partial",
            "cache",
            "state",
            "archive",
        ):
            (root / name).mkdir(parents=True)
        self.config = root / "apt.conf"
        self.config.write_text(
            f'Dir::Etc "{root}/etc";\nDir::Etc::sourcelist "{root}/etc/sources.list";\n'
            f'Dir::Etc::sourceparts "{root}/etc/sources.list.d";\nDir::Etc::trustedparts "{root}/etc/trusted.gpg.d";\n'
            f'Dir::State "{root}/state";\nDir::State::lists "{root}/lists";\nDir::Cache "{root}/cache";\n'
            'APT::Architecture "amd64";\nAPT::Architectures { "amd64"; };\nAcquire::Languages "none";\n'
            'APT::Sandbox::User "root";\n'
        )
        self.architecture = "amd64"

    def archive(
        self,
        name: str,
        suite: str,
        codename: str,
        origin: str = "Debian",
        label: str = "Debian",
    ) -> str:
        """Publish an archive with one suite; return its URI."""
        dists = self.root / "archive" / name / "dists" / suite
        packages = dists / "main" / f"binary-{self.architecture}" / "Packages"
        packages.parent.mkdir(parents=True)
        packages.write_text("Package: redis-server\nArchitecture: amd64\nVersion: 9:9\n\n")
        data = packages.read_bytes()
        fields = {
            "Origin": origin,
            "Label": label,
            "Suite": suite,
            "Codename": codename,
        }
        (dists / "Release").write_text(
            "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
            + f"Date: Sat, 28 Nov 2026 02:15:35 UTC\nArchitectures: {self.architecture}\nComponents: main\nSHA256:\n"
            f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{self.architecture}/Packages\n"
        )
        return f"file:{self.root}/archive/{name}"

    def write(self, text: str, name: str = "sources.list") -> None:
        (self.root / "etc" / name).write_text(text)

    def update(self) -> None:
        subprocess.run(["apt-get", "-q", "update"], check=True, capture_output=True, timeout=60)

    def found(self, release: str = "bookworm", own: str = "bookworm") -> list[str]:
        return [source.line() for source in apt.sources(release, own)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("APT_CONFIG", str(made.config))
    return made


@pytest.mark.parametrize("is_updated", [True, False], ids=["lists-there", "never-updated"])
@pytest.mark.parametrize(
    ("origin", "label"),
    [
        ("Redis", "Redis"),
        ("Docker", "Docker CE"),
        ("Percona Release", "percona"),
        ("", ""),
        ("Debian Backports", ""),
    ],
)
def test_a_vendor_whose_archive_is_called_like_debian_is_not_used(
    machine: Machine, origin: str, label: str, is_updated: bool
) -> None:
    debian = machine.archive("debian", "bookworm", "bookworm")
    security = machine.archive(
        "security", "bookworm-security", "bookworm-security", label="Debian-Security"
    )
    updates = machine.archive("debian", "bookworm-updates", "bookworm-updates")
    vendor = machine.archive("vendor", "bookworm", "bookworm", origin, label)
    machine.write(f"deb [trusted=yes] {vendor} bookworm main\n", "sources.list.d/redis.list")
    machine.write(
        f"deb [trusted=yes] {debian} bookworm main contrib\ndeb [trusted=yes] {updates} bookworm-updates main\n"
        f"deb [trusted=yes] {security} bookworm-security main\n"
    )
    if is_updated:
        machine.update()
    found = machine.found()
    assert found == [
        f"deb [trusted=yes] {debian} bookworm main",
        f"deb [trusted=yes] {debian} bookworm-updates main",
        f"deb [trusted=yes] {security} bookworm-security main",
    ]
    apt.require_mirror(apt.sources("bookworm", "bookworm"), "bookworm")


@pytest.mark.parametrize(
    ("word", "codename"),
    [
        ("stable", "trixie"),
        ("oldstable", "bookworm"),
        ("Bookworm", "Bookworm"),
        ("testing", "forky"),
    ],
)
def test_a_suite_is_resolved_by_its_codename(machine: Machine, word: str, codename: str) -> None:
    uri = machine.archive("debian", word, codename)
    machine.archive("debian", f"{word}-updates", f"{codename}-updates")
    security = machine.archive(
        "security", f"{word}-security", f"{codename}-security", label="Debian-Security"
    )
    machine.write(
        f"deb [trusted=yes] {uri} {word} main\ndeb [trusted=yes] {uri} {word}-updates main\n"
        f"deb [trusted=yes] {security} {word}-security main\n"
    )
    release = codename.lower()
    assert machine.found(release, release) == [
        f"deb [trusted=yes] {uri} {word} main",
        f"deb [trusted=yes] {uri} {word}-updates main",
        f"deb [trusted=yes] {security} {word}-security main",
    ]


def test_another_release_comes_from_the_same_mirror(machine: Machine) -> None:
    uri = machine.archive("debian", "stable", "trixie")
    security = machine.archive(
        "security", "stable-security", "trixie-security", label="Debian-Security"
    )
    machine.write(
        f"deb [trusted=yes] {uri} stable main\ndeb [trusted=yes] {security} stable-security main\n"
    )
    assert machine.found("bookworm", "trixie") == [
        f"deb [trusted=yes] {uri} bookworm main",
        f"deb [trusted=yes] {security} bookworm-security main",
    ]
    # What the machine has of its own for that release comes before any guess.
    other = machine.archive("new", "bookworm", "bookworm")
    machine.write(f"deb [trusted=yes] {other} bookworm main\n", "sources.list.d/other.list")
    assert machine.found("bookworm", "trixie") == [f"deb [trusted=yes] {other} bookworm main"]


def test_entries_in_stanzas_and_what_apt_leaves_out(machine: Machine) -> None:
    one, two, three = (
        machine.archive(name, "bookworm", "bookworm") for name in ("one", "two", "three")
    )
    machine.archive("one", "bookworm-updates", "bookworm-updates")
    machine.archive("two", "bookworm-updates", "bookworm-updates")
    off = machine.archive("off", "bookworm", "bookworm")
    machine.architecture = "i386"
    other = machine.archive("other", "bookworm", "bookworm")
    machine.write(
        f"# a comment\nTypes: deb deb-src\nURIs: {one} {two}\nSuites: bookworm\n bookworm-updates\n"
        f"Components: main contrib\nTrusted: yes\nCheck-Valid-Until: no\n\n"
        f"Enabled: no\nTypes: deb\nURIs: {off}\nSuites: bookworm\nComponents: main\nTrusted: yes\n\n"
        f"Types: deb\nURIs: {other}\nSuites: bookworm\nComponents: main\nTrusted: yes\nArchitectures: i386\n\n"
        f"Types: deb-src\nURIs: {off}\nSuites: bookworm\nComponents: main\nTrusted: yes\n",
        "sources.list.d/debian.sources",
    )
    machine.write(
        f"deb [ arch=i386 trusted=yes ] {other} bookworm main\n#deb [trusted=yes] {off} bookworm main\n"
        f"deb [arch=amd64,i386 trusted=yes lang=none] {three} bookworm main # a mirror of ours\n"
        f"deb [trusted=yes] {off} bookworm contrib\n"
    )
    options = "[trusted=yes check-valid-until=no]"
    assert machine.found() == [
        f"deb [trusted=yes] {three} bookworm main",
        f"deb {options} {one} bookworm main",
        f"deb {options} {one} bookworm-updates main",
        f"deb {options} {two} bookworm main",
        f"deb {options} {two} bookworm-updates main",
    ]


def test_a_list_of_mirrors(machine: Machine) -> None:
    uri = machine.archive("debian", "stable", "bookworm")
    (machine.root / "mirrors.txt").write_text(f"{uri}/\n")
    machine.write(f"deb [trusted=yes] mirror+file:{machine.root}/mirrors.txt stable main\n")
    expected = [f"deb [trusted=yes] mirror+file:{machine.root}/mirrors.txt stable main"]
    assert machine.found() == expected
    machine.update()
    assert machine.found() == expected


def test_signatures_count(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> None:
    uri = machine.archive("debian", "stable", "bookworm")
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    command.run([*gpg, "--quick-gen-key", "archive", "ed25519", "sign", "never"], "making a key")
    key = machine.root / "archive.gpg"
    command.run([*gpg, "--output", str(key), "--export"], "exporting it")
    release = machine.root / "archive/debian/dists/stable/Release"
    command.run(
        [*gpg, "--clearsign", "--output", str(release.with_name("InRelease")), str(release)],
        "signing the archive",
    )
    release.unlink()
    machine.write(f"deb [signed-by={key}] {uri} stable main\n")
    assert machine.found() == [f"deb [signed-by={key}] {uri} stable main"]
    # Without the key, nothing that the archive says is believed.
    machine.write(f"deb {uri} stable main\n")
    with pytest.raises(VcompareError):
        machine.found()


def test_none_is_said_with_what_each_archive_is(machine: Machine) -> None:
    vendor = machine.archive("vendor", "bookworm", "bookworm", "Redis", "redis.io")
    machine.write(
        f"deb [trusted=yes] {vendor} bookworm main\ndeb [trusted=yes] file:/nowhere bookworm main\n"
    )
    with pytest.raises(VcompareError) as caught:
        machine.found()
    assert "bookworm" in caught.value.message
    assert "/etc/apt" in caught.value.remedy
    assert (
        "Origin Redis, Label redis.io, Suite bookworm, Codename bookworm" in caught.value.evidence
    )
    assert "no Release file" in caught.value.evidence


@pytest.mark.parametrize("change", [{"codename": "trixie"}, {"origin": "Vendor"}, None])
def test_a_mirror_that_has_gone_on_or_away_is_refused(
    machine: Machine, change: dict[str, t.Any] | None
) -> None:
    uri = machine.archive("debian", "stable", "bookworm")
    machine.write(f"deb [trusted=yes] {uri} stable main\n")
    machine.update()
    found = apt.sources("bookworm", "bookworm")
    apt.require_mirror(found, "bookworm")
    shutil.rmtree(machine.root / "archive/debian")
    if change is not None:
        machine.archive("debian", "stable", **{"codename": "bookworm", **change})
    with pytest.raises(VcompareError) as caught:
        apt.require_mirror(found, "bookworm")
    assert uri in caught.value.text
    assert caught.value.remedy


def test_the_machine_s_own_lists_stay_as_they_are(machine: Machine) -> None:
    uri = machine.archive("debian", "stable", "bookworm")
    machine.write(f"deb [trusted=yes] {uri} stable main\n")
    apt.require_mirror(apt.sources("bookworm", "bookworm"), "bookworm")
    assert [path.name for path in machine.root.glob("lists/*")] == ["partial"]


def test_another_system_is_told(tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 42"\n')
    with pytest.raises(VcompareError) as caught:
        apt.codename([str(file)])
    assert "Fedora Linux 42" in caught.value.message
    assert "Debian 12" in caught.value.remedy
