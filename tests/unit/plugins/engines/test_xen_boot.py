# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding Xen's entry in a boot menu, whatever language its titles are in."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import (
    carried,
    grub,
    xen_boot,
    xen_console,
)
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_journal import HostJournal
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import HostPlan

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
    assert grub.xen_entry(FLAT).path == "xen-gnulinux-6.1.0-1-advanced-U"


def test_an_entry_in_a_submenu_has_a_path() -> None:
    assert grub.xen_entry(NESTED).path == "xen-advanced-U>xen-hypervisor-4.17-U>xen-entry-U"


def test_a_menu_without_xen_is_an_error_with_a_remedy() -> None:
    with pytest.raises(VcompareError) as caught:
        grub.xen_entry(FLAT[: FLAT.index("menuentry 'Debian GNU/Linux, mit Xen 4.17-amd64.efi")])
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
    monkeypatch.setattr(xen_console, "SETTINGS", str(settings))
    monkeypatch.setattr(xen_console, "LOGS", str(folder))
    journal = HostJournal(str(tmp_path / "journal"))
    planned = HostPlan()
    xen_console.ensure(planned, journal, check_mode=True)
    assert [step["action"] for step in planned.result()["plan"]] == ["add", "change"]
    assert not folder.exists() and not settings.exists() and not journal.entries()
    for expected in (planned.result(), HostPlan().result()):
        done = HostPlan()
        xen_console.ensure(done, journal, check_mode=False)
        assert done.result() == expected
        assert folder.is_dir()
        assert settings.read_text().count("--log=guest") == 1


PLACEHOLDER = "placeholder dom0_mem=1024M,max:1024M console=com1"


@pytest.mark.parametrize(
    ("commandline", "memory", "holds"),
    [
        (f"{PLACEHOLDER} spec-ctrl=eager-fpu", 1024, True),
        (PLACEHOLDER, 1024, False),
        ("placeholder dom0_mem=2048M,max:2048M console=com1 spec-ctrl=eager-fpu", 1024, False),
        (f"{PLACEHOLDER}0 spec-ctrl=eager-fpu", 1024, False),
        # Ours is there, and another value comes last.
        (f"{PLACEHOLDER} spec-ctrl=eager-fpu dom0_mem=4096M,max:4096M", 1024, False),
        (f"{PLACEHOLDER} spec-ctrl=eager-fpu dom0_mem=max:4G", 1024, False),
        (f"{PLACEHOLDER} spec-ctrl=eager-fpu console=vga", 1024, False),
        (f"{PLACEHOLDER} spec-ctrl=eager-fpu spec-ctrl=no", 1024, False),
        # The words are all ours, and dom0 has something else.
        (f"{PLACEHOLDER} spec-ctrl=eager-fpu", 4096, False),
        ("placeholder dom0_mem=1G,max:1048576K console=com1 spec-ctrl=eager-fpu", 1024, True),
    ],
)
def test_only_what_is_in_force_counts(commandline: str, memory: int, holds: bool) -> None:
    now = {"dom0": True, "commandline": commandline, "dom0_memory_mib": memory}
    wanted = xen_boot.Wanted(1024, "console=com1 spec-ctrl=eager-fpu")
    assert wanted.in_force(now) is holds


def dom0(commandline: str = "", memory: int | None = None) -> dict[str, object]:
    return {
        "dom0": bool(memory),
        "version": "",
        "commandline": commandline,
        "dom0_memory_mib": memory,
    }


@pytest.mark.parametrize(
    ("memory", "ours", "as_found"), [(4096, False, True), (512, False, False), (4096, True, False)]
)
def test_a_dom0_of_the_administrator_is_used_as_it_is_where_it_suffices(
    memory: int, ours: bool, as_found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "vcompare.cfg"
    if ours:
        settings.write_text("GRUB_DEFAULT=saved")
    monkeypatch.setattr(xen_boot, "SETTINGS", str(settings))
    monkeypatch.setattr(xen_boot, "running", lambda: dom0(f"dom0_mem={memory}M", memory))
    monkeypatch.setattr(carried, "running", list)
    boot = xen_boot.XenBoot(xen_boot.Wanted(1024), check_mode=False)
    if as_found:
        found = boot.preflight()
        assert found["as_found"] and not found["reboot_required"] and not found["changed"]
    else:
        with pytest.raises(VcompareError, match="must be rebooted"):
            boot.preflight()


@pytest.mark.parametrize(
    ("allow", "carries", "missing"),
    [
        ([], [], "reboot"),
        ([], ["container web"], "reboot and restart"),
        (["reboot"], ["container web", "virtual machine db"], "restart"),
        (["restart"], [], "reboot"),
        (["reboot"], [], ""),
        (["reboot", "restart"], ["container web"], ""),
    ],
)
def test_a_host_is_rebooted_only_where_that_is_allowed(
    allow: list[str], carries: list[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xen_boot, "running", dom0)
    monkeypatch.setattr(carried, "running", lambda: carries)
    asked: list[str] = []

    def ask(target: str, _path: str) -> str:
        asked.append(target)
        return "ext2" if target == "fs" else ""

    boot = xen_boot.XenBoot(xen_boot.Wanted(1024), check_mode=False, allow=allow, ask=ask)
    if not missing:
        assert boot.preflight()["reboot_required"]
        assert asked == ["abstraction", "fs"]
        return
    for refused in (boot.preflight, boot.converge):
        with pytest.raises(VcompareError, match=f"does not have {missing}[.]") as caught:
            refused()
        assert all(name in caught.value.message for name in carries)
        assert "vcompare_allow" in caught.value.remedy
    # Once for each of the two that refused it.
    steps = [(step["kind"], step["needs"]) for step in boot.steps.result()["plan"]]
    assert steps == [("reboot", missing.replace(" and ", ","))] * 2


def test_what_runs_on_a_host_is_read_from_its_processes(tmp_path: Path) -> None:
    for number, words in enumerate(
        [
            ["/usr/bin/qemu-system-x86_64", "-name", "guest=db,debug-threads=on", "-m", "1"],
            ["/usr/bin/kvm", "-id", "100", "-name", "pve-guest,debug-threads=on"],
            ["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "abc" * 21],
            ["/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", "def" * 21],
            ["/usr/bin/conmon", "--api-version", "1", "-c", "0" * 64, "-n", "pod"],
            ["[lxc monitor] /var/lib/lxc box"],
            ["bash", "-c", "qemu-system-x86_64"],
            [""],
        ]
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
    config = tmp_path / ("abc" * 21)
    config.write_text('{"Name": "/web"}')
    assert carried.running(tmp_path, str(tmp_path / "{ident}")) == [
        "container box",
        "container defdefdefdef",
        "container pod",
        "container web",
        "virtual machine db",
        "virtual machine pve-guest",
    ]
