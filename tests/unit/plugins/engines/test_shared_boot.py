# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that takes turns: Xen for one boot only, and plain Linux as the default, whatever its menu looks like."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    carried,
    grub,
    grub_default,
    turns,
    xen_boot,
    xen_console,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal

from .test_xen_boot import FLAT, NESTED, dom0

ONCE = """\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="DEFAULT"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
  fi
}
"""
XEN_LINE = "placeholder dom0_mem=1024M,max:1024M"


def menu(default: str, entries: str = FLAT) -> str:
    return ONCE.replace("DEFAULT", default) + entries.replace('set default="0"\n', "").replace(
        "placeholder dom0_mem=1G", XEN_LINE
    )


@pytest.mark.parametrize(
    ("default", "saved", "xen"),
    [
        ("0", "", False),
        ("1", "", True),
        ("2", "", True),
        ("9", "", False),
        ("xen-gnulinux-6.1.0-1-advanced-U", "", True),
        ("gnulinux-6.1.0-1-advanced-U", "", False),
        ("Debian GNU/Linux, mit Xen 4.17", "", True),
        ("no such entry", "", False),
        ("${saved_entry}", "", False),
        ("${saved_entry}", "xen-gnulinux-6.1.0-1-advanced-U", True),
        ("${saved_entry}", "0", False),
        # What GRUB does not read, since another default is set.
        ("0", "xen-gnulinux-6.1.0-1-advanced-U", False),
    ],
)
def test_the_default_is_what_grub_boots(default: str, saved: str, xen: bool) -> None:
    environment = {"saved_entry": saved} if saved else {}
    assert grub_default.default_leaf(menu(default), environment).xen is xen
    if xen:
        with pytest.raises(VcompareError, match="boots Xen by default"):
            grub_default.require_plain(menu(default), environment)
    else:
        grub_default.require_plain(menu(default), environment)


@pytest.mark.parametrize(
    ("default", "xen"),
    [
        ("0", False),
        ("1", True),
        ("1>0", True),
        ("1>0>0", True),
        ("xen-advanced-U>xen-hypervisor-4.17-U>xen-entry-U", True),
        ("Erweiterte Optionen>0", True),
    ],
)
def test_a_default_in_a_submenu_is_found(default: str, xen: bool) -> None:
    assert grub_default.default_leaf(menu(default, NESTED), {}).xen is xen


def test_a_menu_without_entries_is_an_error() -> None:
    with pytest.raises(VcompareError, match="no entries"):
        grub_default.default_leaf("set timeout=0\n", {})


class Host:
    """A host's boot settings in a folder, with what it runs now."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.now = dom0()
        self.commands: list[list[str]] = []
        self.environment: dict[str, str] = {}
        self.guests = "Name ID Mem VCPUs State Time(s)\nDomain-0 0 1024 2 r----- 10.0\n"
        patch.setattr(grub, "CFG", str(folder / "grub.cfg"))
        patch.setattr(grub, "environment", lambda: dict(self.environment))
        patch.setattr(turns, "running", lambda: dict(self.now))
        patch.setattr(xen_boot, "running", lambda: dict(self.now))
        patch.setattr(carried, "running", list)
        patch.setattr(xen_boot, "SETTINGS", str(folder / "SETTINGS"))
        patch.setattr(xen_console, "SETTINGS", str(folder / "xen"))
        patch.setattr(xen_console, "LOGS", str(folder / "logs"))
        patch.setattr(turns, "SETTINGS", str(folder / "SETTINGS"))
        patch.setattr(xen_boot.command, "run", self.run)
        patch.setattr(xen_boot.command, "state", lambda *_words: "enabled")
        self.write("0")

    def write(self, default: str) -> None:
        (self.folder / "grub.cfg").write_text(menu(default))

    def run(self, words: t.Sequence[str], *_more: t.Any, **_options: t.Any) -> str:
        self.commands.append(list(words))
        if words[0] == "grub-reboot":
            self.environment["next_entry"] = words[1]
        if words[0] == "grub-editenv":
            del self.environment["next_entry"]
        return self.guests if words[0] == "xl" else ""

    def boot(self, verify: bool = False, allow: t.Sequence[str] = ("reboot",)) -> t.Any:
        wanted = xen_boot.Wanted(1024, shares=True)

        def ask(target: str, _path: str) -> str:
            return "ext2" if target == "fs" else ""

        made = turns.SharedBoot(wanted, False, verify, allow, ask)
        made.journal = HostJournal(str(self.folder / "journal"))
        return made

    def programs(self) -> list[str]:
        return [words[0] for words in self.commands]


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_the_entry_is_written_and_the_default_stays(settled: Host) -> None:
    done = settled.boot().prepare()
    assert not done["reboot_required"] and done["changed"]
    text = (settled.folder / "SETTINGS").read_text()
    assert "GRUB_DEFAULT" not in text.replace("XEN_OVERRIDE_GRUB_DEFAULT=0", "")
    assert "dom0_mem=1024M,max:1024M" in text
    assert settled.programs() == ["update-grub"]
    assert settled.environment == {}
    assert not settled.boot().prepare()["changed"]


def test_a_host_that_boots_xen_by_default_is_refused(settled: Host) -> None:
    settled.write("2")
    with pytest.raises(VcompareError, match="boots Xen by default"):
        settled.boot().prepare()
    for system in ("xen", "linux"):
        settled.now = dom0(XEN_LINE, 1024) if system == "linux" else dom0()
        with pytest.raises(VcompareError, match="boots Xen by default"):
            settled.boot().turn(system)
    assert "grub-reboot" not in settled.programs()


def test_xen_is_chosen_for_one_boot_only(settled: Host) -> None:
    done = settled.boot().turn("xen")
    assert done["reboot_required"]
    assert settled.commands == [["grub-reboot", "xen-gnulinux-6.1.0-1-advanced-U"]]
    (entry,) = HostJournal(str(settled.folder / "journal")).entries()
    assert (entry.kind, entry.name, entry.before) == ("grubenv", "next_entry", {"value": None})


def test_plain_linux_is_what_the_next_boot_brings(settled: Host) -> None:
    settled.now = dom0(XEN_LINE, 1024)
    assert settled.boot().turn("linux")["reboot_required"]
    assert settled.programs() == ["xl"]
    # What an interrupted turn has chosen must not be booted now.
    settled.environment["next_entry"] = "xen-gnulinux-6.1.0-1-advanced-U"
    assert settled.boot().turn("linux")["reboot_required"]
    assert settled.environment == {}


@pytest.mark.parametrize(("system", "now"), [("linux", dom0()), ("xen", dom0(XEN_LINE, 1024))])
def test_a_host_that_runs_it_is_left_alone(
    settled: Host, system: str, now: dict[str, object]
) -> None:
    settled.now = now
    for verify in (False, True):
        done = settled.boot(verify, allow=()).turn(system)
        assert not done["reboot_required"] and not done["changed"]
    assert settled.commands == []


@pytest.mark.parametrize(
    ("system", "now", "message"),
    [
        ("linux", dom0(XEN_LINE, 1024), "still dom0"),
        ("xen", dom0(), "not dom0 of a Xen with dom0_mem=1024M"),
        ("xen", dom0("placeholder dom0_mem=2G", 2048), "dom0's memory: 2048 MiB"),
    ],
)
def test_a_host_that_runs_something_else_after_its_reboot_is_told(
    settled: Host, system: str, now: dict[str, object], message: str
) -> None:
    settled.now = now
    with pytest.raises(VcompareError, match=message):
        settled.boot(verify=True).turn(system)
    assert "grub-reboot" not in settled.programs()


@pytest.mark.parametrize("what", ["preflight", "prepare", "turn"])
def test_a_host_that_takes_turns_is_rebooted_only_where_that_is_allowed(
    settled: Host, what: str
) -> None:
    boot = settled.boot(allow=())
    with pytest.raises(VcompareError, match="does not have reboot"):
        boot.turn("xen") if what == "turn" else getattr(boot, what)()
    assert settled.commands == [] and not (settled.folder / "SETTINGS").exists()


def test_guests_of_others_in_xen_are_not_interrupted(settled: Host) -> None:
    settled.now = dom0(XEN_LINE, 1024)
    settled.guests += "theirs 4 2048 1 -b---- 3.0\n"
    with pytest.raises(VcompareError, match="virtual machine theirs"):
        settled.boot().turn("linux")
    assert settled.boot(allow=["reboot", "restart"]).turn("linux")["reboot_required"]
