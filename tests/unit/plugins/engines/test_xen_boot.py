# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding Xen's entry in a boot menu, whatever language its titles are in."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils.engines import xen_boot
from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError

# As update-grub of Debian 12 writes it, shortened; titles in German on purpose.
FLAT = """\
set default="0"
menuentry 'Debian GNU/Linux, mit Linux 6.1.0-1' --class debian $menuentry_id_option 'gnulinux-6.1.0-1-advanced-U' {
\tlinux\t/boot/vmlinuz-6.1.0-1 root=UUID=U ro quiet
}
menuentry 'Debian GNU/Linux, mit Xen 4.17-amd64.efi und Linux' --class xen $menuentry_id_option 'efi-first' {
\tmultiboot2\t/boot/xen-4.17-amd64.efi placeholder dom0_mem=1G
\tmodule2\t/boot/vmlinuz-6.1.0-1 placeholder root=UUID=U ro
}
menuentry 'Debian GNU/Linux, mit Xen 4.17' --class xen $menuentry_id_option 'xen-gnulinux-6.1.0-1-advanced-U' {
\tmultiboot2\t/boot/xen-4.17-amd64.gz placeholder dom0_mem=1G
\tmodule2\t/boot/vmlinuz-6.1.0-1 placeholder root=UUID=U ro
}
"""
NESTED = """\
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-U' {
\tlinux\t/boot/vmlinuz-6.1.0-1 root=UUID=U ro quiet
}
submenu 'Erweiterte Optionen' $menuentry_id_option 'xen-advanced-U' {
submenu 'Xen-Hypervisor, Version 4.17' $menuentry_id_option 'xen-hypervisor-4.17-U' {
\tmenuentry 'mit Xen' --class xen $menuentry_id_option 'xen-entry-U' {
\t\tmultiboot2\t/boot/xen-4.17-amd64.gz placeholder
\t}
}
}
"""


def test_the_entry_is_found_by_what_it_boots() -> None:
    assert xen_boot.xen_entry(FLAT) == "xen-gnulinux-6.1.0-1-advanced-U"


def test_an_entry_in_a_submenu_has_a_path() -> None:
    assert xen_boot.xen_entry(NESTED) == "xen-advanced-U>xen-hypervisor-4.17-U>xen-entry-U"


def test_a_menu_without_xen_is_an_error_with_a_remedy() -> None:
    with pytest.raises(VcompareError) as caught:
        xen_boot.xen_entry(
            FLAT[: FLAT.index("menuentry 'Debian GNU/Linux, mit Xen 4.17-amd64.efi")]
        )
    assert "update-grub" in caught.value.remedy


def test_settings_are_what_a_shell_reads() -> None:
    text = xen_boot.settings_text(1024, "console=com1 x='a b'", "console=hvc0")
    shell = f'set -e\n{text}\nprintf \'%s|%s|%s\' "$GRUB_DEFAULT" "$GRUB_CMDLINE_XEN" "$GRUB_CMDLINE_LINUX_XEN_REPLACE"'
    out = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert out == "saved|dom0_mem=1024M,max:1024M console=com1 x='a b'|console=hvc0"
    assert shlex.split(text, comments=True)


def test_guests_consoles_have_a_folder_and_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = tmp_path / "xen", tmp_path / "log" / "console"
    monkeypatch.setattr(xen_boot, "CONSOLED", str(settings))
    monkeypatch.setattr(xen_boot, "CONSOLE_LOGS", str(folder))
    planned = xen_boot.XenBoot("", check_mode=True)
    planned._console_logs()
    assert len(planned.changes) == 2
    assert not folder.exists() and not settings.exists()
    for changes in (planned.changes, []):
        boot = xen_boot.XenBoot("", check_mode=False)
        boot._console_logs()
        assert boot.changes == changes
        assert folder.is_dir()
        assert settings.read_text().count("--log=guest") == 1


@pytest.mark.parametrize(
    ("commandline", "reboot"),
    [
        ("placeholder dom0_mem=1024M,max:1024M console=com1 spec-ctrl=eager-fpu", False),
        ("placeholder dom0_mem=1024M,max:1024M console=com1", True),
        ("placeholder dom0_mem=2048M,max:2048M console=com1 spec-ctrl=eager-fpu", True),
        ("placeholder dom0_mem=1024M,max:1024M console=com10 spec-ctrl=eager-fpu", True),
    ],
)
def test_options_that_are_not_in_force_need_a_reboot(
    commandline: str, reboot: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    menu = tmp_path / "grub.cfg"
    menu.write_text(FLAT)
    monkeypatch.setattr(xen_boot, "GRUB_CFG", str(menu))
    monkeypatch.setattr(xen_boot, "running", lambda: {"dom0": True, "commandline": commandline})
    for part in ("_settings", "_console_logs", "_services", "_once", "_default"):
        monkeypatch.setattr(xen_boot.XenBoot, part, lambda self, entry="": None)
    options = xen_boot.hypervisor_options(1024, "console=com1 spec-ctrl=eager-fpu")
    assert xen_boot.XenBoot("", check_mode=False).converge(options)["reboot_required"] is reboot
