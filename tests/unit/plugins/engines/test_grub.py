# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One-time entries only where GRUB can clear them, and menus in which our values win: with GRUB's own programs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    grub,
    grub_default,
    turns,
    xen_boot,
    xen_packages,
)

ROOT = Path(__file__).parents[4]
FIELD_CASE = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT=5
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_XEN_DEFAULT="dom0_mem=4096M,max:4096M"
"""
PLAIN = 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'


def run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout.strip()


def attached(image: Path) -> str:
    """The loop device of a file, or nothing. GRUB's scripts make no entries for /dev/loop0 to 9."""
    for number in range(20, 90):
        device = Path(f"/dev/loop{number}")
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            if not device.exists():
                os.mknod(device, 0o600 | stat.S_IFBLK, os.makedev(7, number))
            run("losetup", str(device), str(image))
            return str(device)
    return ""


@functools.cache
def own_mounts() -> None:
    """Mount for this process and its children alone: whatever ends it, nothing stays mounted for who cleans /tmp."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):  # CLONE_NEWNS of sched.h
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")


@contextlib.contextmanager
def mounted(folder: Path, kind: str) -> Iterator[Path]:
    """A file system of its own on a loop device, or a skipped test."""
    for program in ("losetup", f"mkfs.{kind}", "grub-probe", "mount"):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            pytest.skip(f"{program} is not on this machine")
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    own_mounts()
    image, point = folder / "image", folder / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * 2**20)
    run(f"mkfs.{kind}", "-q", str(image))
    device = attached(image)
    if not device:
        pytest.skip("this machine has no loop devices")
    try:
        try:
            run("mount", device, str(point))
        except subprocess.CalledProcessError:
            pytest.skip(f"this kernel can't mount {kind}")
        try:
            yield point
        finally:
            run("umount", "-R", "-l", str(point))
    finally:
        run("losetup", "-d", device)


@pytest.mark.parametrize(("kind", "writable"), [("ext4", True), ("xfs", True), ("btrfs", False)])
def test_grub_probe_of_this_machine_is_understood(
    kind: str, writable: bool, tmp_path: Path
) -> None:
    with mounted(tmp_path, kind) as point:
        folder = point / "grub"
        folder.mkdir()
        if writable:
            grub.require_one_time_entry(folder=str(folder))
            return
        with pytest.raises(VcompareError, match=f"is on {kind}, where GRUB can't clear") as caught:
            grub.require_one_time_entry(folder=str(folder))
        assert "Nothing was changed" in caught.value.message
        assert "plain partition" in caught.value.remedy


@pytest.mark.parametrize(
    ("abstraction", "kind", "named"),
    [
        ("lvm", "ext2", "ext2 on lvm"),
        ("diskfilter mdraid1x", "ext2", "ext2 on diskfilter on mdraid1x"),
        ("diskfilter mdraid09 lvm", "xfs", "lvm"),
        ("cryptodisk luks", "ext2", "cryptodisk"),
        ("", "btrfs", "btrfs"),
        ("", "zfs", "zfs"),
        ("", "f2fs", "f2fs"),
        ("", "squash4", "squash4"),
    ],
)
def test_what_grub_cannot_write_is_refused(abstraction: str, kind: str, named: str) -> None:
    answers = {"abstraction": abstraction, "fs": kind}
    with pytest.raises(VcompareError, match=named):
        grub.require_one_time_entry(lambda target, _path: answers[target])


def test_a_probe_that_cannot_tell_is_no_permission(tmp_path: Path) -> None:
    with pytest.raises(VcompareError, match="asking GRUB"):
        grub.require_one_time_entry(folder=str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("dom0_mem=1024M,max:1024M", {"size": 1024, "max": 1024}),
        ("dom0_mem=1024M,max:1024M dom0_mem=4G", {"size": 4096, "max": 1024}),
        ("dom0_mem=4096M dom0_mem=min:512M,max:1G", {"size": 4096, "min": 512, "max": 1024}),
        ("dom0_mem=1048576", {"size": 1024}),
        ("dom0_mem=10%", {"size": None}),
        ("console=com1", {}),
    ],
)
def test_memory_of_dom0_as_xen_reads_it(words: str, expected: dict[str, float | None]) -> None:
    assert grub.memory(words.split()) == expected


@pytest.mark.parametrize(
    ("line", "wanted", "missed"),
    [
        ("console=hvc0 quiet console=ttyS0", "console=hvc0", []),
        ("fsck.mode=skip quiet fsck.mode=force", "fsck.mode=skip", [("fsck.mode", "fsck.mode=force")]),
        ("quiet", "fsck.mode=skip", [("fsck.mode", "")]),
        ("xconsole=hvc0", "console=hvc0", [("console", "")]),
    ],
)  # fmt: skip
def test_the_last_word_wins(line: str, wanted: str, missed: list[tuple[str, str]]) -> None:
    assert grub.overridden(line.split(), wanted.split(), grub.REPEATED) == missed


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A root of its own with kernel and Xen, in which the real update-grub runs."""
    if not Path("/etc/grub.d/20_linux_xen").exists():
        pytest.skip("grub-common is not on this machine")
    with mounted(tmp_path, "ext4") as root:
        for name in ("boot/grub", "etc/default/grub.d", "dev", "proc", "sys", "usr", "tmp"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        for name in ("usr", "dev", "proc", "sys"):
            run("mount", "--bind", f"/{name}", str(root / name))
            run("mount", "-o", "remount,ro,bind", str(root / name))
        shutil.copytree("/etc/grub.d", root / "etc/grub.d", symlinks=True)
        for name in ("vmlinuz-6.1.0-1-amd64", "initrd.img-6.1.0-1-amd64", "xen-4.17-amd64.gz"):
            (root / "boot" / name).write_text("x")
        (root / "boot/config-6.1.0-1-amd64").write_text("CONFIG_XEN_DOM0=y\n")
        script = tmp_path / "bin/update-grub"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\nexec chroot {root} grub-mkconfig -o /boot/grub/grub.cfg\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}:/usr/sbin:/sbin")
        monkeypatch.setattr(grub, "CFG", f"{root}/boot/grub/grub.cfg")
        monkeypatch.setattr(xen_boot, "SETTINGS", f"{root}/etc/default/grub.d/vcompare.cfg")
        monkeypatch.setattr(grub.sources, "__defaults__", (f"{root}/etc/default/grub",))
        yield root


def settings(
    root: Path, memory: int, dom0: str = "console=hvc0 fsck.mode=skip"
) -> xen_boot.XenBoot:
    boot = xen_boot.XenBoot(xen_boot.Wanted(memory, "", dom0), check_mode=False)
    boot.journal = xen_boot.HostJournal(str(root / "state/journal"))
    boot._settings(reboot=True)
    return boot


def test_our_values_are_read_back_from_the_menu(host: Path) -> None:
    (host / "etc/default/grub").write_text(PLAIN)
    boot = settings(host, 1024)
    entry = grub.xen_entry((host / "boot/grub/grub.cfg").read_text())
    assert "dom0_mem=1024M,max:1024M" in entry.hypervisor
    assert "fsck.mode=skip" in entry.kernel
    kinds = {(one.kind, one.name.rpartition("/")[2]) for one in boot.journal.entries()}
    assert kinds == {("file", "vcompare.cfg"), ("grub-menu", "grub.cfg")}


@pytest.mark.parametrize(
    ("defaults", "further", "named", "message"),
    [
        (FIELD_CASE, "", "etc/default/grub", "dom0_mem=4096M"),
        (PLAIN, "GRUB_CMDLINE_XEN_DEFAULT=dom0_mem=max:2G", "zz-local.cfg", "dom0_mem"),
        (PLAIN, 'GRUB_CMDLINE_XEN="dom0_mem=512M"', "zz-local.cfg", "dom0_mem=512M"),
        (PLAIN, "GRUB_CMDLINE_LINUX_DEFAULT=fsck.mode=force", "zz-local.cfg", "fsck.mode=force"),
        (PLAIN, "GRUB_DEFAULT=0", "zz-local.cfg", "saved default"),
    ],
)
def test_a_value_that_wins_over_ours_is_named_and_nothing_stays(
    host: Path, defaults: str, further: str, named: str, message: str
) -> None:
    (host / "etc/default/grub").write_text(defaults)
    if further:
        (host / "etc/default/grub.d/zz-local.cfg").write_text(further + "\n")
    with pytest.raises(VcompareError) as caught:
        settings(host, 1024)
    assert message in caught.value.message
    assert named in caught.value.message
    assert not Path(xen_boot.SETTINGS).exists()
    # The menu is the administrator's again.
    assert "dom0_mem=1024M" not in (host / "boot/grub/grub.cfg").read_text()


def test_their_value_can_be_asked_for(host: Path) -> None:
    (host / "etc/default/grub").write_text(FIELD_CASE)
    settings(host, 4096)
    assert Path(xen_boot.SETTINGS).exists()


@pytest.mark.parametrize("default", ["0", "saved", "gnulinux-6.1.0-1-amd64"])
def test_update_grub_keeps_the_host_s_default_and_forgets_a_one_time_entry(
    host: Path, default: str
) -> None:
    """With GRUB's own programs: whatever GRUB_DEFAULT is, no other one is needed for a single boot."""
    settings = PLAIN.replace("GRUB_DEFAULT=0", f'GRUB_DEFAULT="{default}"')
    (host / "etc/default/grub").write_text(settings)
    made = turns.SharedBoot(xen_boot.Wanted(1024, shares=True), check_mode=False)
    made.journal = xen_boot.HostJournal(str(host / "state/journal"))
    made._settings(True)
    text = Path(grub.CFG).read_text()
    expected = "${saved_entry}" if default == "saved" else default
    assert f'set default="{expected}"' in text
    assert not grub_default.default_leaf(text, {}).xen
    entry = grub.xen_entry(text)
    assert "dom0_mem=1024M,max:1024M" in entry.hypervisor
    chosen = grub_default.default_leaf(text, {"saved_entry": entry.path})
    assert chosen.xen is (default == "saved")


# As Debian's xen-hypervisor-common has it, in short: an untranslated title, and only where no one has decided.
XEN_PACKAGE = """\
if [ "${XEN_OVERRIDE_GRUB_DEFAULT:-1}" = "1" ]; then
        GRUB_DEFAULT="Debian GNU/Linux, with Xen hypervisor"
fi
"""


@pytest.mark.parametrize("kept", [True, False])
def test_the_default_entry_is_kept_while_xen_s_package_is_installed(
    host: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    (host / "etc/default/grub").write_text(PLAIN)
    journal = xen_boot.HostJournal(str(host / "state/journal"))
    package = host / "etc/default/grub.d/xen.cfg"
    monkeypatch.setattr(xen_packages, "XEN_SETTINGS", str(package))
    if kept:
        assert xen_packages.keep_default(journal, check_mode=True)
        assert not Path(xen_boot.SETTINGS).exists()
        assert xen_packages.keep_default(journal, check_mode=False)
        assert not xen_packages.keep_default(journal, check_mode=False)
        assert [entry.before for entry in journal.entries()] == [{"there": False}]
    package.write_text(XEN_PACKAGE)
    run("update-grub")
    menu = Path(grub.CFG).read_text()
    assert ('set default="0"' in menu) is kept
    # Ours take its place, and say more.
    boot = settings(host, 1024)
    assert "GRUB_DEFAULT=saved" in Path(xen_boot.SETTINGS).read_text()
    assert "file" in {entry.kind for entry in boot.journal.entries()}


def test_a_host_with_xen_s_packages_keeps_its_own_settings(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = xen_boot.HostJournal(str(host / "state/journal"))
    package = host / "etc/default/grub.d/xen.cfg"
    package.write_text(XEN_PACKAGE)
    monkeypatch.setattr(xen_packages, "XEN_SETTINGS", str(package))
    assert not xen_packages.keep_default(journal, check_mode=False)
    assert not Path(xen_boot.SETTINGS).exists()
    assert not journal.entries()
