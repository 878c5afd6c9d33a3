# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot menu and its default are what they were before Xen: with the real update-grub and grub-editenv."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    carried,
    grub,
    packages,
    xen_boot,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    GRUB_VARIABLE,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release import boot
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import Account

PLAIN = 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'
# The end of /etc/default/grub.d/xen.cfg of Debian 12 and 13.
XEN_CFG = """\
#XEN_OVERRIDE_GRUB_DEFAULT=
#
if [ "$XEN_OVERRIDE_GRUB_DEFAULT" = "" ]; then
    XEN_OVERRIDE_GRUB_DEFAULT=1
fi
if [ "$XEN_OVERRIDE_GRUB_DEFAULT" = "1" ]; then
    GRUB_DEFAULT=$( \
        printf "$(gettext "%s, with Xen hypervisor")" \
        "$GRUB_DISTRIBUTOR GNU/Linux")
fi
"""


def edit(env: Path, *words: str) -> str:
    argv = ["grub-editenv", str(env), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GRUB's environment block, made by grub-editenv."""
    path = tmp_path / "grubenv"
    try:
        edit(path, "create")
    except FileNotFoundError:
        pytest.skip("grub-editenv is not on this machine")
    monkeypatch.setattr(grub, "ENV", str(path))
    monkeypatch.setattr(grub.environment, "__defaults__", (str(path),))
    return path


@pytest.fixture
def journal(tmp_path: Path) -> HostJournal:
    return HostJournal(str(tmp_path / "state/journal"))


@pytest.fixture
def xen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whether the host runs under Xen, and its boot."""
    (tmp_path / "type").write_text("xen\n")
    (tmp_path / "boot_id").write_text("first\n")
    monkeypatch.setattr(boot, "_HYPERVISOR", tmp_path / "type")
    monkeypatch.setattr(boot, "_BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setattr(carried, "running", lambda **_kinds: [])
    return tmp_path


def released(journal: HostJournal, *allow: str, check_mode: bool = False) -> tuple[Account, bool]:
    account = Account(check_mode, allow)
    boot.release(journal, account)
    return account, boot.reboot(journal, account)


@pytest.mark.parametrize("before", [None, "gnulinux-simple"])
@pytest.mark.parametrize(
    ("now", "after"),
    [("xen>entry", None), ("", None), ("theirs", "theirs")],
    ids=["ours", "used", "theirs"],
)
def test_a_variable_goes_back_unless_others_set_it(
    env: Path, journal: HostJournal, before: str | None, now: str, after: str | None
) -> None:
    edit(env, "set", f"next_entry={now}", "kept=x")
    journal.note(GRUB_VARIABLE, "next_entry", {"value": before}, "xen>entry")
    checked, _reboot = released(journal, check_mode=True)
    assert grub.environment(str(env))["next_entry"] == now
    account, _reboot = released(journal)
    assert grub.environment(str(env)).get("next_entry") == (after or before)
    assert grub.environment(str(env))["kept"] == "x"
    assert account.removed == checked.removed
    assert bool(account.removed) == (after is None)
    assert (account.left, journal.entries()) == ([], [])


def test_a_host_under_xen_says_what_remains_until_it_was_rebooted(
    env: Path, journal: HostJournal, xen: Path
) -> None:
    journal.note(GRUB_VARIABLE, "saved_entry", {"value": None}, "xen>entry")
    edit(env, "set", "saved_entry=xen>entry")
    for _again in range(2):
        account, reboot = released(journal)
        assert (reboot, [one["kind"] for one in account.left]) == (False, ["reboot"])
        assert "--allow reboot" in account.left[0]["remedy"]
    assert released(journal, "reboot")[1]
    (xen / "boot_id").write_text("second\n")
    (xen / "type").write_text("")
    account, reboot = released(journal)
    assert (reboot, account.left, journal.entries()) == (False, [], [])


def test_a_reboot_does_not_interrupt_others_unasked(
    env: Path, journal: HostJournal, xen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "running", lambda **_kinds: ["virtual machine web"])
    journal.note(GRUB_VARIABLE, "saved_entry", {"value": None}, "xen>entry")
    edit(env, "set", "saved_entry=xen>entry")
    account, reboot = released(journal, "reboot")
    assert not reboot
    assert "virtual machine web" in account.left[0]["why"]
    assert "--allow restart" in account.left[0]["remedy"]
    assert released(journal, "reboot", "restart")[1]


def test_a_dom0_of_others_is_not_rebooted(journal: HostJournal, xen: Path) -> None:
    journal.packages(["zstd"])
    account, reboot = released(journal, "reboot")
    assert (reboot, account.left, account.removed) == (False, [], [])


@pytest.fixture
def xen_package(host: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Debian's settings for Xen, of a package that is installed."""
    path = host / "etc/default/grub.d/xen.cfg"
    path.write_text(XEN_CFG)
    monkeypatch.setattr(boot, "XEN_SETTINGS", str(path))
    monkeypatch.setattr(boot.linux_stays_default, "__defaults__", (str(path),))
    monkeypatch.setattr(grub, "DEFAULTS", f"{host}/etc/default/grub")
    monkeypatch.setattr(packages, "versions", lambda names: dict.fromkeys(names, "4.17"))
    return path


def default(host: Path) -> str:
    """The default of the menu that update-grub wrote."""
    lines = (host / "boot/grub/grub.cfg").read_text().splitlines()
    return [line.strip() for line in lines if line.strip().startswith("set default=")][-1]


def set_up(host: Path) -> HostJournal:
    """What the role xen_host writes on a host that boots Linux."""
    (host / "etc/default/grub").write_text(PLAIN)
    found = xen_boot.XenBoot(xen_boot.Wanted(1024), check_mode=False)
    found.journal = HostJournal(str(host / "state/journal"))
    found.journal.packages(["xen-hypervisor-common"])
    found._settings(reboot=True)
    return found.journal


def test_linux_is_the_default_again_although_the_package_of_xen_stays(
    host: Path, xen_package: Path
) -> None:
    journal = set_up(host)
    assert default(host) == 'set default="${saved_entry}"'
    checked = Account(check_mode=True)
    boot.release(journal, checked)
    assert Path(xen_boot.SETTINGS).exists()
    account = Account()
    boot.release(journal, account)
    assert account.left == []
    assert account.removed == checked.removed
    assert not Path(xen_boot.SETTINGS).exists()
    assert default(host) == 'set default="0"'
    # Also with the next update of a kernel.
    subprocess.run(["update-grub"], check=True, capture_output=True)
    assert default(host) == 'set default="0"'
    assert [entry.kind for entry in journal.entries()] == ["package"]
    assert xen_package.read_text().endswith(XEN_CFG)
    again = Account()
    boot.release(journal, again)
    assert again.removed == []


def test_a_menu_that_boots_xen_all_the_same_is_named(
    host: Path, xen_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = set_up(host)
    monkeypatch.setattr(boot, "linux_stays_default", lambda *_words: None)
    account = Account()
    boot.release(journal, account)
    assert "with Xen hypervisor" in default(host)
    assert [one["kind"] for one in account.left] == ["grub-menu"]
    assert "XEN_OVERRIDE_GRUB_DEFAULT=0" in account.left[0]["remedy"]
    assert "grub-menu" in {entry.kind for entry in journal.entries()}


def test_what_an_administrator_chose_stays(host: Path, xen_package: Path) -> None:
    journal = set_up(host)
    chosen = f"XEN_OVERRIDE_GRUB_DEFAULT=1\n{XEN_CFG}"
    xen_package.write_text(chosen)
    account = Account()
    boot.linux_stays_default(journal, account)
    assert account.removed == []
    assert xen_package.read_text() == chosen


def test_settings_that_others_changed_keep_their_menu(host: Path, xen_package: Path) -> None:
    journal = set_up(host)
    with Path(xen_boot.SETTINGS).open("a") as file:
        file.write("GRUB_TIMEOUT=1\n")
    before = (host / "boot/grub/grub.cfg").read_text()
    account = Account()
    boot.release(journal, account)
    assert [one["name"] for one in account.left] == [xen_boot.SETTINGS]
    assert (host / "boot/grub/grub.cfg").read_text() == before
