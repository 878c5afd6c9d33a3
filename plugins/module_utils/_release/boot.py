# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot menu of a host that we booted into Xen: back to what it was, and read back."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    carried,
    grub,
    packages,
    xen_boot,
)
from ansible_collections.vcompare.lab.plugins.module_utils._engines.xen_packages import (
    OVERRIDE,
    XEN_SETTINGS,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import (
    FILE,
    GRUB_MENU,
    GRUB_VARIABLE,
    PACKAGE,
    REBOOT,
    Entry,
    HostJournal,
)
from ansible_collections.vcompare.lab.plugins.module_utils._release import files, units
from ansible_collections.vcompare.lab.plugins.module_utils._release.account import (
    CHANGED,
    RESTORED,
    Account,
)

# Debian's settings for update-grub, which make Xen the default unless they are told not to.
_XEN_PACKAGE = "xen-hypervisor-common"
_HYPERVISOR = Path("/sys/hypervisor/type")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DEFAULT = re.compile(r'^\s*set default="([^"]*)"', re.MULTILINE)
_UPDATE_S = 900.0


def ours(entry: Entry) -> bool:
    """Whether a record is of the boot menu."""
    return entry.kind in (GRUB_MENU, GRUB_VARIABLE) or (
        entry.kind == FILE and entry.name == xen_boot.SETTINGS
    )


def release(journal: HostJournal, account: Account) -> None:
    """Make the boot menu and its default what they were."""
    entries = [entry for entry in journal.entries() if ours(entry)]
    if not entries:
        return
    if not account.check_mode and under_xen() and any(e.kind == GRUB_VARIABLE for e in entries):
        journal.note(REBOOT, "Linux", {"boot": _read(_BOOT_ID)})
    for entry in entries:
        if entry.kind == GRUB_VARIABLE:
            _variable(entry, journal, account)
    if not all(files.release(e, journal, account) for e in entries if e.kind == FILE):
        # Somebody else's settings by now: the menu is theirs as well.
        return
    linux_stays_default(journal, account)
    for entry in entries:
        if entry.kind == GRUB_MENU and account.remove(GRUB_MENU, entry.name, _write_menu, RESTORED):
            _read_back(entry, journal, account)


def _variable(entry: Entry, journal: HostJournal, account: Account) -> None:
    now = grub.environment().get(entry.name)
    before = entry.before["value"]
    # GRUB leaves an empty one-time entry behind; another value is somebody else's.
    if now != before and (now in entry.wrote or not now):
        words = ["unset", entry.name] if before is None else ["set", f"{entry.name}={before}"]
        doing = f"setting GRUB's {entry.name}"
        if not account.remove(
            GRUB_VARIABLE,
            entry.name,
            lambda: command.run(["grub-editenv", grub.ENV, *words], doing),
            RESTORED,
        ):
            return
    if not account.check_mode:
        journal.undone(entry)


def linux_stays_default(journal: HostJournal, account: Account, path: str = XEN_SETTINGS) -> None:
    """Tell Debian's settings for Xen not to make it the default, where their package is ours and stays.

    Our own settings told them so, and the next update of any kernel would make Xen the default without them.
    """
    recorded = {entry.name for entry in journal.entries() if entry.kind == PACKAGE}
    found = files.look(path)
    if _XEN_PACKAGE not in recorded or not packages.versions([_XEN_PACKAGE]) or not found.content:
        return
    if _decided(path):
        return
    text = f"# vcompare.lab: Linux was the default before {_XEN_PACKAGE} was installed.\n{OVERRIDE}=0\n"
    after = text.encode() + found.content
    account.changes(path, found.content, after)
    like = {"mode": 0o644, "uid": 0, "gid": 0}
    account.remove(FILE, path, lambda: files.replace(path, after, like), CHANGED)


def _decided(path: str) -> bool:
    """Whether somebody has said which of the two is the default; Debian's own words are inside of a condition."""
    others = [grub.DEFAULTS, path, *glob.glob(f"{os.path.dirname(path)}/*.cfg")]
    texts = [files.look(other).content or b"" for other in others if other != xen_boot.SETTINGS]
    return any(re.search(rb"^" + OVERRIDE.encode() + rb"=\S", text, re.MULTILINE) for text in texts)


def _write_menu() -> None:
    command.run(["update-grub"], "writing the boot menu", timeout_s=_UPDATE_S)


def _read_back(entry: Entry, journal: HostJournal, account: Account) -> None:
    """Enter a menu that boots Xen all the same."""
    if account.check_mode:
        return
    if xen := default_is_xen(files.look(entry.name).content or b""):
        account.removed.pop()
        account.leave(
            GRUB_MENU,
            entry.name,
            f"its default is still Xen ({xen})",
            f"Set {OVERRIDE}=0 in {XEN_SETTINGS} and GRUB_DEFAULT in {grub.DEFAULTS}, then run update-grub.",
        )
        return
    journal.undone(entry)


def default_is_xen(menu: bytes) -> str:
    """Return the default of a boot menu if it is Xen's entry by name; else an empty text."""
    text = menu.decode(errors="replace")
    chosen = [value for value in _DEFAULT.findall(text) if not value.startswith("${")]
    try:
        entry = grub.xen_entry(text).path
    except VcompareError:
        return ""
    named = [value for value in chosen if "xen" in value.lower() or value == entry]
    return named[0] if named else ""


def under_xen() -> bool:
    """Whether this host runs under Xen now."""
    return _read(_HYPERVISOR) == "xen"


def reboot(journal: HostJournal, account: Account) -> bool:
    """Return whether the host is to be rebooted now; where that is not allowed, enter that it still runs under Xen."""
    entry = next((one for one in journal.entries() if one.kind == REBOOT), None)
    if entry is None and not (account.check_mode and _would_reboot(journal)):
        return False
    if entry is not None and entry.before["boot"] != _read(_BOOT_ID):
        if not account.check_mode:
            journal.undone(entry)
        account.done(REBOOT, "Linux", RESTORED)
        return False
    if any(
        one["kind"] in (GRUB_MENU, GRUB_VARIABLE) or one["name"] == xen_boot.SETTINGS
        for one in account.left
    ):
        return False
    others = units.foreign(account, (carried.CONTAINER, carried.MACHINE))
    missing = [
        word
        for word, asked in (("reboot", True), ("restart", bool(others)))
        if asked and word not in account.allow
    ]
    if not missing:
        return True
    carries = f"; a reboot interrupts {', '.join(others)}" if others else ""
    account.leave(
        REBOOT,
        "Xen",
        f"this host runs under Xen until it is rebooted{carries}",
        f"systemctl reboot, or --allow {','.join(missing)}",
    )
    return False


def _would_reboot(journal: HostJournal) -> bool:
    return under_xen() and any(entry.kind == GRUB_VARIABLE for entry in journal.entries())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
